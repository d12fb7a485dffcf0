"""Temperature: the one number that logits are divided by so that their NLL is least.

It knows logits and labels, not stores. NLL is convex in the inverse temperature β, and not in log T
(Guo et al., 2017, fit T; on real logits NLL over log T has inflections).

Dimensions: N samples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit, over_rows
from embedstore.errors import EmbedStoreError, NonFiniteError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Logits = npt.NDArray[Any]  # float32 or float64
Bound = Literal["", "lowest", "highest", "any"]

#: |dNLL/dβ| and |dNLL/dlog β| per sample at the temperature found.
TOLERANCE = 1e-8
#: β times the mean distance of logits below the largest: one-hot beyond, uniform below.
STEEPEST, FLATTEST = 1e3, 1e-3
_START = 8.0  # same unit
_FEW = 4096  # samples on which the search begins
_STEPS = 200

_INVERSE_LN2, _LN2 = 1.4426950408889634, 0.6931471805599453
_LOWEST = -700.0  # exp(-700) = 1e-304: nothing beside exp(0) = 1, and no subnormal


@dataclass(frozen=True, slots=True)
class Scaled:
    """What logits say at one inverse temperature β."""

    nll: F64  # (N,) nats; NaN without a label
    slope: F64  # (N,) its first derivative by β, nats
    curvature: F64  # (N,) its second
    confidence: F64  # (N,) largest probability


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """The temperature of least mean NLL."""

    temperature: float  # NaN where every temperature gives the same NLL
    bound: Bound  # at which end of the range it is, `any` where NLL is flat; "" inside
    n_samples: int
    nll: float  # mean at that temperature, nats
    nll_before: float  # mean at temperature 1
    n_passes: int  # over all logits


@dataclass(frozen=True, slots=True)
class _Block:
    """Logits with what every pass over them needs."""

    logits: Logits  # (N, C), read-only
    top: F64  # (N,) largest logit
    centre: F64  # (N,) mean logit
    below: F64  # (N,) label's logit less the largest, NaN without a label


def scaled(logits: Logits, labels: I64, temperature: float) -> Scaled:
    """Return NLL and confidence at a temperature: (N, C), (N,) -> columns of (N,).

    Parameters
    ----------
    logits
        (N, C) float32 or float64, finite.
    labels
        (N,) 0 to C - 1, or -1 where there is none.
    temperature
        More than 0.

    Raises
    ------
    EmbedStoreError
        If shapes or labels do not fit, or the temperature is not above 0.
    NonFiniteError
        If a logit is NaN or infinite.
    """
    if not temperature > 0:
        raise EmbedStoreError(f"temperature is {temperature}; give a number above 0")
    return _at(_prepared(logits, labels), 1.0 / temperature)


def fit_temperature(parts: Sequence[tuple[Logits, I64]]) -> TemperatureFit:
    """Fit one temperature to labelled logits: parts of (N, C), (N,) -> its fit.

    Newton's method on β = 1/T, safeguarded by bisection, begun on 4,096 of the samples. There is no
    finite minimum where no logit exceeds the label's (T falls to the `lowest` of the range), or
    where labels' logits lie below the mean of their row's (T rises to the `highest`).

    Parameters
    ----------
    parts
        Logits, float32 or float64, and labels, 0 to C - 1; at least one sample in all.

    Raises
    ------
    EmbedStoreError
        If there is no sample, or one without a label.
    NonFiniteError
        If a logit is NaN or infinite.
    """
    blocks = [_prepared(logits, labels) for logits, labels in parts]
    n_samples = sum(len(block.top) for block in blocks)
    if not n_samples or any(np.isnan(block.below).any() for block in blocks):
        raise EmbedStoreError("a temperature is fitted to labelled samples; give at least one")
    curve, few = _Curve(blocks), _Curve(_thinned(blocks, max(n_samples // _FEW, 1)))
    before = curve(1.0)[0]
    depths = np.concatenate([block.top - block.centre for block in blocks])
    spread = float(depths.mean())
    if spread <= 0:
        return TemperatureFit(np.nan, "any", n_samples, before, before, curve.n_passes)
    below = np.concatenate([block.below for block in blocks])
    ends = (min(FLATTEST / spread, 1.0), max(STEEPEST / spread, 1.0))
    if not below.any():
        beta, bound = ends[1], _bound(ends[1], ends)
    elif (depths + below).mean() <= 0:
        beta, bound = ends[0], _bound(ends[0], ends)
    else:
        start = _minimum(few, min(max(1.0, 1 / spread), 8 * _START / spread), ends)
        # a few samples may be separable where all are not
        start = _START / spread if _bound(start, ends) else start
        beta = _minimum(curve, start, ends)
        bound = _bound(beta, ends)
    nll = curve(beta)[0]
    if nll > before:  # by rounding, where T = 1 is as good
        beta, nll = 1.0, before
    return TemperatureFit(1 / beta, bound, n_samples, nll, before, curve.n_passes)


class _Curve:
    """Mean NLL, slope and curvature over all samples as functions of β, counting passes."""

    def __init__(self, blocks: Sequence[_Block]) -> None:
        self.blocks, self.n_passes = blocks, 0
        self._last: tuple[float, tuple[float, float, float]] | None = None

    def __call__(self, beta: float) -> tuple[float, float, float]:
        if self._last is None or self._last[0] != beta:
            self.n_passes += 1
            said = [_at(block, beta) for block in self.blocks]
            # summed row by row in NumPy: the same on any thread count
            columns = ([getattr(s, name) for s in said] for name in ("nll", "slope", "curvature"))
            nll, slope, curvature = (float(np.concatenate(c).mean()) for c in columns)
            self._last = beta, (nll, slope, curvature)
        return self._last[1]


def _minimum(
    curve: Callable[[float], tuple[float, float, float]], beta: float, ends: tuple[float, float]
) -> float:
    """Return the β of least NLL between the ends, or the end towards which NLL falls."""
    low, high = ends
    beta = min(max(beta, low), high)
    for _ in range(_STEPS):
        _, slope, curvature = curve(beta)
        if max(1.0, beta) * abs(slope) < TOLERANCE and beta not in ends:
            return beta
        if (beta == ends[1] and slope <= 0) or (beta == ends[0] and slope >= 0):
            return beta
        low, high = (low, beta) if slope > 0 else (beta, high)
        if high <= low * (1 + 1e-13):  # logits so large that the tolerance is below their rounding
            return beta
        step = beta - slope / curvature if curvature > 0 else math.inf * -slope
        beta = _inside(step, low, high, ends)
    return beta


def _inside(step: float, low: float, high: float, ends: tuple[float, float]) -> float:
    """Return Newton's step if it is inside the bracket, an end not yet tried, or the middle."""
    if low < step < high:
        return step
    if step >= high == ends[1]:
        return high
    if step <= low == ends[0]:
        return low
    return math.sqrt(low * high)


