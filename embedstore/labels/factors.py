"""Factors: columns of a data set's samples that mark some of them. It knows no outcomes.

Dimensions: N samples, F factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.errors import DatasetError

Bool = npt.NDArray[np.bool_]

#: Beyond this a column names its samples rather than sorting them.
MOST_VALUES = 1_000
#: ImageNet-X's several factors a picture, where they stand beside its top factors.
SEVERAL = "multi_"
TEXTS = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True, slots=True)
class Factors:
    """Which samples each factor marks, and which of the samples its column says anything of."""

    names: tuple[str, ...]  # (F,)
    groups: tuple[str, ...]  # (F,) factors among which a worst one is sought
    marked: Bool  # (N, F)
    known: Bool  # (N, F); what is not annotated is neither marked nor unmarked

    def without(self, rows: Bool) -> Factors:
        """Return the factors with the samples `rows`, (N,), as if not annotated."""
        kept = ~rows[:, None]
        return Factors(self.names, self.groups, self.marked & kept, self.known & kept)


def flags(column: pl.Series) -> pl.Series | None:
    """Return a column as true and false, also of 0 and 1: (N,); None where it is neither."""
    if column.dtype == pl.Boolean:
        return column
    if column.dtype.is_integer() and set(column.drop_nulls().unique()) <= {0, 1}:
        return column.cast(pl.Boolean)
    return None


def factor_columns(
    samples: pl.DataFrame, patterns: Sequence[str], prefix: str, excluded: str | None
) -> list[str]:
    """Return the columns that are asked for: by default every one of true and false.

    Parameters
    ----------
    samples
        N rows, annotations beside them.
    patterns
        Names or globs of columns; none asks for all of true and false that are not all null.
    prefix
        Only columns whose name begins so; patterns then tell the rest of the name.
    excluded
        A column that is no factor unless it is named.
    """
    annotations = [c for c in samples.columns if c not in schema.SAMPLES and c.startswith(prefix)]
    if patterns:
        return [
            column
            for column in annotations
            if any(fnmatchcase(column.removeprefix(prefix), p) for p in patterns)
        ]
    candidates = (c for c in annotations if c != excluded)
    return [
        c
        for c in candidates
        if samples[c].null_count() < samples.height and flags(samples[c]) is not None
    ]


def factors_of(samples: pl.DataFrame, columns: Sequence[str], prefix: str = "") -> Factors:
    """Return the factors that columns hold: one each of true and false, else one a value.

    Parameters
    ----------
    samples
        N rows.
    columns
        Of true and false, or of texts, whole numbers or categories.
    prefix
        Left out of the factors' names.

    Raises
    ------
    DatasetError
        If a column holds lists or fractions, or too many values to sort samples by.
    """
    names, groups, marked, known = [], [], [], []
    for column in columns:
        name, values = column.removeprefix(prefix), samples[column]
        for suffix, marks in _marks(values):
            names.append(name + suffix)
            groups.append(SEVERAL if name.startswith(SEVERAL) else "")
            marked.append(marks.fill_null(value=False).to_numpy())
            known.append(values.is_not_null().to_numpy())
    shape = (samples.height, len(names))
    return Factors(
        tuple(names),
        tuple(groups),
        np.stack(marked, axis=1) if marked else np.zeros(shape, bool),
        np.stack(known, axis=1) if known else np.zeros(shape, bool),
    )


def _marks(column: pl.Series) -> list[tuple[str, pl.Series]]:
    """Return what comes after the column's name, and who is marked: (N,) each."""
    marks = flags(column)
    if marks is not None:
        return [("", marks)]
    said = categories(column)
    values = said.drop_nulls().unique().sort()
    return [(f"={value}", said == value) for value in values]


def categories(column: pl.Series) -> pl.Series:
    """Return the values of a column that sorts samples into kinds, as texts: (N,).

    Raises
    ------
    DatasetError
        If it holds lists or fractions, or too many values to sort samples by.
    """
    if not (column.dtype.is_integer() or column.dtype in TEXTS):
        raise DatasetError(
            f"column {column.name!r} holds {column.dtype}, which sorts no samples; give one of "
            "true and false, texts or whole numbers with --factors"
        )
    n_values = column.drop_nulls().n_unique()
    if n_values > MOST_VALUES:
        raise DatasetError(
            f"column {column.name!r} has {n_values:,} values, and a factor at most "
            f"{MOST_VALUES:,}; sort its samples into fewer, or choose other columns with --factors"
        )
    return column.cast(pl.String)
