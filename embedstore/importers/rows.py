"""Which row of an array belongs to which sample: by ids beside it, or by an order that is stated.

Dimensions: N samples, R rows of the file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import polars as pl

from embedstore.errors import DatasetError
from embedstore.importers.annotations import ORDERS
from embedstore.importers.arrays import one_text_a_row
from embedstore.importers.matching import USUAL, Match, by_order, checked_ids, match, without_ending
from embedstore.importers.matrices import I64, Matrix
from embedstore.importers.tables import Table, read_table, texts
from embedstore.prompts.files import file_lines

#: What the ids of an array's rows are commonly called; the last is clip-retrieval's.
USUAL_IDS = (*USUAL, "image_path")
#: Ids that are looked at to tell which folders stand before all of them.
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids of an array's rows, and the table that they are a column of."""

    table: Table
    column: str
    values: pl.Series  # (R,)


def find_ids(matrix: Matrix, given: str | None, usual: Sequence[str] = USUAL_IDS) -> Ids | None:
    """Return the ids of a matrix's rows; None where there are none.

    Parameters
    ----------
    matrix
        R rows.
    given
        A file (of texts, one a line; a table; an array of texts), `FILE:COLUMN`, or a column that
        the matrix's own file has; None looks for the usual ones in that.
    usual
        Names that such columns have.

    Raises
    ------
    DatasetError
        If there is no such file or column, or it has not R ids, each once.
    """
    table, column = matrix.beside, given
    if given is not None and not (table and given in table.columns):
        table, column = read_ids(given)
    elif given is None and table and not set(usual) & set(table.columns):
        return None
    if table is None:
        return None
    column = table.find(column, usual, "--ids FILE:COLUMN")
    values = texts(table.select([column])[column], str(table.path))
    n_rows = matrix.shape[0]
    if len(values) != n_rows:
        raise DatasetError(
            f"{table.path} has {len(values):,} ids and {matrix.path} {n_rows:,} rows; give an id "
            "for each row"
        )
    return Ids(table, column, checked_ids(values, str(table.path)))


def read_ids(given: str) -> tuple[Table, str | None]:
    """Open a file of ids; return it as a table, and the column that is named, if one is.

    Raises
    ------
    DatasetError
        If there is no such file.
    """
    path, column = Path(given).expanduser(), None
    if not path.exists() and ":" in given:
        path, column = Path(given.rpartition(":")[0]).expanduser(), given.rpartition(":")[2]
    if not path.is_file():
        raise DatasetError(
            f"{given!r} is neither a file nor a column of the imported one; give --ids FILE, "
            "--ids FILE:COLUMN, or a column's name"
        )
    if path.suffix == ".txt":
        return _lines(path, "sample_id"), column
    if path.suffix == ".npy":
        digest, values = one_text_a_row(path, "ids")
        frame = pl.LazyFrame({"sample_id": values})
        return Table(path, digest, frame, ("sample_id",)), column
    return read_table(path), column


def match_rows(
    matrix: Matrix, ids: Ids | None, samples: pl.Series, order: str | None, dataset: str
) -> Match:
    """Find each sample's row.

    Parameters
    ----------
    matrix
        R rows.
    ids
        Of the rows, where they are known.
    samples
        (N,) ids of the data set's samples.
    order
        The order that rows are stated to have, one of `ORDERS`, where there are no ids.
    dataset
        What messages call the data set.

    Raises
    ------
    DatasetError
        If there is neither id nor order, no id is a sample's, or counts differ without ids.
    """
    if ids is not None:
        where = str(ids.table.path)
        return match(relative_to(ids.values, samples), samples, where, dataset)
    where = str(matrix.path)
    if order is None:
        raise DatasetError(
            f"{where} does not say which row is which sample of {dataset!r}; give their ids with "
            f"--ids FILE, or say --rows {ORDERS[1]} if row i is sample i of the store (or "
            f"{ORDERS[0]}, if rows follow the sorted names)"
        )
    return by_order(matrix.shape[0], samples, order, where, dataset)


def row_numbers(matched: Match) -> I64:
    """Return each sample's row as a number: (N,), -1 where it has none."""
    return matched.rows.cast(pl.Int64).fill_null(-1).to_numpy()


def relative_to(ids: pl.Series, samples: pl.Series) -> pl.Series:
    """Take off the folders that stand before what the data set calls its samples: (R,) -> (R,)."""
    known = set(samples)
    root = _folders_before(ids, known)
    if not root:
        return ids
    relative = ids.str.strip_prefix(root)
    # Below two such folders, one sample may have a row in each: neither is preferred.
    return ids if _folders_before(ids.filter(relative == ids), known) else relative


def _folders_before(ids: pl.Series, known: set[str]) -> str:
    """Return the folders before the first id that is known without them; "" if there are none."""
    for path in without_ending(ids.head(_LOOKED_AT)):
        parts = path.split("/")
        for depth in range(len(parts)):
            if "/".join(parts[depth:]) in known:
                return "".join(f"{part}/" for part in parts[:depth])
    return ""


def below_one_folder(ids: pl.Series) -> pl.Series:
    """Take off the folder that all absolute paths share: (R,) -> (R,); other ids stay."""
    if not ids.str.starts_with("/").all():
        return ids
    root = posixpath.commonpath({posixpath.dirname(path) for path in ids})
    return ids.str.strip_prefix(root).str.strip_chars_start("/")


def _lines(path: Path, column: str) -> Table:
    lines = file_lines(path)
    digest = sha256(path.read_bytes()).hexdigest()
    return Table(path, digest, pl.LazyFrame({column: lines}), (column,))
