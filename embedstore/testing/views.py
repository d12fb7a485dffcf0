"""Pairs of pictures whose truth is known exactly, made without a download, for tests.

Each maker writes a folder of pictures and beside it a manifest of pairs, `pairs.jsonl`.

Dimensions: H, W pixels of a picture.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
PICTURES = "pictures"
MANIFEST = "pairs.jsonl"


@dataclass(frozen=True, slots=True)
class Views:
    """Where pictures and pairs were written."""

    source: str  # of the data set, as `embedstore encode --data NAME=SOURCE` takes it
    pairs: Path  # the manifest


def motorcycle(folder: Path) -> Views:
    """Write scikit-image's stereo pair and its disparity: 741 x 500 pixels, 93 % of them known."""
    import skimage

    data = Path(skimage.__file__).parent / "data"
    views = _begun(folder)
    for side in ("left", "right"):
        picture = (data / f"motorcycle_{side}.png").read_bytes()
        (folder / PICTURES / f"{side}.png").write_bytes(picture)
    with np.load(data / "motorcycle_disp.npz") as arrays:
        np.save(folder / "disparity.npy", arrays["arr_0"])
    return _written(views, [{"first": "left", "second": "right", "disparity": "disparity.npy"}])


def warped(folder: Path, photograph: U8, homographies: Mapping[str, F64]) -> Views:
    """Write a photograph and what each homography makes of it, of the same size.

    Parameters
    ----------
    folder
        Where to.
    photograph
        (H, W, 3)
    homographies
        By the name of the picture: (3, 3), pixels of the photograph to the warped one's.
    """
    views = _begun(folder)
    _save(folder, "photograph", photograph)
    rows = []
    for name, homography in homographies.items():
        _save(folder, name, _warped(photograph, homography))
        rows.append({"first": "photograph", "second": name, "homography": homography.tolist()})
    return _written(views, rows)


def rotation(width: int, height: int, degrees: float) -> F64:
    """Return the homography that turns a picture about its centre, clockwise: (3, 3)."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _about_centre(width, height, [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def scaling(width: int, height: int, factor: float) -> F64:
    """Return the homography that enlarges a picture about its centre: (3, 3)."""
    return _about_centre(width, height, [[factor, 0, 0], [0, factor, 0], [0, 0, 1]])


def perspective(width: int, height: int, tilt: float) -> F64:
    """Return the homography that takes a picture's right edge away: (3, 3).

    Parameters
    ----------
    width, height
        Of the picture, pixels.
    tilt
        How much farther that edge is than the middle: 0.2 is a fifth.
    """
    return _about_centre(width, height, [[1, 0, 0], [0, 1, 0], [2 * tilt / width, 0, 1]])


def _about_centre(width: int, height: int, matrix: Sequence[Sequence[float]]) -> F64:
    away = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    return away @ np.array(matrix, np.float64) @ np.linalg.inv(away)


def _warped(photograph: U8, homography: F64) -> U8:
    """Return the picture of which H(x) shows what the photograph shows at x; black beyond it."""
    from scipy.ndimage import map_coordinates

    height, width = photograph.shape[:2]
    points = _pixels(width, height) @ np.linalg.inv(homography).T
    at = (points[..., :2] / points[..., 2:])[..., ::-1].transpose(2, 0, 1)
    channels = [map_coordinates(photograph[..., c].astype(float), at, order=1) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Plane:
    """A textured plane of the first camera's space: points p with normal . p = distance."""

    normal: F64  # (3,) unit length
    distance: float  # metres


#: A wall that comes nearer to the left, and a floor that slopes up to it.
WALL = Plane(np.array([-0.28, 0.0, 0.96]), 2.0)
FLOOR = Plane(np.array([0.0, 0.8, 0.6]), 1.4)
#: To a camera farther right that is turned by ten degrees about the vertical.
MOVED = ((0.02, -0.17, 0.01), (-0.35, 0.05, 0.04))


def planes(
    folder: Path,
    *,
    surfaces: Sequence[Plane] = (WALL, FLOOR),
    size: tuple[int, int] = (160, 120),
    focal: float = 150.0,
    moved: tuple[tuple[float, float, float], tuple[float, float, float]] = MOVED,
) -> Views:
    """Write two pictures of textured planes, ray by ray, with exact depth and pose.

    Parameters
    ----------
    folder
        Where to.
    surfaces
        What there is to see; the nearer one hides the other.
    size
        Width and height, pixels.
    focal
        Focal length, pixels.
    moved
        Rotation vector (radians) and translation (metres) that take the first camera's coordinates
        to the second's.
    """
    from scipy.spatial.transform import Rotation

    views, (width, height) = _begun(folder), size
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_rotvec(moved[0]).as_matrix(), moved[1]
    for which, seen_from in (("first", np.eye(4)), ("second", pose)):
        rays: F64 = _pixels(width, height) @ np.linalg.inv(camera).T
        depth, picture = _cast(rays, np.linalg.inv(seen_from).astype(np.float64), surfaces)
        _save(folder, which, picture)
        np.save(folder / f"{which}.npy", depth)
    row: dict[str, Any] = {"first": "first", "second": "second", "pose": pose.tolist()}
    row |= {f"depth_{which}": f"{which}.npy" for which in ("first", "second")}
    row |= {f"intrinsics_{which}": camera.tolist() for which in ("first", "second")}
    return _written(views, [row])


def _cast(rays: F64, to_first: F64, surfaces: Sequence[Plane]) -> tuple[F64, U8]:
    """Return depth along z, 0 where nothing is met, and what is seen: (H, W, 3) -> (H, W), RGB."""
    directions, origin = rays @ to_first[:3, :3].T, to_first[:3, 3]
    depth, picture = np.full(rays.shape[:2], np.inf), np.zeros(rays.shape)
    for number, plane in enumerate(surfaces):
        with np.errstate(divide="ignore"):
            met = (plane.distance - plane.normal @ origin) / (directions @ plane.normal)
        nearer = (met > 0) & (met < depth)
        depth[nearer] = met[nearer]
        points = origin + directions[nearer] * met[nearer][:, None]
        picture[nearer] = _texture(points, number)
    depth[np.isinf(depth)] = 0
    return depth, (picture * 255).round().astype(np.uint8)


def _texture(points: F64, number: int) -> F64:
    """Return colours that no two places share nearby: (P, 3) metres -> (P, 3) in [0, 1]."""
    random = np.random.default_rng(number)
    waves, phases = random.normal(0, 12, (3, 3, 8)), random.uniform(0, 2 * np.pi, (3, 8))
    sines = np.sin(np.einsum("pk,ckw->pcw", points, waves) + phases).mean(axis=-1)
    colours: F64 = np.clip(0.5 + sines, 0, 1)
    return colours


def _pixels(width: int, height: int) -> F64:
    """Return every pixel's x, y, 1: (H, W, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float64)


def _begun(folder: Path) -> Views:
    (folder / PICTURES).mkdir(parents=True)
    return Views(f"folder:{folder / PICTURES}", folder / MANIFEST)


def _save(folder: Path, name: str, picture: U8) -> None:
    from PIL import Image

    Image.fromarray(picture).save(folder / PICTURES / f"{name}.png")


def _written(views: Views, rows: list[dict[str, Any]]) -> Views:
    views.pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return views


__all__ = [
    "FLOOR", "MOVED", "WALL", "Plane", "Views", "motorcycle", "perspective", "planes", "rotation",
    "scaling", "warped",
]  # fmt: skip
