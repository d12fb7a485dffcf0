"""Where points of one picture lie in another: depth and pose, disparity, homography.

Dimensions: N points of the first picture, M of the second, K coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.limits import Unit
from embedstore.correspondence.pairs import Pair, Truth
from embedstore.correspondence.points import Sight, seen_points

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Space:
    """Places whose distances are errors."""

    truth: F64  # (N, K) where the first picture's points truly lie; NaN: behind the camera
    places: F64  # (M, K) where the second picture's points lie


@dataclass(frozen=True, slots=True)
class Scene:
    """The points of a pair that are compared, and the truth of them."""

    first: F64  # (N, 2) pixels
    second: F64  # (M, 2) pixels
    spaces: Mapping[Unit, Space]
    n_unseen: int = 0  # keypoints that are absent, or that the model does not see


def depth_scene(pair: Pair, sight: Sight) -> Scene | None:
    """Return the points of known depth that the model sees; None where the views do not overlap.

    They overlap if any point of the first picture lies in what the model sees of the second.
    Points behind something else, or outside of the second picture, are compared all the same, and
    cannot be found (Probe3D).
    """
    (first, here), (second, there) = _points(pair, "depth", sight)
    assert pair.first.intrinsics is not None
    assert pair.second.intrinsics is not None
    assert pair.pose is not None
    moved = (
        _unprojected(first, here, pair.first.intrinsics) @ pair.pose[:3, :3].T + pair.pose[:3, 3]
    )
    projected = _divided(moved @ pair.second.intrinsics.T)
    if not sight.sees(projected, pair.second).any():
        return None
    spaces: dict[Unit, Space] = {
        "m": Space(moved, _unprojected(second, there, pair.second.intrinsics)),
        "px": Space(projected, second),
    }
    return Scene(first, second, spaces)


def plane_scene(pair: Pair, truth: Truth, sight: Sight) -> Scene | None:
    """Return the points whose counterpart the model sees; None if there are none.

    By a homography, or by disparity: x in the second picture is x in the first less the disparity.
    """
    (first, values), (second, _) = _points(pair, truth, sight)
    if truth == "disparity":
        target = first - np.stack([values, np.zeros_like(values)], axis=1)
    else:
        assert pair.homography is not None
        target = _divided(_homogeneous(first) @ pair.homography.T)
    seen = sight.sees(target, pair.second)
    if not seen.any():
        return None
    return Scene(first[seen], second, {"px": Space(target[seen], second)})


def rotation_angle(pose: F64) -> float:
    """Return by how much a pose turns, degrees: (4, 4) -> 0 to 180."""
    rotation = pose[:3, :3]
    turned = rotation - rotation.T
    sine = math.hypot(turned[2, 1], turned[0, 2], turned[1, 0]) / 2
    cosine = (float(np.trace(rotation)) - 1) / 2
    return math.degrees(math.atan2(sine, cosine))  # exact near 0 too, where arccos is not


def _points(pair: Pair, truth: Truth, sight: Sight) -> tuple[tuple[F64, F64], tuple[F64, F64]]:
    return seen_points(pair.first, truth, sight), seen_points(pair.second, truth, sight)


def _unprojected(points: F64, depth: F64, intrinsics: F64) -> F64:
    """Return points in the camera's coordinates, metres: (N, 2) pixels, (N,) -> (N, 3)."""
    placed: F64 = _homogeneous(points) @ np.linalg.inv(intrinsics).T * depth[:, None]
    return placed


def _homogeneous(points: F64) -> F64:
    return np.column_stack([points, np.ones(len(points))])


def _divided(places: F64) -> F64:
    """Return x / z and y / z, NaN where z is not above 0: (N, 3) -> (N, 2)."""
    ahead = places[:, 2:]
    pixels = np.full((len(places), 2), np.nan)
    np.divide(places[:, :2], ahead, out=pixels, where=ahead > 0)
    return pixels


__all__ = ["Scene", "Space", "depth_scene", "plane_scene", "rotation_angle"]
