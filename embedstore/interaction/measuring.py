"""Numbers of a language model beside its encoder, counted over samples that both judged.

Dimensions: M samples, L levels.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore.stats.intervals import with_clopper_pearson
from embedstore.stats.paired import mcnemar, paired_difference

#: Sums over samples that only serve to compute others.
_SUMS = ("right_share", "encoder_right", "n_first", "n_placed", "n_compared")


def measured(samples: pl.DataFrame) -> pl.DataFrame:
    """Return the numbers of each `level`, in the order in which they first occur: M rows -> L rows.

    Parameters
    ----------
    samples
        As :func:`judging.judged` makes them, with columns `level` and `note`, one a level.

    Returns
    -------
    pl.DataFrame
        `level`, `note`, and the numbers of `schema.interaction.INTERACTION`.
    """
    frame = samples.with_columns(
        decided=(pl.col("decision") == pl.col("label")).fill_null(value=False),
        chosen=(pl.col("choice") == pl.col("label")).fill_null(value=False),
    )
    counts = frame.group_by("level", maintain_order=True).agg(
        pl.col("note").first(), *_accuracies(), *_table(), *_orders(), *_cues()
    )
    counts = counts.cast({pl.UInt32: pl.Int64})
    return _with_tests(_with_rates(counts)).drop(*_SUMS)


def _accuracies() -> tuple[pl.Expr, ...]:
    return (
        pl.len().alias("n_samples"),
        pl.col("label").n_unique().alias("n_classes"),
        (1 / pl.col("n_options")).mean().alias("chance"),
        pl.col("right_share").sum(),
        _where_known(pl.col("chosen").sum()).alias("encoder_right"),
        pl.col("correct").mean().alias("many_way_accuracy"),
        pl.col("decided").mean().alias("decided_accuracy"),
    )


def _table() -> tuple[pl.Expr, ...]:
    """Who is right where; null where the encoder's choices are not known."""
    model, encoder = pl.col("decided"), pl.col("chosen")
    return (
        _where_known((model & encoder).sum()).alias("both_right"),
        _where_known((model & ~encoder).sum()).alias("model_only"),
        _where_known((~model & encoder).sum()).alias("encoder_only"),
        _where_known((~model & ~encoder).sum()).alias("neither"),
    )


def _where_known(count: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("choice_known").all()).then(count)


def _orders() -> tuple[pl.Expr, ...]:
    """What orders differ in, over samples that were answered in all of them."""
    several, whole = pl.col("n_orders").first() > 1, pl.col("in_all_orders")
    lean = pl.col("lean").filter(whole)
    over_orders = {
        "right_in_both_orders": pl.col("right_in_all").filter(whole).mean(),
        "consistency": pl.col("consistent").filter(whole).mean(),
        "position_front": (lean == 1).sum(),
        "position_back": (lean == -1).sum(),
    }
    return (
        pl.col("n_orders").first(),
        (~whole).sum().alias("n_fewer_orders"),
        *(pl.when(several).then(found).alias(name) for name, found in over_orders.items()),
        lean.count().alias("n_compared"),
        pl.col("n_first", "n_placed").filter(whole).sum(),
        pl.col("n_unparsed").sum(),
        pl.col("tied").sum().alias("n_ties"),
    )


def _cues() -> tuple[pl.Expr, ...]:
    there = pl.col("shape").count() > 0
    taken = (
        pl.when(there).then((pl.col(taker) == pl.col(cue)).sum()).alias(f"{name}_{cue}_decisions")
        for taker, name in (("decision", "model"), ("choice", "encoder"))
        for cue in ("shape", "texture")
    )
    return (pl.when(there).then(pl.col("shape").count()).alias("n_conflict"), *taken)


def _with_rates(counts: pl.DataFrame) -> pl.DataFrame:
    """Add accuracies and shares, and bounds of accuracies."""
    n_samples = pl.col("n_samples")
    return (
        counts.with_columns(
            model_accuracy=pl.col("right_share") / n_samples,
            encoder_accuracy=pl.col("encoder_right") / n_samples,
            position_bias=_share("n_first", pl.col("n_placed")),
            **{
                f"{name}_shape_bias": _share(
                    f"{name}_shape_decisions",
                    pl.sum_horizontal(f"{name}_shape_decisions", f"{name}_texture_decisions"),
                )
                for name in ("model", "encoder")
            },
        )
        .pipe(_with_bounds, "right_share", "model_accuracy")
        .pipe(_with_bounds, "encoder_right", "encoder_accuracy")
    )


def _share(count: str, of: pl.Expr) -> pl.Expr:
    return pl.when(of > 0).then(pl.col(count) / of)


def _with_bounds(frame: pl.DataFrame, count: str, name: str) -> pl.DataFrame:
    low, high = f"{name}_low", f"{name}_high"
    return with_clopper_pearson(frame, count, "n_samples", low=low, high=high)


def _with_tests(counts: pl.DataFrame) -> pl.DataFrame:
    """Add differences with their bounds, and p-values; null where their counts are."""
    cells = [counts[c] for c in ("both_right", "model_only", "encoder_only", "neither")]
    known = cells[0].is_not_null()
    both, model, encoder, neither = (c.fill_null(0).to_numpy() for c in cells)
    low, high = paired_difference(both, model, encoder, neither)
    front, back = (counts[c].fill_null(0) for c in ("position_front", "position_back"))
    p_position = mcnemar(front.to_numpy(), back.to_numpy())
    found = {
        "difference": (model - encoder) / counts["n_samples"].to_numpy(),
        "difference_low": low,
        "difference_high": high,
        "mcnemar_p": mcnemar(model, encoder),
    }
    return counts.with_columns(
        *(_masked(name, values, known) for name, values in found.items()),
        _masked("position_p", p_position, counts["n_compared"] > 0),
    )


def _masked(
    name: str, values: np.ndarray[tuple[int], np.dtype[np.float64]], known: pl.Series
) -> pl.Series:
    return pl.Series(name, values).set(~known, None)
