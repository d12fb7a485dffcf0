"""What a pair's numbers must be: rigid poses, homographies that can be undone, points in pictures.

Dimensions: K keypoints.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.errors import DatasetError
from embedstore.importers.given_pairs import GivenPair, GivenView

F64 = npt.NDArray[np.float64]
Size = tuple[int, int]
#: How far a rotation may be from orthonormal: poses are written with few digits.
RIGID = 1e-3
#: Condition of a homography between unit squares from which on nothing can be told apart.
_SINGULAR = 1e8


def check_pair(given: GivenPair, sizes: tuple[Size, Size]) -> None:
    """Check all numbers of a pair that say where points lie.

    Parameters
    ----------
    given
        The pair.
    sizes
        Width and height of its pictures.

    Raises
    ------
    DatasetError
        It names the place, what is wrong there, and what to do.
    """
    if given.pose is not None:
        _refuse_not_rigid(given.pose, given.where)
    if given.homography is not None:
        _refuse_singular(given.homography, sizes, given.where)
    for which, view in (("first", given.first), ("second", given.second)):
        _refuse_no_camera(view, which, given.where)
    if given.keypoints is not None:
        _refuse_outside(given.keypoints, sizes, given.where)
    if given.box is not None:
        _refuse_no_box(given.box, sizes[1], given.where)


def within(keypoints: F64, sizes: tuple[Size, Size]) -> F64:
    """Move keypoints beyond a picture's last pixel, by the pixel that they may be, into it.

    (K, 4) -> (K, 4)
    """
    last = np.array([*sizes[0], *sizes[1]]) - 1.0
    kept: F64 = np.where(keypoints < last + 0.5, keypoints, last)
    return kept


def _refuse_not_rigid(pose: F64, where: str) -> None:
    rotation = pose[:3, :3]
    wrong = None
    if not np.isfinite(pose).all():
        wrong = "holds NaN or infinity"
    elif np.abs(pose[3] - [0, 0, 0, 1]).max() > RIGID:
        wrong = f"ends in {_said(pose[3])} where 0, 0, 0, 1 belongs"
    elif np.abs(rotation @ rotation.T - np.eye(3)).max() > RIGID:
        wrong = "scales or shears: its rotation is not orthonormal"
    elif np.linalg.det(rotation) < 0:
        wrong = "mirrors: its rotation has determinant -1"
    if wrong:
        raise DatasetError(
            f"pose of {where} is no rigid motion: it {wrong}; write the 4 x 4 matrix, row by row, "
            "from the first camera's coordinates to the second's"
        )


def _refuse_singular(homography: F64, sizes: tuple[Size, Size], where: str) -> None:
    """Judge it between unit squares, so that pixels do not weigh more than perspective."""
    to_second = np.array([*sizes[1], 1.0])
    unit = homography / to_second[:, None] * [*sizes[0], 1.0]
    if not np.isfinite(unit).all() or np.linalg.cond(unit) > _SINGULAR:
        raise DatasetError(
            f"homography of {where} is singular: it takes the picture to a line or a point, or is "
            "not finite; write 9 numbers, row by row, from pixels of the first to the second's"
        )


def _refuse_no_camera(view: GivenView, which: str, where: str) -> None:
    matrix = view.intrinsics
    if matrix is None:
        return
    last = np.abs(matrix[2] - [0, 0, 1]).max() <= RIGID
    if not np.isfinite(matrix).all() or not last or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise DatasetError(
            f"intrinsics_{which} of {where} are {_said(matrix)}; write fx, fy, cx, cy in pixels of "
            "the whole picture, focal lengths above 0, or the 3 x 3 matrix row by row"
        )


def _refuse_no_box(box: F64, size: Size, where: str) -> None:
    """Refuse a box that is none, or outside by more than a pixel: (4,)."""
    wrong = None
    if not np.isfinite(box).all():
        wrong = "holds NaN or infinity"
    elif not (box[:2] < box[2:]).all():
        wrong = "ends before it begins"
    elif (box[:2] < -1).any() or (box[2:] > np.array(size) + 1).any():
        wrong = f"reaches outside the second picture's {size[0]} x {size[1]} pixels"
    if wrong:
        raise DatasetError(
            f"box_second of {where} is {_said(box)}, and {wrong}; write left, top, right, bottom "
            "in pixels"
        )


def _refuse_outside(keypoints: F64, sizes: tuple[Size, Size], where: str) -> None:
    """Refuse keypoints outside; up to a pixel at the end: some count from 1 or from the corner."""
    for which, (width, height), points in zip(
        ("first", "second"), sizes, (keypoints[:, :2], keypoints[:, 2:]), strict=True
    ):
        outside = np.flatnonzero(((points < -0.5) | (points > [width, height])).any(axis=1))
        if len(outside):
            x, y = points[outside[0]]
            raise DatasetError(
                f"keypoint {outside[0] + 1} of the {which} picture in {where} lies at x = {x:g}, "
                f"y = {y:g}, outside its {width} x {height} pixels; mend it, or write null where "
                "it is absent"
            )


def _said(values: F64) -> str:
    return ", ".join(f"{value:g}" for value in np.ravel(values))
