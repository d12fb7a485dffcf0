"""Robust lines through models. They know positions on two axes, not what was measured.

Huber's T with c = 1.345 and the MAD as scale, fitted by statsmodels (Huber, 1981). A pair with a
NaN is left out, and counted. Two points, or a perfect fit, give the line through them.

Dimensions: N models.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.stats.correlation import complete_pairs, pearson, spearman

F64 = npt.NDArray[np.float64]

HUBER_C = 1.345
PERFECT = 1e-12  # residuals, relative to the spread of y, that are rounding alone


@dataclass(frozen=True, slots=True)
class Line:
    """A line and how well it fits, on the scale that it was fitted on."""

    slope: float
    intercept: float
    r2: float  # squared Pearson correlation; NaN where y is constant
    robust_r2: float  # 1 - SSE / SST of this line; may be negative, NaN where y is constant
    spearman: float  # average ranks; NaN where y is constant
    scale: float  # MAD of the residuals, as a standard deviation; 0 for a perfect fit
    covariance: tuple[tuple[float, float], tuple[float, float]]  # of (intercept, slope)
    n_models: int
    n_left_out: int  # pairs with a NaN

    def at(self, x: npt.ArrayLike) -> F64:
        """Return the line's height: (K,) -> (K,)."""
        return np.asarray(self.intercept + self.slope * np.asarray(x, np.float64), np.float64)

    def residuals(self, x: npt.ArrayLike, y: npt.ArrayLike) -> F64:
        """Return how far above the line each point lies: (K,), (K,) -> (K,)."""
        return np.asarray(np.asarray(y, np.float64) - self.at(x), np.float64)

    def prediction_interval(self, x: npt.ArrayLike, *, confidence: float = 0.95) -> tuple[F64, F64]:
        """Return where a new model at x should lie: (K,) -> low (K,), high (K,).

        Student's t with N - 2 degrees of freedom, times the root of the residuals' robust variance
        plus the line's own at x. Two models leave nothing to estimate it from: NaN.

        Raises
        ------
        EmbedStoreError
            If `confidence` is not between 0 and 1.
        """
        from scipy.special import stdtrit

        if not 0 < confidence < 1:
            raise EmbedStoreError(f"confidence is {confidence}; give a number between 0 and 1")
        places = np.asarray(x, np.float64)
        (v00, v01), (_, v11) = self.covariance
        of_line = v00 + 2 * places * v01 + places**2 * v11
        freedom = self.n_models - 2
        t = float(stdtrit(freedom, (1 + confidence) / 2)) if freedom > 0 else math.nan
        half = t * np.sqrt(self.scale**2 + np.maximum(of_line, 0))
        return self.at(places) - half, self.at(places) + half


def robust_line(x: npt.ArrayLike, y: npt.ArrayLike) -> Line:
    """Fit a robust line through models: (N,), (N,) -> Line.

    Parameters
    ----------
    x, y
        Positions on the plotted scale (:func:`embedstore.stats.axes.to_axis`).

    Raises
    ------
    EmbedStoreError
        If fewer than two models have both values, or all have the same x.
    """
    first, second = complete_pairs(x, y)
    check_line(first)
    (intercept, slope), scale, covariance = _fit(first, second)
    errors = second - (intercept + slope * first)
    total = float(((second - second.mean()) ** 2).sum())
    constant = total == 0
    return Line(
        slope=slope,
        intercept=intercept,
        r2=pearson(first, second) ** 2,
        robust_r2=math.nan if constant else 1 - float(errors @ errors) / total,
        spearman=spearman(first, second),
        scale=scale,
        covariance=covariance,
        n_models=len(first),
        n_left_out=np.size(x) - len(first),
    )


def check_line(x: F64) -> None:
    """Refuse points that no line can be fitted through.

    Raises
    ------
    EmbedStoreError
        If there are fewer than two, or all have the same x.
    """
    if len(x) < 2:
        plural = "model has" if len(x) == 1 else "models have"
        raise EmbedStoreError(
            f"{len(x)} {plural} both values, so no line can be fitted; choose at least 2 models"
        )
    if np.ptp(x) == 0:
        raise EmbedStoreError(
            f"all {len(x)} models have the same x ({x[0]:g}), so no line can be fitted; choose "
            "models that differ"
        )


Fit = tuple[tuple[float, float], float, tuple[tuple[float, float], tuple[float, float]]]


def _fit(x: F64, y: F64) -> Fit:
    """Intercept and slope, scale, covariance of the two."""
    slope = float((x - x.mean()) @ (y - y.mean()) / ((x - x.mean()) @ (x - x.mean())))
    plain = (float(y.mean() - slope * x.mean()), slope)
    worst = np.abs(y - plain[0] - slope * x).max()
    if len(x) == 2 or worst <= PERFECT * max(np.ptp(y), np.abs(y).max()):
        return plain, 0.0, ((0.0, 0.0), (0.0, 0.0))
    import statsmodels.api as sm  # 1.4 s to import

    model = sm.RLM(y, np.column_stack([np.ones_like(x), x]), M=sm.robust.norms.HuberT(HUBER_C))
    with warnings.catch_warnings():  # of a scale of 0: most models lie on the line, a fit we want
        warnings.simplefilter("ignore")
        fit = model.fit(scale_est="mad", maxiter=200)
    (a, b), scale = (float(p) for p in fit.params), float(fit.scale)
    (v00, v01), (v10, v11) = np.nan_to_num(fit.bcov_scaled) if scale > 0 else np.zeros((2, 2))
    return (a, b), scale, ((float(v00), float(v01)), (float(v10), float(v11)))
