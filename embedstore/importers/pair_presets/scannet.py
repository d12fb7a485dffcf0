"""ScanNet's 1,500 test pairs (Sarlin et al., SuperGlue, CVPR 2020), as LoFTR packs them.

`test.npz` names scene, scan and two frames; `intrinsics.npz` has a matrix a scene; poses are text,
from the camera's coordinates to the world's. Checked against the loaders of LoFTR and Probe3D, not
against a copy of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.pairs import Truth
from embedstore.datasets.presets.text_files import refuse_malformed, text_of
from embedstore.importers.arrays import open_arrays
from embedstore.importers.given_pairs import GivenPair, GivenView
from embedstore.importers.pair_grids import GridFile
from embedstore.importers.pair_manifests import PER_METRE, STRIDE
from embedstore.importers.pair_presets.copies import Choices, Copy

F64 = npt.NDArray[np.float64]


class ScanNetPairs(Copy):
    """`scannet-pairs:PATH`."""

    name = "scannet-pairs"
    truth: Truth = "depth"
    choices: ClassVar[Choices] = {}

    def __init__(self, location: str, stride: int | None) -> None:
        super().__init__(location, stride or STRIDE)
        listed = open_arrays(self.root / "test.npz").arrays.get("name")
        if listed is None or listed.array.ndim != 2 or listed.array.shape[1] != 4:
            raise refuse_malformed(self.root / "test.npz", "scene, scan and two frames a pair")
        self._names = self.complete(listed.array.astype(np.int64).tolist(), self._files)
        cameras = open_arrays(self.root / "intrinsics.npz").arrays
        self._cameras = {scene: mapped.array for scene, mapped in cameras.items()}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[GivenPair]:
        for room, scan, *frames in self._names:
            scene = _scene(room, scan)
            camera = self._cameras.get(scene)
            if camera is None or camera.shape != (3, 3):
                raise refuse_malformed(
                    self.root / "intrinsics.npz", f"a 3 x 3 matrix of scene {scene}"
                )
            first, second = (self._view(scene, f, camera.astype(np.float64)) for f in frames)
            poses = [self._pose(self.root / scene / "pose" / f"{f}.txt") for f in frames]
            pose = _inverted(poses[1]) @ poses[0]
            yield GivenPair(f"{scene}, frames {frames[0]} and {frames[1]}", first, second, pose)

    def _files(self, name: list[int]) -> Iterator[Path]:
        scene = self.root / _scene(name[0], name[1])
        for frame in name[2:]:
            yield scene / "pose" / f"{frame}.txt"
            yield scene / "depth" / f"{frame}.png"

    def _view(self, scene: str, frame: int, intrinsics: F64) -> GivenView:
        grid = GridFile(self.root / scene / "depth" / f"{frame}.png", "depth", PER_METRE)
        return GivenView(f"{scene}/color/{frame}", None, grid, intrinsics)

    def _pose(self, path: Path) -> F64:
        try:
            return np.array(text_of(path).split(), np.float64).reshape(4, 4)
        except ValueError as error:
            raise refuse_malformed(path, "the 16 numbers of a pose") from error


def _scene(room: int, scan: int) -> str:
    return f"scene{room:04d}_{scan:02d}"


def _inverted(pose: F64) -> F64:
    """Return a rigid motion undone; what is not rigid is found by who checks the pair."""
    try:
        return np.linalg.inv(pose).astype(np.float64)
    except np.linalg.LinAlgError:
        return np.full((4, 4), np.nan)
