"""What a sweep asks of logits, in one fused pass while they are in the cache. No stores here.

It is the outcome kernel less what a table of accuracy, NLL and ECE does not need: rows are summed
into bins of confidence, and only the score that ranks samples is kept.

Dimensions: N samples, C classes, B bins.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit
from embedstore.kernels.exponential import LOWEST, exp_not_positive

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

#: How much a sample looks in-distribution, of its logits alone.
Score = Literal["mcm", "msp", "energy", "max-logit"]
#: What is summed of each bin of confidence.
COUNT, CONFIDENCE, HITS, NLL = range(4)

_MCM, _MSP, _ENERGY, _MAX_LOGIT = range(4)
_SCORES = {"mcm": _MCM, "msp": _MSP, "energy": _ENERGY, "max-logit": _MAX_LOGIT}
_INFINITY = np.int32(0x7F800000)
_ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
_SIGN = np.int32(31)
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)
_LARGEST = float(np.finfo(np.float32).max)
_BLOCK = 1024  # float32 sums are gathered in float64 this often


def tally(
    logits: F32, labels: I64, sums: F64, scores: F32, score: Score = "mcm", scale: float = 1.0
) -> None:
    """Add labelled rows to the sums, and score every row: (N, C), (N,) -> (B, 4), (N,).

    Definitions and ties are those of :func:`embedstore.kernels.outcomes.outcomes`, bins those of
    :func:`embedstore.kernels.bins.in_bins`, of equal width.

    Parameters
    ----------
    logits
        (N, C) float32, C-contiguous, nats, all finite.
    labels
        (N,) 0 to C - 1, or -1 where a sample has no label: it is scored and not summed.
    sums
        (B, 4) that counts, confidences, hits and NLLs are added to, by bin of confidence.
    scores
        (N,) to write to, higher for samples that look in-distribution; (0,) asks for none.
    score
        ``mcm``: the largest softmax of the plain cosines (Ming et al., 2022, temperature 1);
        ``msp``: the largest probability (Hendrycks & Gimpel, 2017); ``energy``: log sum exp z (Liu
        et al., 2020); ``max-logit`` (Hendrycks et al., 2022).
    scale
        What logits are of cosines: ``mcm`` divides by it.
    """
    _tally(logits, logits.view(np.int32), labels, sums, scores, _SCORES[score], 1.0 / scale)


@njit
def _tally(
    logits: F32, bits: I32, labels: I64, sums: F64, scores: F32, score: int, inverse_scale: float
) -> None:
    """Walk the rows once: the largest logit, the sum of powers, then what is asked for."""
    n_bins, inverse = sums.shape[0], np.float32(inverse_scale)
    for i in range(logits.shape[0]):
        row, top = logits[i], _largest(bits[i])
        total = _powers(row, top, _ONE)
        if labels[i] >= 0:
            confidence = np.float64(np.float32(1.0 / total))  # as it would be stored
            b = min(max(math.ceil(confidence * n_bins) - 1, 0), n_bins - 1)
            below = np.float64(top) - np.float64(row[labels[i]])
            sums[b, COUNT] += 1.0
            sums[b, CONFIDENCE] += confidence
            sums[b, HITS] += np.float64(_is_first(row, labels[i], top))
            sums[b, NLL] += min(math.log(total) + below, _LARGEST)
        if scores.shape[0] > 0:
            if score == _MCM:
                scores[i] = 1.0 / _powers(row, top, inverse)
            elif score == _MSP:
                scores[i] = 1.0 / total
            elif score == _ENERGY:
                scores[i] = np.float64(top) + math.log(total)
            else:
                scores[i] = top


@njit
def _largest(bits: I32) -> np.float32:
    """Return the largest of finite floats by their bits, (C,): integers vectorise, floats do not.

    The bits of a negative float are in the order of the floats once all but the sign is turned.
    """
    high = np.int32(-_INFINITY)
    for j in range(bits.shape[0]):
        high = max(high, np.int32(bits[j] ^ ((bits[j] >> _SIGN) & _ALL_BUT_SIGN)))
    return np.int32(high ^ ((high >> _SIGN) & _ALL_BUT_SIGN)).view(np.float32)


@njit
def _powers(row: F32, top: np.float32, inverse_scale: np.float32) -> float:
    """Sum exp((z - max z) / scale) over classes: (C,) -> scalar."""
    total = 0.0
    for start in range(0, row.shape[0], _BLOCK):
        block, part = row[start : start + _BLOCK], _ZERO
        for j in range(block.shape[0]):
            distance = (block[j] - top) * inverse_scale
            distance = max(distance, LOWEST)
            part += exp_not_positive(distance)
        total += np.float64(part)
    return total


@njit
def _is_first(row: F32, label: int, top: np.float32) -> bool:
    """Whether the label's logit is the largest, and no class before it has an equal one."""
    if row[label] != top:
        return False
    n_before = np.int32(0)
    for j in range(label):  # no exit: a loop that vectorises
        n_before += np.int32(row[j] == top)
    return bool(n_before == 0)


__all__ = ["CONFIDENCE", "COUNT", "HITS", "NLL", "Score", "tally"]
