"""How much each of the six factors of design explains of a metric, over models.

Conventions: a robust regression (Huber's T, c = 1.345, MAD) of the metric, on the axis named, on
all six: levels as 0 and 1, sizes by their logarithm; architecture is family, parameters, patch and
resolution together. `drop_r2` is what R², weighted by that fit, loses without a factor; what
collinear factors tell together is nobody's. Bounds resample models, their heads together. Matched
pairs are equal in the other five, sizes within a tolerance.

Dimensions: N models, F factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from embedstore.across.design import (
    SIX,
    TOLERANCE,
    collinear,
    complete,
    design_columns,
    matched_pairs,
)
from embedstore.across.figures import STORE, figures
from embedstore.across.points import place
from embedstore.analysis import analysis
from embedstore.schema.across import DESIGN
from embedstore.stats.axes import Axis
from embedstore.stats.bootstrap import N_RESAMPLES
from embedstore.stats.factor_regression import Explained, explain
from embedstore.stats.multiple import benjamini_hochberg
from embedstore.store import Store


@analysis
def design(
    store: Store,
    *,
    metric: str,
    models: str = "*",
    axis: Axis = "linear",
    published: str | None = None,
    table: str | None = None,
    n_samples: int | None = None,
    tolerance: float = TOLERANCE,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """How much each of the six factors explains of a metric: R² lost without it, one row a factor.

    Parameters
    ----------
    store
        Where the models are.
    metric
        Such as `calibration.ece?dataset=imagenet-val`; a column of `table`.
    models
        Glob over names.
    axis
        Scale of the metric.
    published
        A source of published results whose models are taken instead of the store's: open_clip.
    table
        A file of published results, or several parted by commas, instead of the store.
    n_samples
        Of how many samples a proportion is where that is not known: needed where one is 0 or 1.
    tolerance
        A factor within which sizes count as equal in matched pairs.
    n_resamples, seed
        Of the bounds.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.DESIGN`, the factors that explain most first.

    Raises
    ------
    EmbedStoreError
        If fewer than three models have the value and all factors, or `tolerance` is less than 1.

    Examples
    --------
    embedstore analyze design clip.store --metric 'calibration.ece?dataset=imagenet-val'
    embedstore analyze design clip.store --published open_clip --axis probit --metric 'accuracy.top1_accuracy?dataset=imagenet-val'
    """  # noqa: E501
    found = figures(store, metric, models, published, table)
    known = complete(found)
    values = place(known["value"], known["n_samples"], axis, n_samples)[0]
    columns = design_columns(known)
    fit = explain(
        columns.values,
        columns.factors,
        values,
        clusters=known["model"].to_numpy(),
        n_resamples=n_resamples,
        seed=seed,
    )
    common = {
        "metric": metric, "axis": axis, "source": published or table or STORE,
        "n_models": known["model"].n_unique(),
        "n_left_out": found["model"].n_unique() - known["model"].n_unique(),
        "r2": fit.r2,
        "convention": f"Huber's T, c = 1.345, MAD; {n_resamples:,} resamples of models, seed "
        f"{seed}; sizes of pairs within a factor of {tolerance:g}",
    }  # fmt: skip
    shared, pairs = collinear(columns), matched_pairs(known, tolerance)
    rows = []
    for number, factor in enumerate(SIX):
        row: dict[str, Any] = _levels(known, factor) | _pairs(pairs, factor)
        if (columns.factors == number).any():
            row |= _explained(fit, number) | {"collinear_with": ", ".join(shared[factor]) or None}
        rows.append({**common, "factor": factor, **row})
    frame = pl.DataFrame(rows, schema=dict(DESIGN)).with_columns(
        q_value=benjamini_hochberg(np.array([row.get("p_value", np.nan) for row in rows]))
    )
    return frame.with_columns(pl.selectors.float().fill_nan(None)).sort(
        "drop_r2", descending=True, nulls_last=True, maintain_order=True
    )


def _explained(fit: Explained, number: int) -> dict[str, Any]:
    """Return what the regression says of one factor."""
    return {
        "drop_r2": fit.drop[number],
        "drop_r2_low": fit.low[number],
        "drop_r2_high": fit.high[number],
        "p_value": fit.p_value[number],
        "note": None if fit.freedom[number] else "the other factors tell all it does",
    }


def _levels(models: pl.DataFrame, factor: str) -> dict[str, Any]:
    n_levels = models.select(pl.struct(SIX[factor]).n_unique()).item()
    note = "all models have the same" if n_levels == 1 else None
    return {"n_levels": n_levels, "note": note}


def _pairs(pairs: pl.DataFrame, factor: str) -> dict[str, Any]:
    own = pairs.filter(pl.col("factor") == factor)
    change = (own["second_value"] - own["first_value"]).abs().mean()
    return {"n_pairs": own.height, "pair_change": change}
