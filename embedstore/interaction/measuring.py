"""Numbers of a language model beside its encoder, counted over samples that both judged.

Dimensions: M samples, L levels.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore.stats.intervals import with_clopper_pearson
from embedstore.stats.paired import mcnemar, paired_difference

#: Sums over samples that only serve to compute others.
_SUMS = ("right_share", "encoder_right", "n_first", "n_placed")


def measured(samples: pl.DataFrame) -> pl.DataFrame:
    """Return the numbers of each `level`, in the order in which they first occur: M rows -> L rows.

    Parameters
    ----------
    samples
        As :func:`judging.judged` makes them, with a column `level`.

    Returns
    -------
    pl.DataFrame
        `level`, and the numbers of `schema.interaction.INTERACTION`.
    """
    frame = samples.with_columns(
        decided=(pl.col("decision") == pl.col("label")).fill_null(value=False),
        chosen=(pl.col("choice") == pl.col("label")).fill_null(value=False),
        front=pl.col("lean") == 1,
        back=pl.col("lean") == -1,
    )
    counts = frame.group_by("level", maintain_order=True).agg(
        *_accuracies(), *_table(), *_orders(), *_cues()
    )
    counts = counts.cast({pl.UInt32: pl.Int64})
    return _with_tests(_with_rates(counts)).drop(*_SUMS)


def _accuracies() -> tuple[pl.Expr, ...]:
    return (
        pl.len().alias("n_samples"),
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
    several = pl.col("n_orders").max() > 1
    return (
        pl.col("n_orders").max(),
        pl.when(several).then(pl.col("right_in_all").mean()).alias("right_in_both_orders"),
        pl.when(several).then(pl.col("consistent").mean()).alias("consistency"),
        pl.when(several).then(pl.col("front").sum()).alias("position_front"),
        pl.when(several).then(pl.col("back").sum()).alias("position_back"),
        pl.col("n_unparsed", "n_first", "n_placed").sum(),
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
    front, back = counts["position_front"], counts["position_back"]
    asked = front.is_not_null()
    p_position = mcnemar(front.fill_null(0).to_numpy(), back.fill_null(0).to_numpy())
    found = {
        "difference": (model - encoder) / counts["n_samples"].to_numpy(),
        "difference_low": low,
        "difference_high": high,
        "mcnemar_p": mcnemar(model, encoder),
    }
    return counts.with_columns(
        *(_masked(name, values, known) for name, values in found.items()),
        _masked("position_p", p_position, asked),
    )


def _masked(
    name: str, values: np.ndarray[tuple[int], np.dtype[np.float64]], known: pl.Series
) -> pl.Series:
    return pl.Series(name, values).set(~known, None)
