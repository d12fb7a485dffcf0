"""Features of points between the cells of a patch map, as torch samples and resizes.

Bilinear equals ``grid_sample`` with border padding, bicubic ``interpolate(mode="bicubic")`` at any
place, both with ``align_corners=False``: beyond the outermost centres the outermost cells go on.
After bringing to unit length, ``grid_sample``'s padding with zeros is the same as with the border.

Dimensions: N points; h, w, D of a patch map; T cells that a point is blended of.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import over_rows
from embedstore.kernels.blend import blend

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Sampling = Literal["bilinear", "bicubic"]

_SHARPNESS = -0.75  # of the cubic kernel, as in torch (Keys, 1981, has -0.5)
_GRAIN = 256  # points that outlast a thread's start


def unit_features(patches: F32, places: F64, sampling: Sampling) -> F32:
    """Return the features at places on a map, of unit length: (h, w, D), (N, 2) -> (N, D).

    Parameters
    ----------
    patches
        C-contiguous.
    places
        x, y in cells, (0, 0) the centre of the upper left one.
    sampling
        How cells are blended.
    """
    rows, columns, n_features = patches.shape
    along = _linear if sampling == "bilinear" else _cubic
    in_row, of_column = along(places[:, 0], columns)
    in_column, of_row = along(places[:, 1], rows)
    taps = (in_column[:, :, None] * columns + in_row[:, None, :]).reshape(len(places), -1)
    weights = (of_row[:, :, None] * of_column[:, None, :]).reshape(len(places), -1)
    cells = patches.reshape(rows * columns, n_features)
    out = np.empty((len(places), n_features), np.float32)
    filling = partial(blend, cells, taps.astype(np.int32), weights.astype(np.float32), out)
    over_rows(filling, len(places), grain=_GRAIN)
    return out


def twins(places: F64, shape: tuple[int, int], sampling: Sampling) -> Bool:
    """Whether each place has the very features of another: (N, 2), h and w -> (N,).

    Bilinear ones have that share the nearest place between the outermost centres.
    """
    if sampling == "bicubic":
        return np.zeros(len(places), np.bool_)
    ends = np.array(shape[::-1]) - 1.0
    inside = np.clip(places, 0, ends)
    _, which, counts = np.unique(
        inside[:, 0] + 1j * inside[:, 1], return_inverse=True, return_counts=True
    )
    have: Bool = counts[which] > 1
    return have


def _linear(places: F64, n_cells: int) -> tuple[I64, F64]:
    """Return the two cells about each place along one side, and their weights: (N, 2) each."""
    inside = np.clip(places, 0, n_cells - 1)
    before = np.floor(inside).astype(np.int64)
    share = inside - before
    taps = np.stack([before, np.minimum(before + 1, n_cells - 1)], axis=1)
    return taps, np.stack([1 - share, share], axis=1)


def _cubic(places: F64, n_cells: int) -> tuple[I64, F64]:
    """Return the four cells about each place along one side, and their weights: (N, 4) each."""
    before = np.floor(places).astype(np.int64)
    taps = before[:, None] + np.arange(-1, 3)
    away = np.abs(places[:, None] - taps)
    a = _SHARPNESS
    near = ((a + 2) * away - (a + 3)) * away**2 + 1
    far = a * (((away - 5) * away + 8) * away - 4)
    return np.clip(taps, 0, n_cells - 1), np.where(away <= 1, near, far)


__all__ = ["Sampling", "twins", "unit_features"]
