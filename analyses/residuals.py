"""How far each model lies from a line: a user's own among hundreds of published ones.

Conventions: the robust line is that of `trend`, through the models that `fit` names, on the axes
named; expected values and bounds are brought back to the natural scale of y. The bounds are where a
new model would lie with 95 % (Student's t, residuals' robust variance and the line's own). With
baselines as `fit`, the residual is the effective robustness of Taori et al. (2020).

Dimensions: N models, F of them that a line goes through.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.across.figures import STORE, check_one_source
from embedstore.across.points import (
    Places,
    grouped,
    places,
    published_points,
    split,
    stored_points,
    tabled_points,
)
from embedstore.analysis import analysis
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.schema.across import RESIDUALS
from embedstore.stats.axes import Axis, from_axis
from embedstore.stats.lines import robust_line
from embedstore.store import Store

Bool = npt.NDArray[np.bool_]
ALL = "all"


@analysis
def residuals(
    store: Store,
    *,
    x: str,
    y: str,
    models: str = "*",
    fit: str = ALL,
    group: str = "group",
    axis: Axis = "probit",
    x_axis: Axis | None = None,
    y_axis: Axis | None = None,
    published: str | None = None,
    table: str | None = None,
    n_samples: int | None = None,
    others: bool = False,
) -> pl.DataFrame:
    """How far models lie from a line through models, with prediction intervals, one row a model.

    Parameters
    ----------
    store
        Where the models are.
    x, y
        Metrics, such as `accuracy.top1_accuracy?dataset=imagenet-val`; with `table`, its columns,
        each as COLUMN=METRIC where the store's models are to be placed too.
    models
        Glob over names of the store's.
    fit
        Which models the line goes through: `all`, or one group.
    group
        What `fit` names: `group` of the study, a factor of design, or a column of `table`.
    axis, x_axis, y_axis
        Scale of both, or of one.
    published
        A source of published results that the line goes through, such as open_clip or timm.
    table
        A file of published results, or several parted by commas, that the line goes through.
    n_samples
        Of how many samples a proportion is where that is not known: needed where one is 0 or 1.
    others
        Rows of the published models too; without any of the store's they are shown anyway.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.RESIDUALS`, highest above the line first.

    Raises
    ------
    EmbedStoreError
        If no line can be fitted, or a model has several figures.

    Examples
    --------
    embedstore analyze residuals clip.store --published timm --fit imagenet --x 'accuracy.top1_accuracy?dataset=imagenet-val' --y 'accuracy.top1_accuracy?dataset=imagenet-r'
    """  # noqa: E501
    own, theirs = _points(store, (x, y), models, published, table, group)
    points = grouped(pl.concat([own, theirs]), group, tabled=bool(table))
    axes = (x_axis or axis, y_axis or axis)
    member = (pl.col("by") == fit) | pl.lit(fit == ALL)
    placed = places(points, axes, n_samples)
    through = points.select(member).to_series().to_numpy().copy()
    through[: own.height] &= theirs.is_empty()  # who is placed among others has no say in the line
    if fit != ALL and not through.any():
        offered = (own if theirs.is_empty() else theirs).height
        raise UnknownNameError(
            f"{group} of the models", fit, [ALL, *points["by"].tail(offered).unique()]
        )
    stated = {
        "fit": fit,
        "fit_source": published or table or STORE,
        "x_metric": x,
        "y_metric": y,
        "convention": f"{axes[0]} x, {axes[1]} y; Huber's T, c = 1.345, MAD; groups: {group}",
    }
    found = _against_line(points, placed, through, axes[1])
    if not (others or own.is_empty()):
        found = found.head(own.height)
    found = found.with_columns(pl.lit(value).alias(name) for name, value in stated.items())
    return (
        found.filter(pl.col("x").is_not_null(), pl.col("y").is_not_null())
        .with_columns(pl.selectors.float().fill_nan(None))
        .select(pl.col(name).cast(dtype) for name, dtype in RESIDUALS.items())
        .sort("residual", "model", descending=[True, False])
    )


def _against_line(points: pl.DataFrame, placed: Places, through: Bool, axis: Axis) -> pl.DataFrame:
    """Put beside N points what the line through some of them expects."""
    line = robust_line(placed.x[through], placed.y[through])
    errors = line.residuals(placed.x, placed.y)
    low, high = line.prediction_interval(placed.x)
    ranked = np.sort(errors[through & ~np.isnan(errors)])
    expected = from_axis(line.at(placed.x), axis)
    bounds = [from_axis(bound, axis) for bound in (low, high)]
    y = points["y"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    inside = pl.Series((placed.y >= low) & (placed.y <= high))
    return points.with_columns(
        pl.col("by").alias("group"),
        expected=expected,
        residual=y - expected,
        expected_low=bounds[0],
        expected_high=bounds[1],
        inside=inside.set(pl.Series(np.isnan(low)), None),
        quantile=np.searchsorted(ranked, errors) / len(ranked),
        n_fit=pl.lit(line.n_models),
    )


def _points(
    store: Store,
    metrics: tuple[str, str],
    models: str,
    published: str | None,
    table: str | None,
    group: str,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the store's points, and those of others, which the line goes through."""
    check_one_source(published, table)
    if published:
        return stored_points(store, *metrics, models), published_points(*metrics, published)
    if table is None:
        own = stored_points(store, *metrics, models)
        return own, own.clear()
    theirs = tabled_points(*metrics, table, group)
    x, y = (split(text)[1] for text in metrics)
    if bool(x) != bool(y):
        raise EmbedStoreError(
            f"of {metrics[0]!r} and {metrics[1]!r} one alone says what it is in the store; write "
            "both as COLUMN=METRIC, or neither"
        )
    return stored_points(store, x, y, models) if x else theirs.clear(), theirs
