"""ScanNet's 1,500 test pairs (Sarlin et al., SuperGlue, CVPR 2020), as LoFTR packs them.

`test.npz` names scene, scan and two frames; `intrinsics.npz` has a matrix a scene; poses are text,
from the camera's coordinates to the world's. Checked against the loaders of LoFTR and Probe3D, not
against a copy of the data. Both resize what they load to 640 x 480, the size of depth maps, which
cameras are of too; the pictures may be larger, such as 1296 x 968. Where they are, depth is brought
to their size by the nearest pixel, and the camera by the same ratios.

Dimensions: H, W pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.pairs import Truth
from embedstore.datasets.presets.text_files import refuse_malformed, text_of
from embedstore.errors import require
from embedstore.importers.arrays import open_arrays
from embedstore.importers.given_pairs import GivenPair, GivenView
from embedstore.importers.pair_grids import F32, GridFile
from embedstore.importers.pair_manifests import PER_METRE, STRIDE
from embedstore.importers.pair_presets.copies import Choices, Copy

F64 = npt.NDArray[np.float64]
Size = tuple[int, int]


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
        self._sizes: dict[Path, Size | None] = {}

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
        depth = self.root / scene / "depth" / f"{frame}.png"
        grid, name = GridFile(depth, "depth", PER_METRE), f"{scene}/color/{frame}"
        picture, own = self._size(self.root / f"{name}.jpg"), self._size(depth)
        if picture and own and picture != own:
            grid = ResizedDepth(depth, "depth", PER_METRE, own=own, picture=picture)
            intrinsics = _resized(intrinsics, own, picture)
        return GivenView(name, None, grid, intrinsics)

    def _size(self, path: Path) -> Size | None:
        """Return width and height; None where others say what is wrong with the file."""
        if path not in self._sizes:
            self._sizes[path] = _size(path)
        return self._sizes[path]

    def _pose(self, path: Path) -> F64:
        try:
            return np.array(text_of(path).split(), np.float64).reshape(4, 4)
        except ValueError as error:
            raise refuse_malformed(path, "the 16 numbers of a pose") from error


@dataclass(frozen=True, slots=True)
class ResizedDepth(GridFile):
    """A depth map of another size than its picture."""

    own: Size = (0, 0)  # width and height
    picture: Size = (0, 0)

    def read(self, size: Size) -> F32:
        """Return metres, at each pixel of the picture those of the nearest: (H, W)."""
        if size != self.picture:
            return GridFile.read(self, size)  # refuses it
        values = GridFile.read(self, self.own)
        columns, rows = (
            ((np.arange(wanted) + 0.5) * there / wanted).astype(np.int64)
            for there, wanted in zip(self.own, size, strict=True)
        )
        return values[np.ix_(rows, columns)]


def _resized(intrinsics: F64, own: Size, picture: Size) -> F64:
    """Return a camera (3, 3) in pixels of another size; whole numbers are pixels' centres."""
    ratios = np.divide(picture, own)
    focal, middle = np.diag([*ratios, 1.0]), np.eye(3)
    middle[:2, 2] = 0.5
    resized: F64 = np.linalg.inv(middle) @ focal @ middle @ intrinsics
    return resized


def _size(path: Path) -> Size | None:
    require("PIL", "encode")
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError, SyntaxError):
        return None


def _scene(room: int, scan: int) -> str:
    return f"scene{room:04d}_{scan:02d}"


def _inverted(pose: F64) -> F64:
    """Return a rigid motion undone; what is not rigid is found by who checks the pair."""
    try:
        return np.linalg.inv(pose).astype(np.float64)
    except np.linalg.LinAlgError:
        return np.full((4, 4), np.nan)
