"""Classwise calibration: the probability of every class, not of the predicted one alone.

It knows logits and labels, not stores. Dimensions: N samples, C classes, B bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit
from embedstore.kernels.exponential import LOWEST, exp_not_positive

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def classwise_gaps(logits: F32, labels: I64, n_bins: int) -> F64:
    """Sum probability less truth of every class in bins of equal width: (N, C), (N,) -> (C, B).

    Gaps of several parts of a data set add up; see :func:`classwise_error`.

    Parameters
    ----------
    logits
        (N, C) float32, finite.
    labels
        (N,) 0 to C - 1.
    n_bins
        Bins (lo, hi] of a class's probability; probability 0 is in the first.
    """
    gaps = np.zeros((logits.shape[1], n_bins))
    rows: Any = np.ascontiguousarray(logits).view()
    rows.flags.writeable = False
    _add(rows, rows.max(axis=1) if len(rows) else np.zeros(0, np.float32), labels, gaps)
    return gaps


def classwise_error(gaps: F64, n_samples: int) -> float:
    """Mean over classes of the expected calibration error of their probabilities: (C, B) -> scalar.

    After Kull et al. (2019); classes without samples count, as they are promised too.
    """
    return float(np.abs(gaps).sum() / (n_samples * len(gaps))) if n_samples else np.nan


@njit
def _add(logits: F32, top: F32, labels: I64, gaps: F64) -> None:
    """(N, C), (N,), (N,) -> added to (C, B)."""
    n_classes, n_bins = gaps.shape
    powers = np.empty(n_classes, np.float32)
    for i in range(logits.shape[0]):
        row, largest = logits[i], top[i]
        for j in range(n_classes):
            distance = row[j] - largest
            powers[j] = exp_not_positive(max(distance, LOWEST))
        total = 0.0
        for j in range(n_classes):
            total += np.float64(powers[j])
        for j in range(n_classes):
            probability = powers[j] / total
            b = min(max(int(np.ceil(probability * n_bins)) - 1, 0), n_bins - 1)
            gaps[j, b] += probability
            if labels[i] == j:
                gaps[j, b] -= 1.0


__all__ = ["classwise_error", "classwise_gaps"]
