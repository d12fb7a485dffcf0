"""Two models on the same samples: who is right where. It knows booleans and counts, not models.

Dimensions: N samples, or N pairs of models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.stats.intervals import wilson

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How many samples both, one or neither of two models judged rightly."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n_samples(self) -> int:
        """All of them."""
        return self.both + self.first_only + self.second_only + self.neither


def paired_counts(first: npt.ArrayLike, second: npt.ArrayLike) -> PairedCounts:
    """Count what two models got right: (N,) booleans, (N,) booleans, row for row one sample.

    Raises
    ------
    EmbedStoreError
        If the columns differ in length, or are not booleans (leave out null rows first).
    """
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.ndim != 1:
        raise EmbedStoreError(
            f"two models have {a.shape} and {b.shape} samples; compare them on the same ones"
        )
    if a.dtype != bool or b.dtype != bool:
        raise EmbedStoreError("correctness is not all true or false; leave out the null rows")
    both, n_a, n_b = (int(np.count_nonzero(v)) for v in (a & b, a, b))
    return PairedCounts(both, n_a - both, n_b - both, len(a) - n_a - n_b + both)


def mcnemar(first_only: npt.ArrayLike, second_only: npt.ArrayLike) -> F64:
    """Return the exact two-sided p-value that two models are equally often right (McNemar, 1947).

    Of the samples where only one is right, each is as likely to be the first as the second: a
    binomial test at one half. With no such sample p is 1. Counts broadcast: (N,), (N,) -> (N,).

    Raises
    ------
    EmbedStoreError
        If a count is negative.
    """
    from scipy.special import bdtr  # 0.2 s to import

    a, b = np.broadcast_arrays(
        np.asarray(first_only, np.float64), np.asarray(second_only, np.float64)
    )
    if (a < 0).any() or (b < 0).any():
        raise EmbedStoreError("a count of samples is negative; give counts from 0")
    return np.asarray(np.minimum(1.0, 2 * bdtr(np.minimum(a, b), (a + b).astype(int), 0.5)))


def agreement(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the share of samples on which two models predict the same class; NaN for none."""
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape:
        raise EmbedStoreError(
            f"two models have {a.shape} and {b.shape} samples; compare them on the same ones"
        )
    return float((a == b).mean()) if a.size else float("nan")


def error_consistency(counts: PairedCounts) -> float:
    """Return Cohen's kappa of two models' being right (Geirhos et al., 2020).

    1 where they err on the same samples, 0 where they err as independent models of their accuracy
    would, below where they avoid one another's errors. NaN where chance alone makes them agree
    everywhere (both always right, or both always wrong), and for no sample.
    """
    n = counts.n_samples
    if n == 0:
        return float("nan")
    observed = (counts.both + counts.neither) / n
    first, second = (counts.both + counts.first_only) / n, (counts.both + counts.second_only) / n
    expected = first * second + (1 - first) * (1 - second)
    return float("nan") if expected == 1 else (observed - expected) / (1 - expected)


def paired_difference(
    both: npt.ArrayLike,
    first_only: npt.ArrayLike,
    second_only: npt.ArrayLike,
    neither: npt.ArrayLike,
    *,
    confidence: float = 0.95,
) -> tuple[F64, F64]:
    """Return the interval of the accuracy of a first model less that of a second: low, high.

    Newcombe's method 10 (1998, Statistics in Medicine 17, 2635): Wilson's intervals of the two
    accuracies, squared and added, less what the correlation of the models explains. It is rather
    too wide where the models seldom differ, and has a width where they never do.

    Parameters
    ----------
    both, first_only, second_only, neither
        Counts that broadcast against each other: (N,) each. No sample gives NaN.
    confidence
        Between 0 and 1, exclusive.

    Raises
    ------
    EmbedStoreError
        If a count is negative, or `confidence` is out of range.
    """
    counts = (np.asarray(c, np.float64) for c in (both, first_only, second_only, neither))
    e, f, g, h = np.broadcast_arrays(*counts)
    if min(c.min(initial=0) for c in (e, f, g, h)) < 0:
        raise EmbedStoreError("a count of samples is negative; give counts from 0")
    n = e + f + g + h
    (low_1, high_1), (low_2, high_2) = (wilson(k, n, confidence=confidence) for k in (e + f, e + g))
    covariance, margins = e * h - f * g, (e + f) * (g + h) * (e + g) * (f + h)
    corrected = np.where(covariance < 0, covariance, np.maximum(covariance - n / 2, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = np.where(margins > 0, corrected / np.sqrt(margins), 0.0)
        first, second = (e + f) / n, (e + g) / n
        below = _added(first - low_1, high_2 - second, phi)
        above = _added(high_1 - first, second - low_2, phi)
    return first - second - below, first - second + above


def _added(first: F64, second: F64, phi: F64) -> F64:
    square = first**2 - 2 * phi * first * second + second**2
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))  # rounding may pass below 0
