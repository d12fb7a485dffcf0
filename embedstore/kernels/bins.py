"""Calibration by bins of confidence: what was promised beside what came true.

It knows confidences and hits, not models. Dimensions: N samples, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.stats.bootstrap import N_RESAMPLES, percentile_interval

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Binning = Literal["equal-width", "equal-mass"]

#: How far an imported confidence may exceed 1 by rounding.
ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class Bins:
    """Samples in bins of confidence, lowest first."""

    low: F64  # (B,) probability; of equal mass: the least confidence in the bin, NaN where empty
    high: F64  # (B,) probability
    counts: I64  # (B,) samples
    confidence: F64  # (B,) sum over the bin's samples
    hits: F64  # (B,) how many of them are right

    @property
    def gaps(self) -> F64:
        """Accuracy less confidence of each bin: (B,), NaN where it is empty."""
        with np.errstate(invalid="ignore"):
            return (self.hits - self.confidence) / self.counts

    @property
    def expected_calibration_error(self) -> float:
        """Mean of |accuracy - confidence|, weighted by samples (Naeini et al., 2015)."""
        n_samples = self.counts.sum()
        return float(np.abs(self.hits - self.confidence).sum() / n_samples) if n_samples else np.nan

    @property
    def max_calibration_error(self) -> float:
        """Greatest |accuracy - confidence| of the bins that hold samples (Naeini et al., 2015)."""
        filled = self.gaps[self.counts > 0]
        return float(np.abs(filled).max()) if filled.size else np.nan

    @property
    def debiased_calibration_error(self) -> float:
        """Root of the mean squared gap less its bias (Kumar et al., 2019), 0 where that is more.

        An L2 error, and so not to be compared with the L1 error above: each bin's squared gap loses
        the variance of its accuracy, a (1 - a) / (n - 1), and bins of one sample count nothing.
        """
        n_samples, many = self.counts.sum(), self.counts > 1
        n, accuracy = self.counts[many], self.hits[many] / self.counts[many]
        squares = self.gaps[many] ** 2 - accuracy * (1 - accuracy) / (n - 1)
        mean = float((n * squares).sum() / n_samples) if n_samples else np.nan
        return float(np.sqrt(np.maximum(mean, 0.0)))


def in_bins(
    confidence: npt.NDArray[Any], correct: Bool, n_bins: int, binning: Binning = "equal-width"
) -> Bins:
    """Put samples into bins: (N,), (N,) -> B bins.

    Parameters
    ----------
    confidence
        (N,) probabilities; up to 1.001, which the top bin takes, since imports are rounded.
    correct
        (N,)
    n_bins
        B, at least 1.
    binning
        ``equal-width``: bins (lo, hi], confidence 0 in the first; ``equal-mass``: consecutive
        samples of the stable order by confidence, as `numpy.array_split` cuts them.

    Raises
    ------
    EmbedStoreError
        If there is no bin, or a confidence is no probability.
    """
    if n_bins < 1:
        raise EmbedStoreError(f"n_bins is {n_bins}; give at least 1")
    values, hits = _checked(confidence), np.asarray(correct, np.float64)
    if binning == "equal-width":
        place = np.clip(np.ceil(values * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
        edges = np.arange(n_bins + 1) / n_bins
        low, high = edges[:-1], edges[1:]
    else:
        parts = np.array_split(np.argsort(values, kind="stable"), n_bins)
        place = np.empty(len(values), np.int64)
        place[np.concatenate(parts)] = np.repeat(np.arange(n_bins), [len(p) for p in parts])
        low = np.array([values[p[0]] if len(p) else np.nan for p in parts])
        high = np.array([values[p[-1]] if len(p) else np.nan for p in parts])
    counts = np.bincount(place, minlength=n_bins).astype(np.int64)
    sums = np.stack([np.bincount(place, weights, n_bins) for weights in (values, hits)])
    return Bins(low, high, counts, *sums.astype(np.float64))


def error_interval(
    bins: Bins, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return 95 % bounds of the expected calibration error: NaN with fewer than two samples.

    Samples are redrawn as counts of (bin, right or wrong), which are multinomial; within a bin they
    keep the bin's mean confidence. Resampling raises the error as sampling did: so the replicates'
    quantiles are reflected at the estimate (the basic bootstrap; Davison & Hinkley, 1997), and the
    bounds are of the error without that bias, cut off at 0. The estimate may lie above them.

    Parameters
    ----------
    bins
        The bins, which stay as they are.
    n_resamples, seed
        Of the draws.
    """
    n_samples = int(bins.counts.sum())
    if n_samples < 2:
        return np.nan, np.nan
    cells = np.concatenate([bins.hits, bins.counts - bins.hits]) / n_samples
    drawn = np.random.default_rng(seed).multinomial(n_samples, cells, n_resamples)
    hits, misses = drawn[:, : len(bins.hits)], drawn[:, len(bins.hits) :]
    mean = bins.confidence / np.maximum(bins.counts, 1)
    replicates = np.abs(hits - (hits + misses) * mean).sum(axis=1) / n_samples
    low, high = percentile_interval(replicates)
    estimate = bins.expected_calibration_error
    return max(2 * estimate - float(high), 0.0), max(2 * estimate - float(low), 0.0)


def _checked(confidence: npt.NDArray[Any]) -> F64:
    """(N,) -> (N,) float64, each a probability but for rounding."""
    values = np.asarray(confidence, np.float64)
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1 + ROUNDING)))
    if wrong.size:
        raise EmbedStoreError(
            f"confidence {values[wrong[0]]:g} of entry {wrong[0]} is no probability; give numbers "
            "from 0 to 1, and divide percentages by 100"
        )
    return values


__all__ = ["ROUNDING", "Binning", "Bins", "error_interval", "in_bins"]
