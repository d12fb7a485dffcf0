"""float16 as uint16 views: widened to float32, and logits narrowed for storage.

numba knows no float16, and NumPy converts one number at a time: this does as many as a vector
register holds, by integer arithmetic on the bits, so that no flush-to-zero mode changes a result.
It knows arrays, not stores.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit, over_rows
from embedstore.errors import EmbedStoreError

F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]
U16 = npt.NDArray[np.uint16]

# float16 has 10 bits of fraction and exponents biased by 15; float32 23 bits, biased by 127.
_FRACTION_SHIFT = np.int32(23 - 10)
_SIGN_SHIFT = np.int32(16)
_REBIAS = np.int32((127 - 15) << 23)
_HALF_SIGN = np.int32(0x8000)
_HALF_MAGNITUDE = np.int32(0x7FFF)
_HALF_INFINITY = np.int32(0x7C00)
_HALF_NORMAL = np.int32(0x0400)  # the least normal float16, 2**-14
_MAGNITUDE = np.int32(0x7FFFFFFF)
_INFINITY = np.int32(0x7F800000)
_NORMAL = np.int32(0x38800000)  # 2**-14 as float32
_TOO_LARGE = np.int32(0x477FF000)  # 65,520: from here on float16 rounds to infinity
_ONE = np.int32(1)
_BELOW_HALF = np.int32(0x0FFF)  # of the 13 bits that narrowing drops, just less than half
_SUBNORMAL_UNIT = np.float32(2.0**-24)
_SUBNORMALS_IN_ONE = np.float32(2.0**24)
_LOWEST = np.float32(np.finfo(np.float16).min)  # -65,504
_LOWEST_FLOAT = np.float32(np.finfo(np.float32).min)


def widen(bits: U16, maximum: F32 | None = None, out: F32 | None = None) -> F32:
    """Widen stored float16 to float32: (N, C) -> (N, C), equal to NumPy's cast bit for bit.

    Parameters
    ----------
    bits
        (N, C) uint16 views of float16; copied first unless C-contiguous.
    maximum
        (N,) the row's maximum that was taken off, nats, added again; None adds nothing.
    out
        (N, C) C-contiguous float32 to write to; None makes a new array.

    Raises
    ------
    EmbedStoreError
        If types or shapes do not fit.
    """
    if bits.ndim != 2 or bits.dtype != np.uint16:
        raise EmbedStoreError(
            f"half-precision bits are {bits.dtype} of shape {bits.shape}; give uint16 of two "
            "dimensions, such as logits.view(numpy.uint16)"
        )
    rows = np.ascontiguousarray(bits).view()
    rows.flags.writeable = False  # one compiled version, for mapped files and for memory
    added = np.zeros(0, np.float32) if maximum is None else np.array(maximum, np.float32)
    if maximum is not None and added.shape != bits.shape[:1]:
        raise EmbedStoreError(
            f"row maxima are of shape {added.shape}; give one a row: {bits.shape[:1]}"
        )
    out = np.empty(bits.shape, np.float32) if out is None else out
    if out.shape != bits.shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise EmbedStoreError(
            f"out is {out.dtype} of shape {out.shape}; give C-contiguous float32 of shape "
            f"{bits.shape}"
        )
    over_rows(lambda start, stop: _widen_rows(rows, added, out, start, stop), len(bits))
    return out


def narrow(logits: F32) -> tuple[F16, F32]:
    """Take each row's maximum off and round to float16: (N, C) -> (N, C), (N,).

    Rounds to nearest, ties to even, as NumPy's cast does; but logits more than 65,504 nats below
    the largest are kept at that distance, lest a finite logit become infinite. A row that holds NaN
    becomes NaN throughout, its maximum too; -inf stays.

    Parameters
    ----------
    logits
        (N, C) float32, nats, C >= 1; copied first unless C-contiguous.

    Returns
    -------
    tuple
        (N, C) float16 logits less the row's maximum, nats, and that maximum, (N,) float32, nats.

    Raises
    ------
    EmbedStoreError
        If type or shape do not fit.
    """
    if logits.ndim != 2 or logits.dtype != np.float32 or logits.shape[1] == 0:
        raise EmbedStoreError(
            f"logits are {logits.dtype} of shape {logits.shape}; give float32 of shape (samples, "
            "classes), with at least one class"
        )
    rows = np.ascontiguousarray(logits).view()
    rows.flags.writeable = False
    maximum = np.empty(len(rows), np.float32)
    out = np.empty(rows.shape, np.uint16)

    def round_rows(start: int, stop: int) -> None:
        np.max(rows[start:stop], axis=1, out=maximum[start:stop])
        _narrow_rows(rows, maximum, out, start, stop)

    over_rows(round_rows, len(rows))
    return out.view(np.float16), maximum


@njit
def _widen_rows(bits: U16, maximum: F32, out: F32, start: int, stop: int) -> None:
    """(N, C), (N,) or (0,) -> (N, C), rows `start` to `stop`."""
    for i in range(start, stop):
        row, target = bits[i], out[i]
        for j in range(row.shape[0]):
            target[j] = _to_float(np.int32(row[j]))
        if maximum.shape[0] > 0:
            for j in range(row.shape[0]):
                target[j] += maximum[i]


@njit
def _narrow_rows(logits: F32, maximum: F32, out: U16, start: int, stop: int) -> None:
    """(N, C), (N,) -> (N, C) bits, rows `start` to `stop`."""
    for i in range(start, stop):
        row, target, top = logits[i], out[i], maximum[i]
        for j in range(row.shape[0]):
            below = row[j] - top
            below = max(below, _LOWEST)  # NaN stays NaN
            target[j] = np.uint16(_to_half(below if row[j] >= _LOWEST_FLOAT else row[j]))


@njit
def _to_float(half: np.int32) -> np.float32:
    """Return the float32 of a float16's bits."""
    magnitude = half & _HALF_MAGNITUDE
    normal = np.int32((magnitude << _FRACTION_SHIFT) + _REBIAS)
    special = np.int32(normal + _REBIAS)  # infinity and NaN: the largest exponent stays the largest
    subnormal = np.float32(np.float32(magnitude) * _SUBNORMAL_UNIT).view(np.int32)
    wide = special if magnitude >= _HALF_INFINITY else normal
    wide = subnormal if magnitude < _HALF_NORMAL else wide
    return np.int32(wide | ((half & _HALF_SIGN) << _SIGN_SHIFT)).view(np.float32)


@njit
def _to_half(value: np.float32) -> np.int32:
    """Return the bits of a float32 rounded to float16, ties to even."""
    bits = np.float32(value).view(np.int32)
    magnitude = bits & _MAGNITUDE
    odd = (magnitude >> _FRACTION_SHIFT) & _ONE
    normal = np.int32(np.int32(magnitude - _REBIAS + _BELOW_HALF + odd) >> _FRACTION_SHIFT)
    payload = np.int32(_HALF_INFINITY | ((magnitude - _INFINITY) >> _FRACTION_SHIFT))
    nan = payload if payload > _HALF_INFINITY else np.int32(_HALF_INFINITY | _ONE)
    narrow = normal if magnitude < _TOO_LARGE else _HALF_INFINITY
    narrow = nan if magnitude > _INFINITY else narrow
    small = np.int32(magnitude if magnitude < _NORMAL else 0).view(np.float32)
    narrow = np.int32(np.rint(small * _SUBNORMALS_IN_ONE)) if magnitude < _NORMAL else narrow
    return np.int32(narrow | ((bits >> _SIGN_SHIFT) & _HALF_SIGN))
