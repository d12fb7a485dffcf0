"""Features between the cells of a map: weighted sums of some cells, brought to unit length.

Dimensions: C cells, D features, N points, T cells that a point is blended of.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


@njit
def blend(cells: F32, taps: I32, weights: F32, out: F32, start: int, stop: int) -> None:
    """Blend cells at each point, and divide by the length: (C, D), (N, T), (N, T) -> (N, D).

    Parameters
    ----------
    cells
        Features of a map.
    taps, weights
        Cells of each point, and how much each counts.
    out
        Rows `start` to `stop` are written; what is zero stays zero.
    """
    for i in range(start, stop):
        row = out[i]
        row[:] = np.float32(0.0)
        for t in range(taps.shape[1]):
            cell, weight = cells[taps[i, t]], weights[i, t]
            for d in range(row.shape[0]):
                row[d] += weight * cell[d]
        squares = np.float32(0.0)
        for d in range(row.shape[0]):
            squares += row[d] * row[d]
        if squares > 0:
            factor = np.float32(1.0) / np.sqrt(squares)
            for d in range(row.shape[0]):
                row[d] *= factor


__all__ = ["blend"]
