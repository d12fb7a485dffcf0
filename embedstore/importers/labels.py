"""Label files beside logits: a class for each row, and its id where the file has one.

Dimensions: N samples, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import polars as pl

from embedstore.errors import DatasetError
from embedstore.importers.annotations import ORDERS
from embedstore.importers.arrays import one_text_a_row
from embedstore.importers.classes import class_indices, class_texts
from embedstore.importers.matching import USUAL, Match, match, without_ending
from embedstore.importers.rows import Ids
from embedstore.importers.samples import USUAL_LABELS
from embedstore.importers.tables import Table, read_table, texts
from embedstore.prompts import ClassList
from embedstore.prompts.files import file_text
from embedstore.store import Store

_LABEL = "label"


@dataclass(frozen=True, slots=True)
class LabelFile:
    """What a file says of each row."""

    table: Table
    labels: pl.Series  # (R,) texts, null where there is none
    column: str  # of the labels
    ids: Ids | None


def read_labels(path: Path, n_rows: int) -> LabelFile:
    """Read labels: .npy of whole numbers, .txt with one a line, or a table.

    Parameters
    ----------
    path
        The file.
    n_rows
        R.

    Raises
    ------
    DatasetError
        If it cannot be read, or has not R rows.
    """
    table = _opened(path.expanduser())
    column = table.find(None, USUAL_LABELS, "a header that calls it label")
    frame = table.select(table.columns)
    if frame.height != n_rows:
        raise DatasetError(
            f"{path} has {frame.height:,} labels, and there are {n_rows:,} rows of logits; give a "
            "label for each row, empty where there is none"
        )
    name = next((c for c in USUAL if c in table.columns), None)
    ids = None if name is None else Ids(table, name, texts(frame[name], str(path)))
    return LabelFile(table, class_texts(frame[column], str(path)), column, ids)


def in_order_of(file: LabelFile, ids: Ids | None) -> LabelFile:
    """Bring labels that have ids of their own into the order of the rows' ids.

    Parameters
    ----------
    file
        The labels.
    ids
        Of the rows; None where nothing but the labels' file says what they are.

    Raises
    ------
    DatasetError
        If the two files do not have the same ids.
    """
    if file.ids is None or ids is None:
        return file
    table, where = file.table, str(file.table.path)
    theirs, ours = without_ending(file.ids.values), without_ending(ids.values)
    rows = match(theirs, ours, where, ids.table.path.name).rows
    if rows.null_count():
        raise DatasetError(
            f"{where} has no label for {ids.values.filter(rows.is_null())[0]!r} of "
            f"{ids.table.path}; leave it empty there, or take its column {file.ids.column!r} out "
            "if its rows are in the same order"
        )
    frame = table.select(table.columns)[rows]
    return LabelFile(
        replace(table, lazy=frame.lazy()),
        file.labels.gather(rows),
        file.column,
        replace(file.ids, values=file.ids.values.gather(rows)),
    )


def numbered(labels: LabelFile, ids: Ids | None = None) -> Table:
    """Return the labels' table with a column of ids: their own, others, or the rows' numbers."""
    if labels.ids is not None and ids is None:
        return labels.table
    n_rows = len(labels.labels)
    values = ids.values if ids else pl.int_range(n_rows, eager=True).cast(pl.String)
    frame = labels.table.lazy.with_columns(values.alias("sample_id"))
    columns = tuple(frame.collect_schema().names())
    return replace(labels.table, lazy=frame, columns=columns)


def order_by_labels(
    store: Store, dataset: str, file: LabelFile, columns: ClassList, *, made: bool
) -> tuple[str | None, list[str]]:
    """Return the samples' order for rows without ids where labels vouch for it, and notices.

    They do where the data set is made of them, or each of its samples has the label of its row.

    Parameters
    ----------
    store, dataset
        Which data set.
    file, columns
        The labels, and the classes that they name or count.
    made
        Whether the data set is made of them.
    """
    if made:
        return ORDERS[1], []
    ours = _class_ids(store, dataset)
    theirs = _said_ids(file, columns)
    if len(ours) != len(theirs) or ours.null_count() or not ours.equals(theirs, null_equal=False):
        return None, []
    return ORDERS[1], [f"all {len(ours):,} labels agree with the samples' in this order"]


def refuse_other_labels(
    store: Store, dataset: str, file: LabelFile, columns: ClassList, matched: Match
) -> None:
    """Raise where the file's label is not the sample's: rows are mixed up, or classes are.

    Parameters
    ----------
    store, dataset
        Which data set.
    file, columns
        The labels, and the classes that they name or count.
    matched
        Which row is which sample's.

    Raises
    ------
    DatasetError
        If a label differs, by its sample.
    """
    ours, theirs = _class_ids(store, dataset), matched.gather(_said_ids(file, columns))
    wrong = (ours != theirs).fill_null(value=False).arg_true()
    if len(wrong):
        ids = store.samples(dataset)["sample_id"]
        raise DatasetError(
            f"{len(wrong):,} labels of {file.table.path} are not those of data set {dataset!r}: "
            f"sample {ids[wrong[0]]!r} is {ours[wrong[0]]!r} there and {theirs[wrong[0]]!r} in the "
            "file; rows are mixed up (give --ids), or numbers count other classes (give --classes)"
        )


def _class_ids(store: Store, dataset: str) -> pl.Series:
    """(N,) class ids of the samples, null where there is none."""
    classes = pl.Series(store.dataset(dataset).class_ids, dtype=pl.String)
    return classes.gather(store.samples(dataset)["label"])


def _said_ids(file: LabelFile, columns: ClassList) -> pl.Series:
    """(R,) class ids of the rows, null where there is none."""
    ids = file.ids.values if file.ids else pl.int_range(len(file.labels), eager=True)
    indices = class_indices(file.labels, ids.cast(pl.String), columns, str(file.table.path))
    return pl.Series(columns.ids, dtype=pl.String).gather(indices)


def _opened(path: Path) -> Table:
    if path.suffix == ".npy":
        digest, values = one_text_a_row(path, "labels")
        return Table(path, digest, pl.LazyFrame({_LABEL: values}), (_LABEL,))
    if path.suffix == ".txt":
        lines = file_text(path).removesuffix("\n").split("\n")
        digest = sha256(path.read_bytes()).hexdigest()
        return Table(path, digest, pl.LazyFrame({_LABEL: lines}), (_LABEL,))
    return read_table(path)
