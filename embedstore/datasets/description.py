"""What a table says of pictures beside their bytes: labels, captions, annotations.

One meaning of column names for manifests, Parquet and the records of WebDataset. Dimensions: N
samples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from embedstore import schema
from embedstore.datasets.classes import labelled
from embedstore.errors import DatasetError
from embedstore.prompts import ClassList

IDS = ("sample_id",)
LABELS = ("label", "wnid", "class_name", "class")
#: What may name the class of a label beside it.
NAMES = ("class_name",)
CAPTIONS = re.compile(r"captions?(?:_(\w+))?")


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of N pictures, in their order."""

    labels: pl.Series  # (N,) Int32, null where there is none
    classes: ClassList | None
    captions: Mapping[str, Sequence[Sequence[str]]]  # (N,) by set
    annotations: pl.DataFrame | None  # N rows
    notices: Sequence[str]


def caption_sets(columns: Sequence[str]) -> dict[str, str]:
    """Return caption column -> name of the caption set: `caption_de` -> `captions-de`."""
    sets: dict[str, str] = {}
    for column in columns:
        found = CAPTIONS.fullmatch(column)
        if found:
            name = f"captions-{found[1]}" if found[1] else "captions"
            if name in sets.values():
                raise DatasetError(f"columns of captions {name!r} stand twice; keep one of them")
            sets[column] = name
    return sets


def described(
    table: pl.DataFrame,
    where: str,
    classes: Sequence[str] | None = None,
    label_column: str | None = None,
) -> Description:
    """Return what the columns of a table say of its N rows.

    Parameters
    ----------
    table
        (N rows), without paths and ids.
    where
        What messages call it: its path.
    classes
        (C,) names in the order in which integer labels count them, if it is known.
    label_column
        Which column holds the labels, where its name does not say so.
    """
    label_column = label_column or next((c for c in LABELS if c in table.columns), None)
    labels = pl.Series([None] * table.height, dtype=pl.Int32)
    found: ClassList | None = None
    notices: list[str] = []
    used: set[str] = set()
    if label_column:
        beside = next((c for c in NAMES if c in table.columns and c != label_column), None)
        names = table[beside] if beside and classes is None else None
        labels, found, notices = labelled(table[label_column], where, classes, names)
        used = {label_column, beside} if beside and names is not None else {label_column}
    sets = caption_sets(table.columns)
    captions = {name: _texts(table[column], where) for column, name in sets.items()}
    rest, notice = _annotations(table.drop(*used, *sets), where)
    return Description(labels, found, captions, rest, [*notices, *notice])


def _texts(column: pl.Series, where: str) -> list[list[str]]:
    if column.dtype in (pl.String, pl.Null):
        return [[text] if text else [] for text in column]
    if column.dtype in (pl.List(pl.String), pl.List(pl.Null)):
        return [[text for text in texts or [] if text] for texts in column.to_list()]
    raise DatasetError(
        f"column {column.name!r} of {where} holds {column.dtype} where captions are texts or lists "
        "of texts; rename it"
    )


def _annotations(table: pl.DataFrame, where: str) -> tuple[pl.DataFrame | None, list[str]]:
    taken = [c for c in table.columns if c in schema.TAKEN]
    nested = [c for c, t in table.schema.items() if t.is_nested() or t in (pl.Binary, pl.Object)]
    notices = []
    if taken:
        notices.append(
            f"{_named(taken)} of {where} left out: the store has its own; rename to keep"
        )
    if nested:
        notices.append(f"{_named(nested)} of {where} left out: annotations are single values")
    kept = table.drop(*{*taken, *nested})
    return (kept if kept.width else None), notices


def _named(columns: Sequence[str]) -> str:
    return f"column{'s' if len(columns) > 1 else ''} {', '.join(map(repr, columns))}"