def _bound(beta: float, ends: tuple[float, float]) -> Bound:
    if beta == ends[1]:
        return "lowest"
    return "highest" if beta == ends[0] else ""


def _thinned(blocks: Sequence[_Block], step: int) -> list[_Block]:
    if step == 1:
        return list(blocks)
    return [
        _Block(
            _read_only(b.logits[::step]), *(c[::step].copy() for c in (b.top, b.centre, b.below))
        )
        for b in blocks
    ]


def _prepared(logits: Logits, labels: I64) -> _Block:
    """Check and take each row's largest logit, and how far the label's is below it."""
    if logits.ndim != 2 or logits.dtype not in (np.float32, np.float64) or not logits.shape[1]:
        raise EmbedStoreError(
            f"logits are {logits.dtype} of shape {logits.shape}; give float32 or float64 of shape "
            "(samples, classes)"
        )
    if labels.shape != logits.shape[:1] or ((labels < -1) | (labels >= logits.shape[1])).any():
        raise EmbedStoreError(
            f"labels of shape {labels.shape} do not fit logits of shape {logits.shape}; give a "
            f"class from 0 to {logits.shape[1] - 1} for each sample, or -1 where there is none"
        )
    rows = _read_only(logits)
    top, centre = np.empty(len(rows), rows.dtype), np.empty(len(rows))

    def survey(start: int, stop: int) -> None:
        np.max(rows[start:stop], axis=1, out=top[start:stop])
        _means(rows, centre, start, stop)

    over_rows(survey, len(rows))
    bad = np.flatnonzero(~np.isfinite(centre))  # float32 sums to no infinity in float64
    if bad.size:
        raise NonFiniteError(
            f"the logits of entry {bad[0]} hold NaN or infinity; leave failed pictures out"
        )
    known = labels >= 0
    below = np.full(len(labels), np.nan)
    below[known] = rows[known, labels[known]].astype(np.float64) - top[known]
    return _Block(rows, top.astype(np.float64), centre, below)


def _read_only(logits: Logits) -> Logits:
    rows = np.ascontiguousarray(logits).view()
    rows.flags.writeable = False  # one compiled version, for mapped files and for memory
    return rows


def _at(block: _Block, beta: float) -> Scaled:
    """Evaluate one block at β."""
    n_rows = len(block.top)
    sums = np.empty((3, n_rows))
    over_rows(lambda start, stop: _fill(block.logits, block.top, beta, start, stop, sums), n_rows)
    total, first, second = sums
    mean = first / total
    return Scaled(
        nll=np.log(total) - beta * block.below,
        slope=mean - block.below,
        curvature=np.maximum(second / total - mean**2, 0.0),
        confidence=1.0 / total,
    )


@njit
def _means(logits: Logits, out: F64, start: int, stop: int) -> None:
    """(N, C) -> (N,) in float64, rows `start` to `stop`."""
    for i in range(start, stop):
        row, total = logits[i], 0.0
        for j in range(row.shape[0]):
            total += np.float64(row[j])
        out[i] = total / row.shape[0]


@njit
def _fill(logits: Logits, top: F64, beta: float, start: int, stop: int, sums: F64) -> None:
    """Sum e, d e and d² e, where d = z - max z and e = exp(β d): (N, C), (N,) -> (3, N)."""
    for i in range(start, stop):
        row, largest = logits[i], top[i]
        total, first, second = 0.0, 0.0, 0.0
        for j in range(row.shape[0]):
            distance = np.float64(row[j]) - largest
            exponent = max(beta * distance, _LOWEST)
            power = _exp(exponent)
            weighted = distance * power
            total += power
            first += weighted
            second += distance * weighted
        sums[0, i], sums[1, i], sums[2, i] = total, first, second


@njit
def _exp(x: float) -> float:
    """Return exp(x) for -700 <= x <= 0, relative error below 1e-11, as LLVM vectorises it.

    Float32's would leave slopes uncertain by more than `TOLERANCE`; `math.exp` does not vectorise.
    """
    n = np.rint(x * _INVERSE_LN2)
    r = x - n * _LN2
    series = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800)))
    series = 1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * series)))
    power = np.int64((np.int64(np.int32(n)) + 1023) << 52).view(np.float64)  # 2**n
    return float(power * (1.0 + r + r * r * (0.5 + r * series)))


__all__ = ["Scaled", "TemperatureFit", "fit_temperature", "scaled"]
