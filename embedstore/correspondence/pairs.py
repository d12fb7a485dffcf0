"""Pairs of pictures and the truth of which point of one is which of the other.

Coordinates are pixels of the whole picture, x to the right and y down, (0, 0) the *centre* of the
upper left pixel. Cameras look along +z, x right, y down (OpenCV's convention).

Dimensions: W, H pixels of a picture; h, w points of its grid, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: What says which points belong together.
Truth = Literal["depth", "disparity", "homography", "keypoints"]


@dataclass(frozen=True, slots=True)
class View:
    """One of a pair's two pictures."""

    sample_index: int  # row of the data set
    width: int  # W
    height: int  # H
    grid: F32 | None = None  # (h, w) depth in metres, or disparity in pixels; NaN where not known
    stride: int = 1  # pixels between the grid's points: [i, j] is at y = i * stride, x = j * stride
    intrinsics: F64 | None = None  # (3, 3) of the whole picture, in pixels


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, and what says where points of the first lie in the second."""

    first: View
    second: View
    pose: F64 | None = None  # (4, 4) from the first camera's coordinates to the second's, metres
    homography: F64 | None = None  # (3, 3) from pixels of the first to pixels of the second
    keypoints: F64 | None = None  # (K, 4) x, y in the first, x, y in the second
    box: F64 | None = None  # (4,) of the object in the second: left, top, right, bottom
    group: str | None = None  # over which means are taken: a class
