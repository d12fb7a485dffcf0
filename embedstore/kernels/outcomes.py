"""Outcomes: what logits say of each sample, in one fused pass. It knows arrays, not stores.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit, over_rows
from embedstore.errors import EmbedStoreError, NonFiniteError
from embedstore.kernels.exponential import LOWEST, exp_not_positive

Bool = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]

MAX_CLASSES = 65_535  # predictions and ranks are stored as uint16
_INFINITY = np.int32(0x7F800000)  # key of float32 infinity
_MINUS_INFINITY = np.int32(-0x7F800001)
_ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
_SIGN = np.int32(31)
_ZERO = np.float32(0.0)
_LARGEST = float(np.finfo(np.float32).max)  # logits may lie further apart than float32 can say
_BLOCK = 1024  # float32 sums are gathered in float64 this often
_COPIED_ROWS = 4096  # rows copied at a time where logits are not contiguous


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The ten columns of outcomes, and which rows hold them; see :func:`outcomes`.

    Where a value is null (see `valid`, `labelled`) the arrays hold 0, False or NaN.
    """

    prediction: U16  # (N,) class index; null unless valid
    correct: Bool  # (N,); null unless labelled
    label_rank: U16  # (N,) classes before the label's, 0 to C - 1; null unless labelled
    confidence: F32  # (N,) probability; null unless valid
    max_logit: F32  # (N,) nats; null unless valid
    energy: F32  # (N,) nats; null unless valid
    entropy: F32  # (N,) nats; null unless valid
    margin: F32  # (N,) probability; null unless valid
    nll: F32  # (N,) nats; null unless labelled
    brier: F32  # (N,) squared probability, 0 to 2; null unless labelled
    valid: Bool  # (N,) False for rows of failed pictures
    labelled: Bool  # (N,) valid, and with a label


def outcomes(
    logits: F32, labels: npt.NDArray[np.integer], *, failed: Bool | None = None, first_row: int = 0
) -> Outcomes:
    """Compute every outcome of every row: (N, C), (N,) -> ten columns of (N,).

    With z a row of logits, p its softmax and y its label:

    - `prediction`: argmax z, ties to the lowest class;
    - `correct`: prediction = y;
    - `label_rank`: how many classes have a logit above z_y, plus how many of a lower index equal
      it, so that top-k accuracy is the share of ranks below k;
    - `confidence`: max p (Hendrycks & Gimpel, 2017);
    - `max_logit`: max z (Hendrycks et al., 2022);
    - `energy`: log sum exp z, the negative free energy at temperature 1 (Liu et al., 2020), higher
      for samples that look more in-distribution;
    - `entropy`: -sum p log p;
    - `margin`: the largest probability less the second largest, 1 where C = 1;
    - `nll`: -log p_y;
    - `brier`: sum over classes of (p - 1_y)² (Brier, 1950).

    They agree with float64 arithmetic to 1e-5, or to float32's own rounding (6e-8 of the value)
    where that is more. A row's result depends on that row alone, not on threads or neighbours.

    Parameters
    ----------
    logits
        (N, C) float32, nats. Arrays that are not C-contiguous are copied, 4,096 rows at a time.
    labels
        (N,) integers, 0 to C - 1, or -1 where a sample has no label.
    failed
        (N,) True for rows of pictures that could not be read; their logits are not looked at and
        their outcomes are null. None: no row failed.
    first_row
        Number of the first row, for the error's message.

    Raises
    ------
    NonFiniteError
        If a row that did not fail holds NaN or infinity; names the first such row.
    EmbedStoreError
        If shapes, types, labels or the count of classes do not fit.
    """
    failed = np.zeros(labels.shape, np.bool_) if failed is None else failed
    _check(logits, labels, failed)
    n_rows = logits.shape[0]
    y, failed = np.array(labels, np.int64), np.array(failed)
    counts = np.zeros((2, n_rows), np.uint16)  # prediction, label_rank
    measures = np.full((7, n_rows), np.nan, np.float32)  # from confidence on, as in Outcomes

    def measure(start: int, stop: int) -> int:
        step = stop - start if logits.flags.c_contiguous else _COPIED_ROWS
        for first in range(start, stop, max(step, 1)):
            block = np.ascontiguousarray(logits[first : min(first + step, stop)]).view()
            block.flags.writeable = False  # one compiled version, for mapped files and for memory
            bad = _fill(block, block.view(np.int32), first, y, failed, counts, measures)
            if bad >= 0:
                return int(bad)
        return -1

    bad_rows = [row for row in over_rows(measure, n_rows) if row >= 0]
    if bad_rows:
        raise NonFiniteError(
            f"the logits of row {first_row + bad_rows[0]} hold NaN or infinity; check the model "
            "and its precision on that picture, or record the picture as failed"
        )
    return _named(counts, measures, y, ~failed)


def _named(counts: U16, measures: F32, y: I64, valid: Bool) -> Outcomes:
    """Name the rows of (2, N) and (7, N), and judge the predictions."""
    prediction, label_rank = counts
    confidence, max_logit, energy, entropy, margin, nll, brier = measures
    labelled = valid & (y >= 0)
    return Outcomes(
        prediction=prediction,
        correct=labelled & (prediction == y),
        label_rank=label_rank,
        confidence=confidence,
        max_logit=max_logit,
        energy=energy,
        entropy=entropy,
        margin=margin,
        nll=nll,
        brier=brier,
        valid=valid,
        labelled=labelled,
    )


