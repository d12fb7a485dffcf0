"""Correlation of two columns. It knows pairs of numbers, not what they measure.

Dimensions: N pairs. A pair with a NaN is left out; fewer than two pairs, or a constant column, have
no correlation: NaN.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError

F64 = npt.NDArray[np.float64]


def complete_pairs(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[F64, F64]:
    """Return the pairs without a NaN: (N,), (N,) -> (K,), (K,).

    Raises
    ------
    EmbedStoreError
        If the columns differ in length, or a value is infinite.
    """
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise EmbedStoreError(
            f"x has shape {first.shape} and y {second.shape}; give two columns of one length"
        )
    if np.isinf(first).any() or np.isinf(second).any():
        raise EmbedStoreError(
            "a value is infinite; leave it out, or give the number of samples so that 0 and 1 are "
            "clipped"
        )
    known = ~(np.isnan(first) | np.isnan(second))
    return first[known], second[known]


def pearson(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Return Pearson's correlation: (N,), (N,) -> [-1, 1] or NaN."""
    first, second = complete_pairs(x, y)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    a, b = (values - values.mean() for values in (first, second))
    a, b = a / np.abs(a).max(), b / np.abs(b).max()  # squares neither vanish nor overflow
    r = (a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(r, -1, 1))


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation, ties at their average rank: (N,), (N,) -> [-1, 1]."""
    first, second = complete_pairs(x, y)
    return pearson(average_ranks(first), average_ranks(second))


def average_ranks(values: F64) -> F64:
    """Rank from 1; equal values share the mean of their ranks: (N,) -> (N,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)
