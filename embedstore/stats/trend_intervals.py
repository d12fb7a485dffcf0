"""Intervals of a trend, by resampling models. They know positions on two axes.

The robust line is fitted anew to every resample, all of them at once: the same estimator as
:mod:`embedstore.stats.lines`, iterated side by side rather than 2,000 times through statsmodels.

Dimensions: R resamples, N models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.stats.bootstrap import N_RESAMPLES, check_numbers, percentile_interval
from embedstore.stats.correlation import complete_pairs
from embedstore.stats.lines import HUBER_C, check_line

F64 = npt.NDArray[np.float64]

MAD_TO_SD = 0.6744897501960817  # Φ⁻¹(3/4): the MAD of a standard normal
N_ITERATIONS = 50  # as statsmodels
TOLERANCE = 1e-10


def trend_replicates(
    x: npt.ArrayLike, y: npt.ArrayLike, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> dict[str, F64]:
    """Return slope, intercept, r2, robust_r2 and spearman of resampled models, (R,) each.

    A resample whose models all share one x has no line, one whose models share one y no
    correlation: NaN. Each resample has a random stream of its own, so that results depend on the
    seed and N alone.

    Raises
    ------
    EmbedStoreError
        If no line can be fitted through the models themselves, or no resample is asked for.
    """
    first, second = complete_pairs(x, y)
    check_line(first)
    check_numbers(len(first), n_resamples, seed)
    n = len(first)
    drawn = np.stack(
        [np.random.default_rng([seed, r]).integers(0, n, n) for r in range(n_resamples)]
    )
    xs, ys = first[drawn], second[drawn]
    intercept, slope = huber_lines(xs, ys)
    errors = ys - intercept[:, None] - slope[:, None] * xs
    with np.errstate(divide="ignore", invalid="ignore"):
        robust_r2 = 1 - (errors**2).sum(axis=1) / (_centred(ys) ** 2).sum(axis=1)
    return {
        "slope": slope,
        "intercept": intercept,
        "r2": _pearson_rows(xs, ys) ** 2,
        "robust_r2": np.where(np.isfinite(robust_r2), robust_r2, np.nan),
        "spearman": _pearson_rows(_rank_rows(xs), _rank_rows(ys)),
    }


def trend_intervals(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Return percentile bounds of slope, intercept, r2, robust_r2 and spearman over models.

    NaN for both bounds where more than `1 - confidence` of the resamples have no such number, as
    with two or three models.

    Raises
    ------
    EmbedStoreError
        If no line can be fitted through the models themselves, or `confidence` is out of range.
    """
    replicates = trend_replicates(x, y, n_resamples=n_resamples, seed=seed)
    bounds = {k: percentile_interval(v, confidence=confidence) for k, v in replicates.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def huber_lines(x: F64, y: F64) -> tuple[F64, F64]:
    """Fit a robust line to each row: (R, N), (R, N) -> intercepts (R,), slopes (R,).

    Reweighted least squares from the plain line on; a row whose MAD reaches 0 keeps its line.
    """
    weights = np.ones_like(x)
    intercept, slope = _weighted_lines(x, y, weights)
    for _ in range(N_ITERATIONS):
        size = np.abs(y - intercept[:, None] - slope[:, None] * x)
        scale = np.median(size, axis=1, keepdims=True) / MAD_TO_SD
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = np.minimum(1.0, HUBER_C * scale / size)
        weights[np.isnan(weights)] = 1.0  # 0 / 0: on the line
        new_intercept, new_slope = _weighted_lines(x, y, weights)
        moved = (scale[:, 0] > TOLERANCE * np.ptp(y, axis=1)) & np.isfinite(new_slope)
        change = np.abs(new_slope - slope)[moved]
        intercept = np.where(moved, new_intercept, intercept)
        slope = np.where(moved, new_slope, slope)
        if not (change > TOLERANCE * np.maximum(np.abs(slope[moved]), TOLERANCE)).any():
            break
    return intercept, slope


def _weighted_lines(x: F64, y: F64, weights: F64) -> tuple[F64, F64]:
    total = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        x_mean, y_mean = ((weights * v).sum(axis=1) / total for v in (x, y))
        off_x, off_y = x - x_mean[:, None], y - y_mean[:, None]
        slope = (weights * off_x * off_y).sum(axis=1) / (weights * off_x**2).sum(axis=1)
        slope[np.ptp(x, axis=1) == 0] = np.nan
        return y_mean - slope * x_mean, slope


def _centred(values: F64) -> F64:
    return np.asarray(values - values.mean(axis=1, keepdims=True), np.float64)


def _pearson_rows(x: F64, y: F64) -> F64:
    a, b = _centred(x), _centred(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    r[(np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)] = np.nan
    return np.asarray(np.clip(r, -1, 1), np.float64)


def _rank_rows(values: F64) -> F64:
    from scipy.stats import rankdata  # 0.5 s to import

    return np.asarray(rankdata(values, axis=1), np.float64)
