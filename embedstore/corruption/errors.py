"""Errors under corruption, divided by those of a normaliser (Hendrycks & Dietterich, 2019).

With E the error of a model and A that of the normaliser, under corruption c at severity s:
CE_c = sum over s of E_cs / sum over s of A_cs; the relative one takes the errors on clean pictures
off each E and A. The mean corruption error is 100 times the mean of CE_c over corruptions. It knows
accuracies, not where they are from.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Literal

import polars as pl

from embedstore.corruption.normaliser import Normaliser
from embedstore.schema.corruption import CORRUPTIONS
from embedstore.stats.intervals import with_clopper_pearson

Level = Literal["benchmark", "kind", "corruption", "severity"]
SUBJECT = ("model", "head", "space", "benchmark")
#: What names a row of each level, besides the subject.
KEYS = MappingProxyType[Level, tuple[str, ...]](
    {
        "benchmark": (),
        "kind": ("kind",),
        "corruption": ("kind", "corruption"),
        "severity": ("kind", "corruption", "severity"),
    }
)
#: Up to here a sum of differences of errors is rounding alone.
LEAST = 1e-9
#: Missing corruptions and severities that a note names before it only counts.
_NAMED = 3


def figures(
    measured: pl.DataFrame,
    cells: pl.DataFrame,
    normaliser: Normaliser,
    *,
    by: Level,
    partial: bool,
    no_clean: pl.Expr,
) -> pl.DataFrame:
    """Return accuracies and errors on one benchmark at one level.

    Parameters
    ----------
    measured
        Rows `schema.corruption.UNDER_CORRUPTION` of the benchmark and one label space.
    cells
        What is summed over, as :func:`embedstore.corruption.benchmarks.cells_of` returns it.
    normaliser
        Whose errors divide.
    by
        What a row is of.
    partial
        Sum over what the model and the normaliser both have; else a number is null of which
        anything is missing.
    no_clean
        What to note of a model whose accuracy on clean pictures is not there, of columns `SUBJECT`.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.corruption.CORRUPTIONS`, the convention null.
    """
    several = by in ("benchmark", "kind")
    beside = _beside(measured, cells.filter("counted") if several else cells, normaliser, by)
    keys = [*SUBJECT, *KEYS[by]]
    summed = _summed(beside, [*SUBJECT, *KEYS["corruption" if several else by]], partial)
    rows = _means(summed, keys, partial) if several else summed
    rows = rows.filter(pl.col("n_corruptions") > 0)
    for notes in (
        _notes(beside, keys, normaliser, partial, no_clean),
        _undivided(summed, keys, normaliser, by, partial),
    ):
        rows = rows.join(notes, keys, how="left", nulls_equal=True, maintain_order="left")
    return _finished(rows.with_columns(note=joined("note", "undivided")), normaliser, by)


def joined(*notes: str | pl.Expr) -> pl.Expr:
    """Put notes behind each other; null where there is none."""
    return pl.concat_str(notes, separator="; ", ignore_nulls=True).replace("", None)


def _beside(
    measured: pl.DataFrame, cells: pl.DataFrame, normaliser: Normaliser, by: Level
) -> pl.DataFrame:
    """Put what is wanted of each model, what it has and what divides it side by side."""
    errors = normaliser.errors.rename({"error": "divisor"})
    if by == "severity":  # a mean over severities tells nothing of one
        errors = errors.filter("by_severity")
    accuracy, severity = pl.col("accuracy"), pl.col("severity")
    frame = measured.select(SUBJECT).unique(maintain_order=True).join(cells, how="cross")
    for others, keys in (
        (measured.filter(severity > 0), [*SUBJECT, "corruption", "severity"]),
        (errors.filter(severity > 0), ["corruption", "severity"]),
        (
            measured.filter(severity == 0).select(
                *SUBJECT, accuracy.alias("clean_accuracy"), clean_dataset="dataset"
            ),
            list(SUBJECT),
        ),
    ):
        frame = frame.join(others, keys, how="left", nulls_equal=True, maintain_order="left")
    clean = errors.filter(severity == 0)["divisor"]
    return frame.with_columns(
        error=1 - accuracy,
        clean_divisor=pl.lit(clean[0] if len(clean) else None, pl.Float64),
    )


def _summed(beside: pl.DataFrame, keys: Sequence[str], partial: bool) -> pl.DataFrame:
    """Sum over the severities of each corruption, or of each severity alone."""
    own, divisor = pl.col("error").is_not_null(), pl.col("divisor")
    both = own & divisor.is_not_null()
    sums = beside.group_by(keys, maintain_order=True).agg(
        pl.col("dataset", "clean_accuracy", "clean_dataset", "clean_divisor").first(),
        _known_sum("n_samples", "n_correct", "n_left_out"),
        n_corruptions=own.any().cast(pl.Int64),
        accuracy=pl.when(own.all() | partial).then(pl.col("accuracy").mean()),
        enough=both.all() | (partial & both.any() & pl.col("by_severity").all()),
        n=both.sum(),
        error=pl.col("error").filter(both).sum(),
        divisor=divisor.filter(both).sum(),
    )
    more = pl.col("error") - pl.col("n") * (1 - pl.col("clean_accuracy"))
    divisor_more = divisor - pl.col("n") * pl.col("clean_divisor")
    return sums.with_columns(
        _ratio(pl.col("error"), divisor).alias("corruption_error"),
        _ratio(more, divisor_more).alias("relative_corruption_error"),
        no_error=pl.col("enough") & (divisor <= LEAST),
        no_worse=pl.col("enough") & more.is_not_null() & (divisor_more <= LEAST),
    )


def _ratio(error: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """Divide sums; null where something is missing, or the normaliser does not err."""
    return pl.when(pl.col("enough") & (divisor > LEAST)).then(error / divisor)


def _means(summed: pl.DataFrame, keys: Sequence[str], partial: bool) -> pl.DataFrame:
    """Average over corruptions."""
    errors = ("corruption_error", "relative_corruption_error")
    return summed.group_by(keys, maintain_order=True).agg(
        pl.col("clean_accuracy", "clean_dataset").first(),
        _known_sum("n_samples", "n_left_out"),
        pl.col("n_corruptions").sum(),
        _mean("accuracy", partial),
        *(
            (100 * _mean(name, partial)).alias(name.replace("corruption", "mean_corruption"))
            for name in errors
        ),
    )


def _known_sum(*names: str) -> pl.Expr:
    """Return sums, null where nothing is known."""
    return pl.when(pl.col(*names).count() > 0).then(pl.col(*names).sum())


def _mean(name: str, partial: bool) -> pl.Expr:
    return pl.when(pl.col(name).is_not_null().all() | partial).then(pl.col(name).mean())


def _notes(
    beside: pl.DataFrame,
    keys: Sequence[str],
    normaliser: Normaliser,
    partial: bool,
    no_clean: pl.Expr,
) -> pl.DataFrame:
    """Return what is missing of each row."""
    own, name = pl.col("error").is_not_null(), normaliser.name
    cell = pl.format("{} {}", "corruption", "severity")
    found = beside.group_by(keys, maintain_order=True).agg(
        pl.len().alias("n"),
        own=cell.filter(~own),
        theirs=cell.filter(own & pl.col("divisor").is_null()),
        clean=pl.col("clean_accuracy").is_null().all(),
        clean_divisor=pl.col("clean_divisor").is_null().all(),
    )
    parts, lacking = [_lacking("own", "")], pl.col("own").list.len() > 0
    if name is not None:
        parts.append(_lacking("theirs", f" of {name}"))
        lacking |= pl.col("theirs").list.len() > 0
        unknown = pl.lit(f"{name}'s error on clean pictures is not known")
    else:
        unknown = pl.lit(None, pl.String)
    remedy = "summed over the rest" if partial else "sum over the rest with --partial"
    parts += [
        pl.when(lacking).then(pl.lit(remedy)),
        pl.when("clean").then(no_clean).when("clean_divisor").then(unknown),
        pl.lit(normaliser.note, pl.String),
    ]
    return found.select(*keys, note=joined(*parts))


def _lacking(column: str, whose: str) -> pl.Expr:
    """Name some of a list of missing cells, and count them all."""
    missing = pl.col(column)
    said = pl.format(
        "{} of {}{} missing: {}", missing.list.len(), "n", pl.lit(whose), _some(missing)
    )
    return pl.when(missing.list.len() > 0).then(said)


def _undivided(
    summed: pl.DataFrame, keys: Sequence[str], normaliser: Normaliser, by: Level, partial: bool
) -> pl.DataFrame:
    """Return where the normaliser's errors cannot divide, in a column `undivided`."""
    cell = pl.format("{} {}", "corruption", "severity") if by == "severity" else "corruption"
    never, no_more = pl.col("never"), pl.col("no_more")
    found = (
        summed.with_columns(cell=cell)
        .group_by(keys, maintain_order=True)
        .agg(
            never=pl.col("cell").filter("no_error"),
            no_more=pl.col("cell").filter(pl.col("no_worse") & ~pl.col("no_error")),
        )
    )
    rest = ""
    if by in ("benchmark", "kind"):
        rest = ", means are of the rest" if partial else "; means of the rest with --partial"
    name = pl.lit(normaliser.name, pl.String)
    said = [
        pl.when(names.list.len() > 0).then(pl.format(text + rest, name, _some(names)))
        for names, text in (
            (never, "{} does not err under {}: no corruption error"),
            (no_more, "{} errs no more under {} than on clean pictures: no relative error"),
        )
    ]
    return found.select(*keys, undivided=joined(*said))


def _some(names: pl.Expr) -> pl.Expr:
    """Name the first few of a list."""
    more = pl.when(names.list.len() > _NAMED).then(pl.lit(", ...")).otherwise(pl.lit(""))
    return pl.format("{}{}", names.list.head(_NAMED).list.join(", "), more)


def _finished(rows: pl.DataFrame, normaliser: Normaliser, by: Level) -> pl.DataFrame:
    """Name the normaliser, and bound what is a proportion of independent pictures."""
    rows = rows.with_columns(
        normaliser=pl.lit(normaliser.name, pl.String),
        normaliser_source=pl.lit(normaliser.source, pl.String),
    )
    if by == "severity":
        rows = with_clopper_pearson(
            rows, "n_correct", "n_samples", low="accuracy_low", high="accuracy_high"
        )
    else:
        rows = rows.drop("dataset", strict=False)
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in CORRUPTIONS.items()
    )
