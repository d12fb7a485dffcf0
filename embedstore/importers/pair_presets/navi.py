"""NAVI's pairs, drawn by Probe3D's rule: a partner for every picture, every fourth kept.

Probe3D (El Banani et al., CVPR 2024) draws with torch in the order of the disk's listing, so these
are pairs by its rule, not the very same; and it cuts pictures to the object's box, where these are
whole. Annotations and depth are those of https://github.com/google/navi (checked against that code,
not against a copy of the data).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.pairs import Truth
from embedstore.datasets.presets.found import subfolders
from embedstore.datasets.presets.text_files import json_of, refuse_malformed
from embedstore.errors import DatasetError
from embedstore.importers.given_pairs import GivenPair, GivenView
from embedstore.importers.pair_grids import GridFile
from embedstore.importers.pair_presets.copies import Choices, Copy

F64 = npt.NDArray[np.float64]
#: Degrees of rotation between the cameras of a pair, at most.
MAX_ANGLE = 120.0
#: Of the pictures of all scenes, every one of so many stays as the first of a pair.
KEPT = 4
#: Share of an object's multiview scenes that are for training.
_TRAINING = 0.9
#: Depth is a PNG of (2^16 - 1) x 10 / millimetres.
_INVERSE_METRES = (2**16 - 1) * 10 / 1000
NO_PARTNER = "without a partner within 120 degrees"


@dataclass(frozen=True, slots=True)
class Shot:
    """One annotated picture."""

    scene: str  # OBJECT/SCENE
    stem: str  # of the file's name
    size: tuple[int, int]  # width and height, upright
    focal: float  # pixels
    camera: F64  # (4, 4) from the object's coordinates to the camera's, metres

    @property
    def intrinsics(self) -> F64:
        """The camera's matrix: (3, 3). NAVI counts from the picture's corner, and pairs do not."""
        x, y = (side // 2 - 0.5 for side in self.size)
        return np.array([[self.focal, 0, x], [0, self.focal, y], [0, 0, 1.0]])


class NaviPairs(Copy):
    """`navi:PATH`, with `?scenes=wild` (Probe3D's test) or `multiview` (its validation)."""

    name = "navi"
    truth: Truth = "depth"
    choices: ClassVar[Choices] = {"scenes": ("wild", "multiview")}

    def __init__(self, location: str, stride: int | None) -> None:
        super().__init__(location, stride)
        names = list(self._scenes())
        if not names:
            raise DatasetError(
                f"{self.root} is no copy of NAVI (no OBJECT/wild_set beside a multiview scene); "
                "see: embedstore data show navi"
            )
        scenes = (_shots(self.root, scene) for scene in names)
        drawn = list(itertools.chain.from_iterable(map(_drawn, scenes)))[::KEPT]
        together = [(first, second) for first, second in drawn if second is not None]
        if len(together) < len(drawn):
            self.left_out[NO_PARTNER] = len(drawn) - len(together)
        self._pairs = self.complete(together, lambda pair: map(self._depth, pair))

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[GivenPair]:
        for first, second in self._pairs:
            where = f"{first.scene}, pictures {first.stem} and {second.stem}"
            pose = (second.camera @ np.linalg.inv(first.camera)).astype(np.float64)
            yield GivenPair(where, self._view(first), self._view(second), pose=pose)

    def _scenes(self) -> Iterator[str]:
        """Yield the scenes of objects that have a wild set and another scene, as Probe3D does."""
        for thing in subfolders(self.root):
            names = subfolders(self.root / thing)
            multiview = [name for name in names if name.startswith("multiview")]
            if "wild_set" not in names or not multiview:
                continue
            tested = multiview[int(_TRAINING * len(multiview)) :]
            scenes = ["wild_set"] if self.options["scenes"] == "wild" else tested
            yield from (f"{thing}/{scene}" for scene in scenes)

    def _depth(self, shot: Shot) -> Path:
        return self.root / shot.scene / "depth" / f"{shot.stem}.png"

    def _view(self, shot: Shot) -> GivenView:
        grid = GridFile(self._depth(shot), "depth", _INVERSE_METRES, inverse=True)
        sample_id = f"{shot.scene}/images/{shot.stem}"
        return GivenView(sample_id, shot.size, grid, shot.intrinsics)


def _shots(root: Path, scene: str) -> list[Shot]:
    """Return the pictures that a scene's annotations describe, by name."""
    path = root / scene / "annotations.json"
    try:
        shots = [_shot(scene, annotation) for annotation in json_of(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise refuse_malformed(path, "cameras and sizes of NAVI's pictures") from error
    return sorted(shots, key=lambda shot: shot.stem)


def _shot(scene: str, annotation: Mapping[str, Any]) -> Shot:
    from scipy.spatial.transform import Rotation

    said = annotation["camera"]
    w, x, y, z = said["q"]
    camera = np.eye(4)
    camera[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    camera[:3, 3] = np.array(said["t"], np.float64) / 1000  # millimetres
    height, width = map(int, annotation["image_size"])
    stem = PurePosixPath(annotation["filename"]).stem
    return Shot(scene, stem, (width, height), float(said["focal_length"]), camera)


def _drawn(shots: list[Shot]) -> Iterator[tuple[Shot, Shot | None]]:
    """Yield each picture with a partner of the same scene; None where there is none.

    Any picture turned from it by less than `MAX_ANGLE` may be it, drawn by a digest of the name, so
    that all who draw draw the same.
    """
    rotations = np.array([shot.camera[:3, :3] for shot in shots]).reshape(-1, 3, 3)
    for i, shot in enumerate(shots):
        traces = np.einsum("jk,vjk->v", rotations[i], rotations)
        degrees = np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1)))
        degrees[i] = 0  # rounding may turn a picture from itself
        partners = np.flatnonzero((degrees > 0) & (degrees < MAX_ANGLE))
        draw = int.from_bytes(sha256(f"{shot.scene}/{shot.stem}".encode()).digest())
        yield shot, shots[partners[draw % len(partners)]] if len(partners) else None
