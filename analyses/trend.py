"""Any metric against any other over models: a robust line a group, with what says how well it fits.

Conventions: Huber's T, c = 1.345, MAD scale, on the axes named (proportions on the probit or logit
axis are clipped to half a sample); R² is the squared Pearson correlation there, ranks of Spearman's
are averaged. Bounds are 95 % percentiles of 2,000 resamples of *models*.

Dimensions: N models.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.across.figures import STORE, check_one_source
from embedstore.across.metrics import matching
from embedstore.across.points import (
    Places,
    grouped,
    places,
    published_points,
    stored_points,
    tabled_points,
)
from embedstore.analysis import analysis
from embedstore.errors import EmbedStoreError
from embedstore.schema.across import TREND
from embedstore.stats.axes import Axis
from embedstore.stats.bootstrap import N_RESAMPLES
from embedstore.stats.lines import robust_line
from embedstore.stats.trend_intervals import trend_intervals
from embedstore.store import Store

Bool = npt.NDArray[np.bool_]
ALL = "all"


@analysis
def trend(
    store: Store,
    *,
    x: str,
    y: str,
    models: str = "*",
    group: str = "group",
    axis: Axis = "probit",
    x_axis: Axis | None = None,
    y_axis: Axis | None = None,
    published: str | None = None,
    table: str | None = None,
    n_samples: int | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """Robust lines of one metric against another over models, with intervals, one row a group.

    Parameters
    ----------
    store
        Where the models are.
    x, y
        Metrics, such as `accuracy.top1_accuracy?dataset=imagenet-val`; columns of `table`.
    models
        Glob over names, published ones too.
    group
        What to part models by: `group` of the study, a factor of design, or a column of `table`.
    axis, x_axis, y_axis
        Scale of both, or of one.
    published
        A source of published results whose models are taken instead of the store's, such as
        open_clip or timm.
    table
        A file of published results, or several parted by commas, instead of the store.
    n_samples
        Of how many samples a proportion is where that is not known: needed where one is 0 or 1.
    n_resamples, seed
        Of the intervals.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.TREND`: all models, then each group where there are several.

    Raises
    ------
    EmbedStoreError
        If no model has a figure, no line can be fitted through all models, or a model has several
        figures.

    Examples
    --------
    embedstore analyze trend clip.store --x 'accuracy.top1_accuracy?dataset=imagenet-val' --y 'calibration.ece?dataset=imagenet-val' --y-axis linear
    embedstore analyze trend clip.store --published open_clip --axis logit --x 'accuracy.top1_accuracy?dataset=imagenet-val' --y 'accuracy.top1_accuracy?dataset=imagenet-a'
    embedstore analyze trend clip.store --table openclip_results.csv --x 'ImageNet 1k' --y ObjectNet
    """  # noqa: E501
    points = grouped(
        _points(store, (x, y), models, published, table, group), group, tabled=bool(table)
    )
    axes = (x_axis or axis, y_axis or axis)
    placed = places(points, axes, n_samples)
    rows = [{"group": ALL, **_line(placed, np.ones(points.height, bool), n_resamples, seed)}]
    names = points["by"].unique().sort().to_list()
    if len(names) > 1:
        members = ((name, (points["by"] == name).to_numpy()) for name in names)
        rows += [_group(name, placed, rows_, n_resamples, seed) for name, rows_ in members]
    common = {
        "x": x, "y": y, "x_axis": axes[0], "y_axis": axes[1],
        "source": published or table or STORE,
        "convention": f"Huber's T, c = 1.345, MAD; bounds: {n_resamples} resamples of models, "
        f"seed {seed}; groups: {group}",
    }  # fmt: skip
    frame = pl.DataFrame([{**common, **row} for row in rows], schema=dict(TREND))
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _points(
    store: Store,
    metrics: tuple[str, str],
    models: str,
    published: str | None,
    table: str | None,
    group: str,
) -> pl.DataFrame:
    check_one_source(published, table)
    if table:
        points = tabled_points(*metrics, table, group)
    elif published:
        points = published_points(*metrics, published)
    else:
        points = stored_points(store, *metrics, models)
    points = matching(points, {"model": models})
    for axis, metric in zip("xy", metrics, strict=True):
        if points[axis].count() == 0:
            raise EmbedStoreError(
                f"no model has {metric}; choose another --{axis}, or others with --models"
            )
    return points


def _group(name: str, placed: Places, members: Bool, n_resamples: int, seed: int) -> dict[str, Any]:
    try:
        return {"group": name, **_line(placed, members, n_resamples, seed)}
    except EmbedStoreError as error:
        return {"group": name, **_counts(placed, members), "note": str(error)}


def _line(placed: Places, members: Bool, n_resamples: int, seed: int) -> dict[str, Any]:
    x, y = placed.x[members], placed.y[members]
    line = robust_line(x, y)
    row: dict[str, Any] = _counts(placed, members)
    for name in ("slope", "intercept", "r2", "robust_r2", "spearman", "scale"):
        row[name] = getattr(line, name)
    bounds = trend_intervals(x, y, n_resamples=n_resamples, seed=seed)
    for name in ("slope", "r2", "spearman"):
        row[f"{name}_low"], row[f"{name}_high"] = bounds[name]
    if math.isnan(bounds["slope"][0]):
        row["note"] = f"{line.n_models} models are too few for an interval"
    return row


def _counts(placed: Places, members: Bool) -> dict[str, int]:
    known = members & ~np.isnan(placed.x) & ~np.isnan(placed.y)
    return {
        "n_models": int(known.sum()),
        "n_left_out": int(members.sum() - known.sum()),
        "n_clipped": int((known & placed.clipped).sum()),
    }
