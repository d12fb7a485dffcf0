"""DeLong's variance of the area under the ROC curve. It knows scores, not what they detect.

Dimensions: M scores (models or methods) of the same samples, P positive (ID), N negative (OOD).
Sorting gives the placements in O(n log n) (Sun & Xu, 2014); ties count one half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Areas:
    """Areas under ROC curves and how they vary together."""

    auroc: F64  # (M,) 0 to 1
    covariance: F64  # (M, M) NaN with fewer than two positive or negative samples

    def interval(self, *, confidence: float = 0.95) -> tuple[F64, F64]:
        """Return normal intervals, cut to [0, 1]: 2 x (M,).

        Where the scores separate perfectly the variance is 0, and so is the interval's width.
        """
        half = _quantile(confidence) * np.sqrt(np.diag(self.covariance))
        return np.maximum(self.auroc - half, 0), np.minimum(self.auroc + half, 1)

    def difference(
        self, first: int = 0, second: int = 1, *, confidence: float = 0.95
    ) -> tuple[float, float, float]:
        """Return the paired difference of two areas and its interval."""
        contrast = np.zeros(len(self.auroc))
        contrast[first] += 1
        contrast[second] -= 1
        gap = float(contrast @ self.auroc)
        # rounding may leave a variance of 0 just below it
        variance = max(float(contrast @ self.covariance @ contrast), 0.0)
        half = _quantile(confidence) * float(np.sqrt(variance))
        return gap, gap - half, gap + half


def delong(positive: npt.ArrayLike, negative: npt.ArrayLike) -> Areas:
    """Return AUROC and its covariance over M scores (DeLong, DeLong & Clarke-Pearson, 1988).

    Parameters
    ----------
    positive
        (P,) or (M, P): scores of the samples that should score higher (in-distribution).
    negative
        (N,) or (M, N): scores of the others, of the same M models.

    Raises
    ------
    EmbedStoreError
        If a side is empty, the two differ in M, or a score is NaN.
    """
    above, below = (np.atleast_2d(np.asarray(s, np.float64)) for s in (positive, negative))
    _check(above, below)
    if len(above) == 1:  # the order of samples matters to covariances alone, and sorted is quicker
        above, below = np.sort(above), np.sort(below)
    pairs = list(zip(above, below, strict=True))
    placed_above = np.stack([_placements(high, low) for high, low in pairs])
    placed_below = 1 - np.stack([_placements(low, high) for high, low in pairs])
    auroc = placed_above.mean(axis=1)
    return Areas(auroc, _mean_covariance(placed_above) + _mean_covariance(placed_below))


def _placements(scores: F64, others: F64) -> F64:
    """Share of the others below each score, equal ones counted half: (P,), (N,) -> (P,)."""
    ordered = np.sort(others)
    n_below, n_up_to = (np.searchsorted(ordered, scores, side) for side in ("left", "right"))
    return np.asarray((n_below + n_up_to) / (2 * len(others)), np.float64)


def _mean_covariance(placements: F64) -> F64:
    """Covariance of the means of rows: (M, P) -> (M, M)."""
    n_models, n = placements.shape
    if n < 2:
        return np.full((n_models, n_models), np.nan)
    covariance: F64 = np.cov(placements).reshape(n_models, n_models) / n
    return covariance


def _check(above: F64, below: F64) -> None:
    if above.shape[1] == 0 or below.shape[1] == 0:
        raise EmbedStoreError("one side has no scores; AUROC needs samples of both kinds")
    if len(above) != len(below):
        raise EmbedStoreError(
            f"{len(above)} rows of positive and {len(below)} of negative scores; give the same "
            "models for both"
        )
    if np.isnan(above).any() or np.isnan(below).any():
        raise EmbedStoreError("a score is NaN; leave out the samples that could not be read")


def _quantile(confidence: float) -> float:
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise EmbedStoreError(f"confidence is {confidence}; give a number between 0 and 1")
    return float(ndtri((1 + confidence) / 2))
