"""Pillow's antialiased resize for 8-bit RGB, bit for bit, of just the window that a crop keeps.

Pillow resizes the whole picture, across and then down, before a crop throws much of it away.
These kernels compute the kept window alone, from the rows and columns it needs, with the same
weights (float64, rounded to 22 fractional bits) and the same 8-bit picture between both passes.

Dimensions: H, W the picture's pixels, h, w the window's, M outputs along one axis, K taps of one
output, N rows, L bytes of a row.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from embedstore.accelerate import njit

Interpolation = Literal["bicubic", "bilinear", "nearest"]
U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

#: Fractional bits of a weight: 8 of the pixel and 2 of headroom leave 22 of 32.
BITS = 22
HALF = 1 << (BITS - 1)
#: Bytes of a transposed strip of rows: measured best where a strip stays within the second cache.
STRIP_BYTES = 1 << 18
#: Longer sides have weights too large to keep, and are too rare to be met again.
KEPT_SIDE = 8192


@njit
def weigh(rows: U8, first: I64, weights: I32, out: U8) -> None:
    """Weigh K consecutive rows for each output: (N, L), (M,), (M, K) -> (M, L).

    The inner loop vectorises because its length is unknown to the compiler and its row is taken
    out of it; with a constant length, or ``rows[first[m] + k, i]``, it takes ten times as long.
    """
    total = np.empty(rows.shape[1], np.int32)
    for m in range(out.shape[0]):
        total[:] = HALF
        for k in range(min(weights.shape[1], rows.shape[0] - first[m])):
            weight = weights[m, k]
            row = rows[first[m] + k]
            for i in range(total.shape[0]):
                total[i] += np.int32(weight * np.int32(row[i]))
        for i in range(total.shape[0]):
            out[m, i] = min(max(total[i] >> BITS, 0), 255)


@njit
def weigh_across(
    picture: U8, first: I64, weights: I32, strip_rows: int, left: int, out: U8
) -> None:
    """Weigh K consecutive pixels of each row: (N, W, 3), (M,), (M, K) -> (N, M, 3).

    Strips of rows are turned on their side, pixel by pixel, so that the inner loop of
    :func:`weigh` runs along memory here too. `first` counts from the column `left`.
    """
    n_rows, n_columns = picture.shape[0], first[-1] + weights.shape[1]
    n_columns = min(n_columns, picture.shape[1] - left)
    strip = np.zeros((n_columns, 3 * strip_rows), np.uint8)
    weighed = np.empty((out.shape[1], 3 * strip_rows), np.uint8)
    for top in range(0, n_rows, strip_rows):
        for r in range(min(strip_rows, n_rows - top)):
            for x in range(n_columns):
                for c in range(3):
                    strip[x, 3 * r + c] = picture[top + r, left + x, c]
        weigh(strip, first, weights, weighed)
        for r in range(min(strip_rows, n_rows - top)):
            for x in range(out.shape[1]):
                for c in range(3):
                    out[top + r, x, c] = weighed[x, 3 * r + c]


def bicubic(x: F64) -> F64:
    """Keys' cubic (1981), a = -0.5, in Pillow's order of operations: distances -> weights."""
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def bilinear(x: F64) -> F64:
    """Triangle of half width 1: distances -> weights."""
    return np.maximum(1.0 - x, 0.0)


FILTERS = {"bicubic": (bicubic, 2.0), "bilinear": (bilinear, 1.0)}  # and the half width, pixels


@lru_cache(maxsize=1024)
def taps(n_in: int, n_out: int, start: int, stop: int, interpolation: str) -> tuple[I64, I32]:
    """Return outputs' first source pixels (M,) and fixed-point weights (M, K), M = stop - start.

    One axis of `n_in` pixels resized to `n_out`, the filter widened by the scale when it shrinks.
    """
    kernel, half_width = FILTERS[interpolation]
    scale = n_in / n_out
    widening = max(scale, 1.0)
    reach = half_width * widening
    centre = (np.arange(start, stop) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    n_taps = np.minimum((centre + reach + 0.5).astype(np.int64), n_in) - first
    k = np.arange(n_taps.max())
    distance = np.abs(((k + first[:, None]) - centre[:, None] + 0.5) * (1.0 / widening))
    weights = np.where(k < n_taps[:, None], kernel(distance), 0.0)
    # cumsum adds from left to right, as Pillow's loop does; sum adds pairwise
    weights /= np.cumsum(weights, axis=1)[:, -1:]
    rounded = np.where(weights < 0, weights * (1 << BITS) - 0.5, weights * (1 << BITS) + 0.5)
    return first, rounded.astype(np.int32)


def nearest_index(n_in: int, n_out: int, start: int, stop: int) -> I64:
    """Return which source pixel each output of [start, stop) takes: (M,).

    Pillow adds the scale up step by step, and so drifts: kept.
    """
    steps = np.full(stop, n_in / n_out)
    steps[0] *= 0.5
    return np.cumsum(steps)[start:].astype(np.int64)


def goes_down_first(n_in: tuple[int, int], n_out: tuple[int, int]) -> bool:
    """Whether Pillow 13 goes down before across: where height loses over twice what width does.

    Each pass rounds to 8 bits, so the order shows. Pillow before 13 always goes across first.
    """
    return n_in[0] - n_out[0] > max(0, 2 * (n_in[1] - n_out[1]))


def resize(
    picture: U8,
    size: tuple[int, int],
    *,
    window: tuple[int, int, int, int] | None = None,
    interpolation: Interpolation = "bicubic",
    tall_first: bool = True,
    out: U8 | None = None,
) -> U8:
    """Return a window of what ``PIL.Image.resize`` would: (H, W, 3) -> (h, w, 3).

    Parameters
    ----------
    picture
        (H, W, 3) uint8.
    size
        Height and width of the whole resized picture, pixels.
    window
        Top, left, height and width of what is kept of it; the whole when left out.
    interpolation
        Pillow's filter of that name, antialiased; `nearest` is not.
    tall_first
        Whether pictures that lose much height go down first, as Pillow does from version 13 on.
    out
        (h, w, 3) uint8, C-contiguous: where to write.
    """
    top, left, height, width = window or (0, 0, *size)
    out = np.empty((height, width, 3), np.uint8) if out is None else out
    if not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous")
    down = (picture.shape[0], size[0], top, top + height)
    across = (picture.shape[1], size[1], left, left + width)
    if interpolation == "nearest":
        out[:] = picture[nearest_index(*down)[:, None], nearest_index(*across)]
        return out
    rows, row_weights = _axis_taps(*down, interpolation)
    columns, column_weights = _axis_taps(*across, interpolation)
    down_first = tall_first and goes_down_first(picture.shape[:2], size)
    picture = np.require(picture[rows[0] : rows[-1] + row_weights.shape[1]], np.uint8, ["C", "W"])
    rows = rows - rows[0]
    if down_first:
        between = np.empty((height, picture.shape[1], 3), np.uint8)
        weigh(_flat(picture), rows, row_weights, _flat(between))
        _resize_across(between, columns, column_weights, out)
    else:
        between = np.empty((picture.shape[0], width, 3), np.uint8)
        _resize_across(picture, columns, column_weights, between)
        weigh(_flat(between), rows, row_weights, _flat(out))
    return out


def _resize_across(picture: U8, columns: I64, weights: I32, out: U8) -> None:
    """Call :func:`weigh_across` with strips, of a power of two of rows, that fit `STRIP_BYTES`."""
    row_bytes = 3 * (int(columns[-1] - columns[0]) + weights.shape[1])
    n_rows = min(64, picture.shape[0], max(STRIP_BYTES // row_bytes, 1))
    strip_rows = 1 << (n_rows.bit_length() - 1)
    weigh_across(picture, columns - columns[0], weights, strip_rows, int(columns[0]), out)


def _axis_taps(n_in: int, n_out: int, start: int, stop: int, interpolation: str) -> tuple[I64, I32]:
    """Return :func:`taps`, kept for next time where they are small."""
    compute: Any = taps if n_in <= KEPT_SIDE else taps.__wrapped__
    first, weights = compute(n_in, n_out, start, stop, interpolation)
    return first, weights


def _flat(picture: U8) -> U8:
    """Return the same memory a row at a time: (H, W, 3) -> (H, 3W)."""
    return picture.reshape(picture.shape[0], -1)


__all__ = ["Interpolation", "goes_down_first", "resize"]
