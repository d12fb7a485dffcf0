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
from embedstore.transform import Transform, to_input

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sight:
    """How a model's patch map lies over a picture."""

    transform: Transform
    shape: tuple[int, int]  # h, w

    def to_map(self, points: F64, view: View) -> F64:
        """Return where pixels of a picture lie on the map: (N, 2) -> (N, 2), x before y."""
        scale, offset, cells = self._affine(view)
        mapped: F64 = ((points + 0.5) * scale + offset) * cells - 0.5
        return mapped

    def to_picture(self, cells: F64, view: View) -> F64:
        """Return where places on the map lie in the picture: the inverse of :meth:`to_map`."""
        scale, offset, per_pixel = self._affine(view)
        pixels: F64 = ((cells + 0.5) / per_pixel - offset) / scale - 0.5
        return pixels

    def sees(self, points: F64, view: View) -> Bool:
        """Whether points lie in the picture, and in the part that the model is given: (N,)."""
        on_map, (rows, columns) = self.to_map(points, view), self.shape
        ends = np.array([columns, rows]) - 0.5
        sides = np.array([view.width, view.height]) - 0.5
        inside = (on_map >= -0.5) & (on_map < ends) & (points >= -0.5) & (points < sides)
        seen: Bool = np.all(inside, axis=1)
        return seen

    def _affine(self, view: View) -> tuple[F64, F64, F64]:
        """Input pixels a pixel, input pixels, and cells an input pixel, each of x and y."""
        scale_x, offset_x, scale_y, offset_y = to_input(self.transform, view.width, view.height)
        (height, width), (rows, columns) = self.transform.size, self.shape
        return (
            np.array([scale_x, scale_y]),
            np.array([offset_x, offset_y]),
            np.array([columns / width, rows / height]),
        )


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
