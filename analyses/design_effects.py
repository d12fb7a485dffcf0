"""What each level of each factor of design makes of a metric, all else equal, over models.

Conventions: the robust regression of `design`; a level's effect is against the most frequent level
of its factor, a size's per factor of 10, both on the axis named. A term that others add up to has
no effect of its own: null. Bounds are normal, 95 %, and take a model's heads as independent.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore.across.design import SIX, complete, design_columns
from embedstore.across.figures import STORE, figures
from embedstore.across.points import place
from embedstore.analysis import analysis
from embedstore.schema.across import DESIGN_EFFECTS
from embedstore.stats.axes import Axis
from embedstore.stats.factor_regression import effects
from embedstore.stats.multiple import benjamini_hochberg
from embedstore.store import Store


@analysis
def design_effects(
    store: Store,
    *,
    metric: str,
    models: str = "*",
    axis: Axis = "linear",
    published: str | None = None,
    table: str | None = None,
    n_samples: int | None = None,
) -> pl.DataFrame:
    """What each level of the six factors makes of a metric, all else equal, one row a term.

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

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.DESIGN_EFFECTS`, in the order of the factors.

    Raises
    ------
    EmbedStoreError
        If there are too few models to tell the terms apart.

    Examples
    --------
    embedstore analyze design-effects clip.store --metric 'calibration.ece?dataset=imagenet-val'
    """
    known = complete(figures(store, metric, models, published, table))
    columns = design_columns(known)
    values = place(known["value"], known["n_samples"], axis, n_samples)[0]
    found = effects(columns.values, values)
    factors = list(SIX)
    level = np.array([bool(reference) for reference in columns.references], bool)
    n_models = np.where(level, columns.values.sum(axis=0), known.height)
    frame = pl.DataFrame(
        {
            "factor": [factors[number] for number in columns.factors],
            "term": columns.names,
            "reference": [reference or None for reference in columns.references],
            "n_models": n_models.astype(np.int64),
            "effect": found.effect,
            "effect_low": found.low,
            "effect_high": found.high,
            "p_value": found.p_value,
            "q_value": benjamini_hochberg(found.p_value),
        },
        schema_overrides={"term": pl.String, "factor": pl.String, "reference": pl.String},
    )
    return frame.with_columns(
        pl.selectors.float().fill_nan(None),
        metric=pl.lit(metric),
        axis=pl.lit(axis),
        source=pl.lit(published or table or STORE),
        convention=pl.lit("Huber's T, c = 1.345, MAD; levels against the most frequent one"),
        note=pl.when(pl.col("effect").is_nan()).then(pl.lit("other terms tell the same")),
    ).select(pl.col(name).cast(dtype) for name, dtype in DESIGN_EFFECTS.items())
