"""Further columns of a data set's samples, from a table, joined by id.

Dimensions: N samples, R rows of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import polars as pl

from embedstore import schema
from embedstore.errors import DatasetError, UnknownNameError
from embedstore.importers.matching import USUAL, Match, by_order, match
from embedstore.importers.report import Report
from embedstore.importers.tables import Table, texts, typed
from embedstore.store import Store
from embedstore.store.datasets import annotation_names, save_annotations

#: Orders that a file without ids may claim to have.
ORDERS = ("sorted-ids", "as-samples")


def import_annotations(
    store: Store,
    table: Table,
    dataset: str,
    *,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    prefix: str = "",
    rows: str | None = None,
) -> Report:
    """Put columns of a table beside a data set's samples; a sample without a row gets nulls.

    Parameters
    ----------
    store, table, dataset
        From where to where.
    id_column
        Column of ids; by its usual names where it is None.
    columns
        Which columns; all but the ids where it is None. The only column of a JSON array of plain
        values gets this name.
    name
        Of the table of annotations in the store; the file's where it is None.
    prefix
        Put before the name of each column.
    rows
        For a file without ids: the order of its rows, one of `ORDERS`.

    Raises
    ------
    DatasetError
        If an id stands twice or none is a sample's, or a column's name is taken.

    Notes
    -----
    A file of ids alone is a list of samples: a column of its own name, true for these, else false.
    """
    samples = dataset_of(store, dataset)["sample_id"]
    where = str(table.path)
    if rows is None:
        ids = table.find(id_column, USUAL, "--id (or --rows, for a file that has no ids)")
        chosen = [table.find(c, (), "--columns") for c in columns] if columns else None
        chosen = chosen or [c for c in table.columns if c != ids]
        frame = table.select(list(dict.fromkeys([ids, *chosen])))
        matched = match(texts(frame[ids], where), samples, where, dataset)
        frame = frame.select(chosen)
    else:
        frame = _values(table, columns)
        matched = _ordered(frame.height, samples, rows, where, dataset)
    stem = PurePath(table.path).name.partition(".")[0]
    notices = matched.notices(table.path.name, dataset, "null" if frame.width else "false")
    kept = [matched.gather(column) for column in frame.get_columns()]
    kept = kept or [pl.Series(name or stem, matched.rows).is_not_null()]
    frame = pl.DataFrame(kept).rename(lambda column: f"{prefix}{column}")
    name = name or f"{prefix}{stem}"
    _refuse_taken(store, dataset, name, frame.columns)
    already, said = save_columns(store, dataset, name, frame, table.origin | matched.facts())
    n_described = len(samples) - len(matched.missing)
    what = f"{dataset}: {frame.width} annotations named {name!r} of {n_described:,} samples"
    return Report(what, already, [*notices, *said])


def save_columns(
    store: Store, dataset: str, name: str, frame: pl.DataFrame, origin: Mapping[str, Any]
) -> tuple[bool, list[str]]:
    """Commit columns in simple types; return whether they were there, and notices.

    Parameters
    ----------
    store, dataset, name
        Where they belong.
    frame
        N rows, of which texts may be numbers.
    origin
        What a record keeps of where they are from.
    """
    kept = [_flat(c) for c in frame.get_columns() if _is_kept(c.dtype)]
    left_out = [c for c in frame.columns if c not in {k.name for k in kept}]
    notices = [f"column {c!r} is left out: annotations are values or lists" for c in left_out]
    if not kept:
        return False, notices
    simple = [typed(column) for column in kept]
    flags = [c.name for c in simple if c.dtype == pl.Boolean and frame[c.name].dtype != pl.Boolean]
    if flags:
        notices.append(f"true and false now, from 0 and 1: {', '.join(flags)}")
    already = name in annotation_names(store.files, dataset)
    save_annotations(store.files, dataset, name, pl.DataFrame(simple), origin)
    return already, notices


def _is_kept(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    return not inner.is_nested() and inner not in (pl.Binary, pl.Object)


def _flat(column: pl.Series) -> pl.Series:
    """Return a column, arrays of one length as lists of any."""
    return column.arr.to_list() if isinstance(column.dtype, pl.Array) else column


def dataset_of(store: Store, dataset: str) -> pl.DataFrame:
    """Return a data set's samples, annotations beside them.

    Raises
    ------
    DatasetError
        If the store does not have it.
    """
    if dataset not in store.datasets:
        known = ", ".join(store.datasets) or "none"
        raise DatasetError(
            f"the store has no data set {dataset!r} (there: {known}); encode its pictures, or "
            f"bring it in: embedstore import samples {store.files.root} --dataset {dataset} "
            "--file FILE"
        )
    return store.samples(dataset)


def _refuse_taken(store: Store, dataset: str, name: str, columns: Sequence[str]) -> None:
    there = annotation_names(store.files, dataset)
    others = () if name in there else store.samples(dataset).columns
    for column in columns:
        if column in others or column in schema.TAKEN:
            whose = f"data set {dataset!r}" if column in others else "the store's outcomes"
            raise DatasetError(
                f"column {column!r} is one of {whose} already; tell the two apart with --prefix, "
                "or choose others with --columns"
            )


def _values(table: Table, columns: Sequence[str] | None) -> pl.DataFrame:
    """Read all rows of a file without ids; a single unnamed column takes the user's name."""
    if len(table.columns) == 1 and columns and len(columns) == 1:
        return table.select(table.columns).rename({table.columns[0]: columns[0]})
    return table.select([table.find(c, (), "--columns") for c in columns or table.columns])


def _ordered(n_rows: int, samples: pl.Series, rows: str, where: str, dataset: str) -> Match:
    if rows not in ORDERS:
        raise UnknownNameError("order of rows", rows, ORDERS)
    return by_order(n_rows, samples, rows, where, dataset)
