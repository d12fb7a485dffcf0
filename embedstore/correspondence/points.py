"""Which points of a picture are compared, and where they lie on a model's patch map.

Map coordinates are in cells, (0, 0) the *centre* of the upper left cell, as torch's
``align_corners=False``.

Dimensions: N points; w, h columns and rows of a patch map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.pairs import Truth, View
from embedstore.transform import Cells, Transform, to_input

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sight:
    """How a model's patch map lies over a picture."""

    transform: Transform
    shape: tuple[int, int]  # h, w
    cells: Cells

    def to_map(self, points: F64, view: View) -> F64:
        """Return where pixels of a picture lie on the map: (N, 2) -> (N, 2), x before y."""
        return self._on_map(self._at_input(points, view))

    def to_picture(self, cells: F64, view: View) -> F64:
        """Return where places on the map lie in the picture: the inverse of :meth:`to_map`."""
        stride, first = self._cells()
        scale, offset = self._affine(view)
        pixels: F64 = (cells * stride + first + 0.5 - offset) / scale - 0.5
        return pixels

    def sees(self, points: F64, view: View) -> Bool:
        """Whether points lie in the picture, in what the model is given of it, and in a cell: (N,).

        A cell is as wide as its stride, though what it shows is blended of more.
        """
        at_input = self._at_input(points, view)
        seen: Bool = (
            _within(points, (view.height, view.width))
            & _within(at_input, self.transform.size)
            & _within(self._on_map(at_input), self.shape)
        )
        return seen

    def _at_input(self, points: F64, view: View) -> F64:
        scale, offset = self._affine(view)
        at_input: F64 = (points + 0.5) * scale - 0.5 + offset
        return at_input

    def _on_map(self, at_input: F64) -> F64:
        stride, first = self._cells()
        on_map: F64 = (at_input - first) / stride
        return on_map

    def _cells(self) -> tuple[F64, F64]:
        """Stride and first centre in pixels of the input, each of x and y."""
        return np.array(self.cells.stride[::-1]), np.array(self.cells.first[::-1])

    def _affine(self, view: View) -> tuple[F64, F64]:
        """Input pixels a pixel, and input pixels, each of x and y."""
        scale_x, offset_x, scale_y, offset_y = to_input(self.transform, view.width, view.height)
        return np.array([scale_x, scale_y]), np.array([offset_x, offset_y])


def _within(places: F64, sides: tuple[int, int]) -> Bool:
    """Whether places lie in a grid of so many rows and columns: (N, 2), x before y -> (N,)."""
    ends = np.array(sides[::-1]) - 0.5
    inside: Bool = np.all((places >= -0.5) & (places < ends), axis=1)
    return inside


def seen_points(view: View, truth: Truth, sight: Sight) -> tuple[F64, F64]:
    """Return points of a picture that the model sees, and their values: (N, 2) pixels, (N,).

    Of a picture with a grid, those whose depth or disparity is known; else all that its stride
    says, of value NaN.
    """
    at_y, at_x = (np.arange(0, side, view.stride) for side in (view.height, view.width))
    points = np.stack(np.meshgrid(at_x, at_y), axis=-1).reshape(-1, 2).astype(np.float64)
    chosen = sight.sees(points, view)
    if view.grid is None:
        return points[chosen], np.full(int(chosen.sum()), np.nan)
    values = view.grid.reshape(-1).astype(np.float64)
    chosen &= np.isfinite(values)
    if truth == "depth":
        chosen &= values > 0
    return points[chosen], values[chosen]


__all__ = ["Sight", "seen_points"]
