"""Depth and disparity in files beside the pictures: .npy, .npz, PNG of one channel, PFM.

Knows files and numbers, not which picture they describe. Dimensions: H, W pixels of the picture,
h, w points of the grid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from embedstore.errors import DatasetError, require
from embedstore.importers.arrays import open_arrays

F32 = npt.NDArray[np.float32]
Kind = Literal["depth", "disparity"]
#: Names under which archives hold the one array that is meant.
_USUAL = ("depth", "disparity", "disp", "arr_0")
_PFM = re.compile(rb"P[Ff]\s+(\d+)\s+(\d+)\s+(\S+)\s")
#: Points across an object, as Probe3D has them: a quarter of 512 pixels.
ACROSS = 128


@dataclass(frozen=True, slots=True)
class GridFile:
    """A file of depth or disparity, one number a pixel."""

    path: Path
    kind: Kind
    per_unit: float | None = None  # what whole numbers of a PNG are divided by: metre or pixel
    inverse: bool = False  # whether they are of 1 / depth instead

    def read(self, size: tuple[int, int]) -> F32:
        """Return metres or pixels: (H, W), NaN where not known.

        Parameters
        ----------
        size
            Width and height of the picture.

        Raises
        ------
        DatasetError
            If the file is missing, cannot be read, is of another size, or holds a negative number.
        """
        values = self._values()
        if values.ndim != 2 or values.shape[::-1] != size:
            sides = " x ".join(map(str, values.shape[::-1]))
            raise DatasetError(
                f"{self.path} is {sides} where its picture is {size[0]} x {size[1]} pixels; "
                f"{self.kind} must be of the picture's size: resize one of them"
            )
        lowest = np.nanmin(values, initial=0.0, where=np.isfinite(values))
        if lowest < 0:
            raise DatasetError(f"{self.path} holds a {self.kind} of {lowest:g}; {_SIGN[self.kind]}")
        # nothing is at no distance, but what is infinitely far has a disparity of 0
        unknown = ~np.isfinite(values) if self.kind == "disparity" else ~_is_positive(values)
        values[unknown] = np.nan
        return values

    def _values(self) -> F32:
        if not self.path.is_file():
            raise DatasetError(
                f"there is no file {self.path}; paths of {self.kind} count from the manifest's "
                "folder: check them"
            )
        with self.path.open("rb") as file:
            head = file.read(64)
        if head.startswith(b"\x89PNG"):
            return self._whole_numbers()
        if _PFM.match(head):
            return _portable_float_map(self.path)
        return _array(self.path)

    def _whole_numbers(self) -> F32:
        """Read a PNG, whose 0 says that nothing is known: (H, W)."""
        require("PIL", "encode")
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(self.path) as picture:
                numbers = np.array(picture)
        except (OSError, SyntaxError, UnidentifiedImageError) as error:
            raise DatasetError(f"{self.path} is a damaged PNG ({error}); get it again") from error
        if numbers.ndim != 2 or numbers.dtype == bool:
            raise DatasetError(
                f"{self.path} is a picture in colour or of two tones; {self.kind} is a PNG of one "
                "channel, best of 16 bits"
            )
        if self.per_unit is None:
            raise DatasetError(
                f"{self.path} holds whole numbers; say how many make a pixel of disparity in a "
                "column disparity_scale (1 if they are pixels, 256 in KITTI's files)"
            )
        values = np.where(numbers == 0, np.nan, numbers.astype(np.float64))
        scaled = self.per_unit / values if self.inverse else values / self.per_unit
        return scaled.astype(np.float32)


_SIGN: Mapping[Kind, str] = {
    "depth": "points lie before the camera: write depth along +z, and 0 where it is not known",
    "disparity": "x of the second picture is x of the first less disparity: the first is the left",
}


def _is_positive(values: F32) -> npt.NDArray[np.bool_]:
    return np.isfinite(values) & (values > 0)


def object_stride(grid: F32) -> int:
    """Return the stride that puts `ACROSS` points across what is known of a depth: (H, W)."""
    known = np.isfinite(grid)
    sides = (np.flatnonzero(known.any(axis=axis)) for axis in (0, 1))
    longest = max((int(side[-1] - side[0]) + 1 for side in sides if len(side)), default=1)
    return max(1, round(longest / ACROSS))


def _array(path: Path) -> F32:
    file = open_arrays(path)
    name = file.find(None, _USUAL, "the name depth or disparity")
    if name is None:
        raise DatasetError(
            f"{path} has several arrays ({file.names}); name one of them depth or disparity"
        )
    values = file.arrays[name].array
    if values.dtype.kind not in "fiu":
        raise DatasetError(f"{path} holds {values.dtype}; depth and disparity are numbers")
    return values.astype(np.float32)


def _portable_float_map(path: Path) -> F32:
    """Read a PFM, whose rows come from the bottom, and whose sign tells the order of bytes."""
    data = path.read_bytes()
    header = _PFM.match(data)
    assert header is not None
    width, height, scale = int(header[1]), int(header[2]), float(header[3])
    values: npt.NDArray[Any] = np.frombuffer(data[header.end() :], "<f4" if scale < 0 else ">f4")
    if data[1:2] == b"F" or values.size != width * height:
        raise DatasetError(
            f"{path} is no whole PFM of one channel; write {width} x {height} numbers, or .npy"
        )
    return values.reshape(height, width)[::-1].astype(np.float32)
