"""Models that are equal in five factors of design and differ in the sixth, and what that does.

Conventions: levels must be known and equal, sizes (parameters, training samples) within a stated
tolerance. The difference is the second's value less the first's; the mean over all pairs of the
same two levels stands beside each, its bounds the percentile bootstrap's over these pairs.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from embedstore.across.design import SIX, TOLERANCE
from embedstore.across.design import matched_pairs as pairs_of
from embedstore.across.figures import STORE, figures
from embedstore.analysis import analysis
from embedstore.errors import UnknownNameError
from embedstore.schema.across import MATCHED_PAIRS
from embedstore.stats.bootstrap import N_RESAMPLES, bootstrap_means, percentile_interval
from embedstore.store import Store

_LEVELS = ["factor", "first_level", "second_level"]


@analysis
def matched_pairs(
    store: Store,
    *,
    metric: str,
    models: str = "*",
    factor: str = "*",
    published: str | None = None,
    table: str | None = None,
    tolerance: float = TOLERANCE,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """Pairs of models that differ in one factor of design alone, and a metric of both.

    Parameters
    ----------
    store
        Where the models are.
    metric
        Such as `accuracy.top1_accuracy?dataset=imagenet-val`; a column of `table`.
    models
        Glob over names.
    factor
        One of the six, or all.
    published
        A source of published results whose models are taken instead of the store's: open_clip.
    table
        A file of published results, or several parted by commas, instead of the store.
    tolerance
        A factor within which sizes count as equal, 1 or more.
    n_resamples, seed
        Of the means' bounds.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.MATCHED_PAIRS`; none where no two models match.

    Raises
    ------
    EmbedStoreError
        If `tolerance` is less than 1, or there is no such factor.

    Examples
    --------
    embedstore analyze matched-pairs clip.store --factor loss --metric 'accuracy.top1_accuracy?dataset=imagenet-val'
    """  # noqa: E501
    if factor not in ("*", *SIX):
        raise UnknownNameError("factor of design", factor, SIX)
    found = figures(store, metric, models, published, table)
    pairs = pairs_of(found.filter(pl.col("value").is_not_null()), tolerance)
    if factor != "*":
        pairs = pairs.filter(pl.col("factor") == factor)
    pairs = pairs.with_columns(difference=pl.col("second_value") - pl.col("first_value"))
    means = [
        {**dict(zip(_LEVELS, levels, strict=True)), **_mean(part["difference"], n_resamples, seed)}
        for levels, part in pairs.partition_by(_LEVELS, as_dict=True).items()
    ]
    columns = {
        c: MATCHED_PAIRS[c]
        for c in (*_LEVELS, "n_pairs", "mean_difference", "mean_low", "mean_high")
    }
    table_ = pairs.join(
        pl.DataFrame(means, schema=columns), _LEVELS, how="left", maintain_order="left"
    )
    return table_.select(
        pl.lit(metric).alias("metric"),
        *(c for c in MATCHED_PAIRS if c not in ("metric", "source", "tolerance")),
        pl.lit(published or table or STORE).alias("source"),
        pl.lit(tolerance).alias("tolerance"),
    )


def _mean(differences: pl.Series, n_resamples: int, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {"n_pairs": len(differences), "mean_difference": differences.mean()}
    if len(differences) < 2:
        return found
    means = bootstrap_means(differences.to_numpy(), n_resamples=n_resamples, seed=seed)
    low, high = percentile_interval(means[:, 0])
    return found | {"mean_low": float(low), "mean_high": float(high)}