def _check(logits: F32, labels: npt.NDArray[np.integer], failed: Bool) -> None:
    """Refuse arrays that do not fit together, before compiled code reads beyond their bounds."""
    if logits.ndim != 2 or logits.dtype != np.float32:
        raise EmbedStoreError(
            f"logits are {logits.dtype} of shape {logits.shape}; give float32 of shape (samples, "
            "classes), and widen stored float16 first"
        )
    n_rows, n_classes = logits.shape
    if not 1 <= n_classes <= MAX_CLASSES:
        raise EmbedStoreError(f"logits of {n_classes} classes; give 1 to {MAX_CLASSES}")
    if labels.shape != (n_rows,) or labels.dtype.kind not in "iu":
        raise EmbedStoreError(
            f"labels are {labels.dtype} of shape {labels.shape}; give integers of shape ({n_rows},)"
        )
    if failed.shape != (n_rows,) or failed.dtype != np.bool_:
        raise EmbedStoreError(
            f"failed is {failed.dtype} of shape {failed.shape}; give booleans of shape ({n_rows},)"
        )
    wrong = np.flatnonzero((labels < -1) | (labels >= n_classes))
    if wrong.size:
        raise EmbedStoreError(
            f"label {labels[wrong[0]]} of entry {wrong[0]} is not a class; give 0 to "
            f"{n_classes - 1}, or -1 where there is none"
        )


@njit
def _fill(
    logits: F32, bits: I32, first: int, labels: I64, failed: Bool, counts: U16, measures: F32
) -> int:
    """Fill (2, N), (7, N) from column `first` on, from (n, C): the first row not finite, or -1."""
    for i in range(logits.shape[0]):
        n = first + i
        if failed[n]:
            continue
        low, high = _key_range(bits[i])
        if low <= _MINUS_INFINITY or high >= _INFINITY:
            return n
        row, top = logits[i], _from_key(high)
        best, second = _first_and_second(row, bits[i], top)
        total, squares, weighted = _sums(row, top)
        counts[0, n] = best
        measures[0, n] = 1.0 / total
        measures[1, n] = top
        measures[2, n] = np.float64(top) + math.log(total)
        measures[3, n] = math.log(total) - weighted / total
        measures[4, n] = -math.expm1(np.float64(second) - np.float64(top)) / total
        if labels[n] >= 0:
            counts[1, n] = _rank(row, labels[n])
            below = np.float64(top) - np.float64(row[labels[n]])
            measures[5, n] = min(math.log(total) + below, _LARGEST)
            measures[6, n] = _brier(math.exp(-below), total, squares)
    return -1


@njit
def _key_range(bits: I32) -> tuple[np.int32, np.int32]:
    """(C,) bits of floats -> least and greatest key; of none, those of the two infinities.

    Keys are integers in the order of the floats, NaN beyond the infinities on either side. Extremes
    of integers vectorise; those of floats that may be NaN do not.
    """
    low, high = _INFINITY, _MINUS_INFINITY
    for j in range(bits.shape[0]):
        key = np.int32(bits[j] ^ ((bits[j] >> _SIGN) & _ALL_BUT_SIGN))
        low, high = min(low, key), max(high, key)
    return low, high


@njit
def _from_key(key: np.int32) -> np.float32:
    """Return the float of a key: the same exchange of bits backwards."""
    return np.int32(key ^ ((key >> _SIGN) & _ALL_BUT_SIGN)).view(np.float32)


@njit
def _first_and_second(row: F32, bits: I32, top: np.float32) -> tuple[np.int32, np.float32]:
    """(C,) twice -> the first class whose logit is `top`, and the second largest logit.

    Floats are compared with `top`, so that -0 equals 0 though their keys differ.
    """
    n_classes, second = np.int32(row.shape[0]), _MINUS_INFINITY
    first, last = n_classes, np.int32(-1)
    for j in range(row.shape[0]):  # no exit, no slice: a single loop that vectorises
        is_top, key = row[j] == top, np.int32(bits[j] ^ ((bits[j] >> _SIGN) & _ALL_BUT_SIGN))
        first = min(first, np.int32(j) if is_top else n_classes)
        last = max(last, np.int32(j) if is_top else np.int32(-1))
        second = max(second, _MINUS_INFINITY if is_top else key)
    return first, top if last > first else _from_key(second)


@njit
def _rank(row: F32, label: int) -> np.int32:
    """Count classes above the label's logit, and equal ones of lower index: (C,) -> scalar."""
    value, place, rank = row[label], np.int32(label), np.int32(0)
    for j in range(row.shape[0]):
        before = (row[j] > value) | ((row[j] == value) & (np.int32(j) < place))
        rank = np.int32(rank + np.int32(before))  # counts of 32 bits: as many lanes as logits
    return rank


@njit
def _sums(row: F32, top: np.float32) -> tuple[float, float, float]:
    """Sum e, e² and d e over classes, where d = z - max z and e = exp d: (C,) -> three scalars."""
    total, squares, weighted = 0.0, 0.0, 0.0
    for start in range(0, row.shape[0], _BLOCK):
        block = row[start : start + _BLOCK]
        sum_e, sum_ee, sum_de = _ZERO, _ZERO, _ZERO
        for j in range(block.shape[0]):
            distance = block[j] - top
            distance = max(distance, LOWEST)
            power = exp_not_positive(distance)
            sum_e += power
            sum_ee += power * power
            sum_de += distance * power
        total += np.float64(sum_e)
        squares += np.float64(sum_ee)
        weighted += np.float64(sum_de)
    return total, squares, weighted


@njit
def _brier(power: float, total: float, squares: float) -> float:
    """Return the Brier score of a label that has `power` of the exponentials' `total`."""
    others = max(squares - power * power, 0.0)  # float32 sums may fall short of their largest term
    return (others + (total - power) ** 2) / (total * total)
