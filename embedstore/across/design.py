"""The six factors of design as columns of a regression, and models that differ in one alone.

Dimensions: N models, P columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import EmbedStoreError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: The six factors, and the facts of a model that each is made of.
SIX = MappingProxyType(
    {
        "architecture": ("architecture", "n_parameters", "patch", "resolution"),
        "training_distribution": ("training_distribution",),
        "training_size": ("training_samples",),
        "fine_tuning": ("fine_tuning",),
        "loss": ("loss",),
        "prompts": ("prompts",),
    }
)
#: Facts that are sizes: their logarithm counts, and two are alike within a tolerance.
SIZES = frozenset({"n_parameters", "training_samples"})
#: Facts that count as a level of their own where a model has none: a ConvNet has no patches.
ABSENT = frozenset({"patch"})
#: How far sizes may lie apart and still count as equal: a factor.
TOLERANCE = 1.25


@dataclass(frozen=True, slots=True)
class Columns:
    """Factors of models as numbers: levels as 0 and 1, the most frequent one left out."""

    names: tuple[str, ...]  # (P,) `fact=level`, or `log10 fact`
    references: tuple[str, ...]  # (P,) the level that is left out; empty for a size
    factors: I64  # (P,) which of SIX each is of
    values: F64  # (N, P)


def complete(figures: pl.DataFrame) -> pl.DataFrame:
    """Return the models that have the value, and every fact that is known of any of them."""
    measured = figures.filter(pl.col("value").is_not_null())
    return measured.filter(pl.col(f).is_not_null() for f in _known(measured))


def _known(models: pl.DataFrame) -> list[str]:
    """Return the facts that are known of any model, and must be of each."""
    facts = [f for facts in SIX.values() for f in facts if f not in ABSENT]
    return [f for f in facts if models[f].null_count() < models.height]


def design_columns(models: pl.DataFrame) -> Columns:
    """Return the factors of models as columns: N rows of facts -> (N, P)."""
    names, references, factors, values = [], [], [], []
    for number, facts in enumerate(SIX.values()):
        for fact in facts:
            for name, reference, column in _columns(models, fact):
                names.append(name)
                references.append(reference)
                factors.append(number)
                values.append(column)
    shape = (models.height, 0)
    return Columns(
        tuple(names),
        tuple(references),
        np.array(factors, np.int64),
        np.column_stack(values) if values else np.empty(shape),
    )


def _columns(models: pl.DataFrame, fact: str) -> list[tuple[str, str, F64]]:
    """Return name, reference level and numbers of each column of a fact; none of a constant one."""
    if models[fact].null_count() == models.height:
        return []
    if fact in SIZES:
        size = np.log10(models[fact].cast(pl.Float64).to_numpy())
        return [(f"log10 {fact}", "", size)] if np.ptp(size) > 0 else []
    levels = models[fact].cast(pl.String).fill_null("none")
    counts = levels.value_counts().sort(["count", fact], descending=[True, False])[fact].to_list()
    return [
        (f"{fact}={level}", counts[0], (levels == level).to_numpy().astype(np.float64))
        for level in sorted(counts[1:])
    ]


def collinear(columns: Columns) -> dict[str, list[str]]:
    """Return, for each factor, the others that tell part of what it tells, two at a time."""
    centred = columns.values - columns.values.mean(axis=0)
    parts = [centred[:, columns.factors == number] for number in range(len(SIX))]
    ranks = [_rank(part) for part in parts]
    found: dict[str, list[str]] = {factor: [] for factor in SIX}
    for i, first in enumerate(SIX):
        for j, second in enumerate(SIX):
            both = np.column_stack([parts[i], parts[j]])
            if i != j and ranks[i] and ranks[j] and _rank(both) < ranks[i] + ranks[j]:
                found[first].append(second)
    return found


def _rank(columns: F64) -> int:
    return int(np.linalg.matrix_rank(columns)) if columns.size else 0


def matched_pairs(models: pl.DataFrame, tolerance: float = TOLERANCE) -> pl.DataFrame:
    """Return pairs of models that are equal in five factors and differ in the sixth.

    Parameters
    ----------
    models
        Columns of figures; what is not known of a model is equal to nothing, a patch apart.
    tolerance
        A factor within which sizes count as equal, 1 or more.

    Returns
    -------
    pl.DataFrame
        `factor`, then `first`, `second` (models), their `..._head`, `..._level` and `..._value`;
        levels in their order, the smaller size first.

    Raises
    ------
    EmbedStoreError
        If `tolerance` is less than 1.
    """
    if not tolerance >= 1:
        raise EmbedStoreError(f"the tolerance is {tolerance:g}; give a factor of 1 or more")
    rows = models.with_row_index("row")
    tables = [_pairs(rows, factor, tolerance) for factor in SIX]
    return pl.concat(tables)


def _pairs(rows: pl.DataFrame, factor: str, tolerance: float) -> pl.DataFrame:
    known = _known(rows)
    others = [f for name, facts in SIX.items() if name != factor for f in facts]
    exact = [f for f in others if f not in SIZES]
    pairs = rows.join(rows, exact, suffix="_second", nulls_equal=True, coalesce=False).filter(
        *(pl.col(f).is_not_null() for f in exact if f in known),
        *(_alike(f, tolerance) for f in others if f in SIZES and f in known),
        pl.any_horizontal(_differs(f, tolerance) for f in SIX[factor]),
    )
    first, second = _level(factor, ""), _level(factor, "_second")
    ordered = pairs.with_columns(first_level=first, second_level=second).filter(_in_order(factor))
    return ordered.select(
        pl.lit(factor).alias("factor"),
        pl.col("model").alias("first"),
        pl.col("head").alias("first_head"),
        "first_level",
        pl.col("value").alias("first_value"),
        pl.col("model_second").alias("second"),
        pl.col("head_second").alias("second_head"),
        "second_level",
        pl.col("value_second").alias("second_value"),
    ).sort("first_level", "second_level", "first", "second", "first_head", "second_head")


def _alike(fact: str, tolerance: float) -> pl.Expr:
    sizes = (pl.col(fact).cast(pl.Float64), pl.col(f"{fact}_second").cast(pl.Float64))
    return pl.max_horizontal(sizes) <= tolerance * pl.min_horizontal(sizes)


def _differs(fact: str, tolerance: float) -> pl.Expr:
    if fact in SIZES:
        return ~_alike(fact, tolerance)
    here, there = pl.col(fact), pl.col(f"{fact}_second")
    return here.ne_missing(there) if fact in ABSENT else here != there


def _in_order(factor: str) -> pl.Expr:
    """Keep one of the two orders of a pair: by level, then the smaller first."""
    before = pl.lit(value=False)
    for key in reversed([*SIX[factor], "row"]):
        here, there = pl.col(key), pl.col(f"{key}_second")
        less = (here < there).fill_null(here.is_null() & there.is_not_null())
        before = less | (here.eq_missing(there) & before)
    return before


def _level(factor: str, suffix: str) -> pl.Expr:
    """Write the level of a factor as a person would."""
    if factor == "architecture":
        millions = (pl.col(f"n_parameters{suffix}") / 1e6).round(0).cast(pl.Int64)
        parts = [
            pl.col(f"architecture{suffix}"),
            pl.format("/{}", pl.col(f"patch{suffix}")),
            pl.format(" {}M", millions),
            pl.format(" {} px", pl.col(f"resolution{suffix}")),
        ]
        return pl.concat_str(parts, ignore_nulls=True)
    (fact,) = SIX[factor]
    return pl.col(f"{fact}{suffix}").cast(pl.String)
