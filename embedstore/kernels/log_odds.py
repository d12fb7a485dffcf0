"""Shares of a softmax as log odds, which neither round to 1 nor underflow.

It knows arrays, not what they score. Dimensions: N samples, C classes, M other classes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit, over_rows
from embedstore.kernels.exponential import LOWEST, exp_not_positive

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

_GRAIN = 128  # rows that are worth a thread
_LARGEST_POWER = 700.0  # of e that float64 holds
_MINUS_INFINITY = np.float32(-np.inf)


def top_log_odds(logits: F32, *, inverse_temperature: float = 1.0) -> F64:
    """Return the log odds of the most likely class against all others: (N, C) -> (N,), nats.

    With p the largest probability of the softmax of `inverse_temperature` times the logits,
    log p / (1 - p): infinity where C = 1. Sums are of float64; log p is good to 1e-6.

    Parameters
    ----------
    logits
        (N, C) float32, finite, C >= 1.
    inverse_temperature
        Above 0.
    """
    rows = np.ascontiguousarray(logits)
    odds = np.empty(len(rows))

    def fill(start: int, stop: int) -> None:
        _fill_odds(rows[start:stop], np.float32(inverse_temperature), odds[start:stop])

    over_rows(fill, len(rows), grain=_GRAIN)
    return odds


def mean_share(logits: F32, others: F32, n_groups: int, *, inverse_temperature: float) -> F64:
    """Return the share of some classes beside each group of others: (N, C), (N, M) -> (N,).

    The softmax of `inverse_temperature` times the logits of the C classes and of one group's,
    summed over the C classes; its mean over groups.

    Parameters
    ----------
    logits
        (N, C) float32, finite.
    others
        (N, M) float32, finite; groups of M / `n_groups` columns in a row.
    n_groups
        A divisor of M.
    inverse_temperature
        Above 0.
    """
    rows, other_rows = np.ascontiguousarray(logits), np.ascontiguousarray(others)
    shares = np.empty(len(rows))

    def fill(start: int, stop: int) -> None:
        part = slice(start, stop)
        beta = np.float32(inverse_temperature)
        _fill_shares(rows[part], other_rows[part], n_groups, beta, shares[part])

    over_rows(fill, len(rows), grain=_GRAIN)
    return shares


@njit
def _fill_odds(logits: F32, beta: np.float32, odds: F64) -> None:
    """(N, C) -> (N,)."""
    for i in range(logits.shape[0]):
        row, top, second = logits[i], _MINUS_INFINITY, _MINUS_INFINITY
        for j in range(row.shape[0]):
            second = max(second, min(top, row[j]))
            top = max(top, row[j])
        if row.shape[0] == 1:
            odds[i] = math.inf
            continue
        # the largest logit counts as the second one's equal, and is taken off again
        others = _sum_powers(row, second, beta) - 1.0
        odds[i] = beta * (np.float64(top) - np.float64(second)) - math.log(others)


@njit
def _fill_shares(logits: F32, others: F32, n_groups: int, beta: np.float32, shares: F64) -> None:
    """(N, C), (N, M) -> (N,)."""
    size = others.shape[1] // n_groups
    for i in range(logits.shape[0]):
        ours, total = _log_sum(logits[i], beta), 0.0
        for g in range(n_groups):
            theirs = _log_sum(others[i, g * size : (g + 1) * size], beta)
            total += 1.0 / (1.0 + math.exp(min(theirs - ours, _LARGEST_POWER)))
        shares[i] = total / n_groups


@njit
def _log_sum(row: F32, beta: np.float32) -> float:
    """Log of the summed powers of `beta` times a row: (C,) -> scalar."""
    top = row[0]
    for j in range(row.shape[0]):
        top = max(top, row[j])
    return float(beta * np.float64(top) + math.log(_sum_powers(row, top, beta)))


@njit
def _sum_powers(row: F32, top: np.float32, beta: np.float32) -> float:
    """Sum powers of `beta` times the distance from `top`, above which none counts: (C,)."""
    total = 0.0
    for j in range(row.shape[0]):
        distance = beta * (min(row[j], top) - top)
        total += np.float64(exp_not_positive(max(distance, LOWEST)))
    return total


__all__ = ["mean_share", "top_log_odds"]
