"""Manifests of pairs: a table, one row a pair, whose columns say what the truth is.

Knows columns; whether their numbers make sense is checked elsewhere. Dimensions: R rows, K
keypoints.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.pairs import Truth
from embedstore.errors import DatasetError
from embedstore.importers.given_pairs import GivenPair, GivenView
from embedstore.importers.pair_grids import GridFile, Kind
from embedstore.importers.tables import Table, read_table

F64 = npt.NDArray[np.float64]
Row = Mapping[str, Any]
#: Columns by which each truth is known, all of them needed, and those that it may have besides.
TRUTHS: Mapping[Truth, tuple[str, ...]] = {
    "homography": ("homography",),
    "disparity": ("disparity",),
    "depth": ("depth_first", "depth_second", "intrinsics_first", "intrinsics_second", "pose"),
    "keypoints": ("keypoints_first", "keypoints_second"),
}
BESIDES: Mapping[Truth, tuple[str, ...]] = {
    "homography": (),
    "disparity": ("disparity_scale",),
    "depth": ("depth_scale",),
    "keypoints": ("box_second", "class_name"),
}
IDS = ("first", "second")
SIZES = ("width_first", "height_first", "width_second", "height_second")
STRIDE = 4
#: Whole numbers of a PNG of depth that make a metre, unless the manifest says another count.
PER_METRE = 1000.0


class Manifest:
    """A table of pairs; paths in it are relative to it."""

    is_partial = False

    def __init__(self, path: Path, stride: int = STRIDE) -> None:
        table = read_table(path)
        self.name, self.stride = table.path.name.partition(".")[0], stride
        self.truth: Truth = _truth(table)
        self.left_out: Mapping[str, int] = {}
        self.facts = {"preset": None, "stride": stride, "origin": table.origin}
        self._rows = table.select(table.columns)
        self._folder, self._file = table.path.parent, table.path.name

    def __len__(self) -> int:
        return self._rows.height

    def __iter__(self) -> Iterator[GivenPair]:
        for number, row in enumerate(self._rows.iter_rows(named=True), start=1):
            yield self._pair(_Cells(row, f"row {number} of {self._file}"))

    def _pair(self, cells: _Cells) -> GivenPair:
        return GivenPair(
            cells.where,
            self._view(cells, "first"),
            self._view(cells, "second"),
            pose=cells.matrix("pose", (4, 4)),
            homography=cells.matrix("homography", (3, 3)),
            keypoints=cells.keypoints(),
            box=None if cells.is_empty("box_second") else cells.matrix("box_second", (4,)),
            group=None if cells.row.get("class_name") is None else str(cells.row["class_name"]),
        )

    def _view(self, cells: _Cells, which: str) -> GivenView:
        return GivenView(
            cells.text(which),
            cells.size(which),
            self._grid(cells, which),
            cells.intrinsics(f"intrinsics_{which}"),
        )

    def _grid(self, cells: _Cells, which: str) -> GridFile | None:
        kind: Kind = "disparity" if self.truth == "disparity" else "depth"
        column = kind if kind == "disparity" else f"depth_{which}"
        if column not in cells.row or (kind, which) == ("disparity", "second"):
            return None
        scale = cells.positive(f"{kind}_scale")
        if scale is None and kind == "depth":
            scale = PER_METRE
        return GridFile(self._folder / cells.text(column), kind, scale)


class _Cells:
    """The values of one row, in the types that are meant."""

    def __init__(self, row: Row, where: str) -> None:
        self.row, self.where = row, where

    def is_empty(self, column: str) -> bool:
        """Whether there is no such column, or nothing in it."""
        return self.row.get(column) in (None, "")

    def text(self, column: str) -> str:
        """Return what cannot be left out."""
        value = self.row[column]
        said = "" if value is None else str(value).strip()
        if not said:
            raise DatasetError(f"{self.where} has nothing in column {column!r}; fill it in")
        return said

    def positive(self, column: str) -> float | None:
        """Return a number above 0, or None where there is none."""
        if self.is_empty(column):
            return None
        value = float(self._numbers(column, (1,))[0])
        if not 0 < value < float("inf"):
            raise DatasetError(f"{column} of {self.where} is {value:g}; write a number above 0")
        return value

    def size(self, which: str) -> tuple[int, int] | None:
        """Return width and height, or None where they are not given."""
        width, height = self.positive(f"width_{which}"), self.positive(f"height_{which}")
        return None if width is None or height is None else (int(width), int(height))

    def matrix(self, column: str, shape: tuple[int, ...]) -> F64 | None:
        """Return numbers as an array, or None where the manifest has no such column."""
        if column not in self.row:
            return None
        return self._numbers(column, shape).reshape(shape)

    def intrinsics(self, column: str) -> F64 | None:
        """Return a camera's matrix: (3, 3), from 9 numbers or fx, fy, cx, cy."""
        if column not in self.row:
            return None
        numbers = self._numbers(column, (4,), (3, 3))
        if len(numbers) == 9:
            return numbers.reshape(3, 3)
        fx, fy, cx, cy = numbers
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])

    def keypoints(self) -> F64 | None:
        """Return both pictures' keypoints: (K, 4), NaN where they are absent."""
        if "keypoints_first" not in self.row:
            return None
        first, second = (self._points(f"keypoints_{which}") for which in IDS)
        if len(first) != len(second):
            raise DatasetError(
                f"{self.where} has {len(first)} keypoints of the first picture and {len(second)} "
                "of the second; write one for each, null where it is absent"
            )
        return np.concatenate([first, second], axis=1)

    def _points(self, column: str) -> F64:
        points = [[None, None] if p is None else p for p in self._list(column)]
        try:
            array = np.array(points, dtype=np.float64).reshape(len(points), 2)
        except (ValueError, TypeError) as error:
            raise DatasetError(
                f"{column} of {self.where} are no points; write [[x, y], null, ...] in pixels"
            ) from error
        return array

    def _numbers(self, column: str, *shapes: tuple[int, ...]) -> F64:
        """Return as many numbers as one of the shapes has, nested or not: flat."""
        counts = [int(np.prod(shape)) for shape in shapes]
        try:
            array = np.array(self._list(column), dtype=np.float64).ravel()
        except (ValueError, TypeError):
            array = np.empty(0)
        if array.size not in counts:
            wanted = " or ".join(map(str, counts))
            raise DatasetError(
                f"{column} of {self.where} is {str(self.row[column])[:40]!r}, where {wanted} "
                "numbers belong; write them as a JSON list"
            )
        return array

    def _list(self, column: str) -> list[Any]:
        value = self.row[column]
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError:
                value = value.replace(",", " ").split()
        return value if isinstance(value, list) else [value]


def _truth(table: Table) -> Truth:
    """Return what the columns say the truth is.

    Raises
    ------
    DatasetError
        If they name none, two, or not all of one, or a column means nothing.
    """
    said = {t: [c for c in columns if c in table.columns] for t, columns in TRUTHS.items()}
    found = [truth for truth, columns in said.items() if columns]
    if len(found) != 1:
        what = " and ".join(c[0] for c in said.values() if c) or "no truth"
        raise DatasetError(
            f"{table.path} has {what}; a manifest of pairs has the columns of one truth: "
            + "; or ".join(", ".join(columns) for columns in TRUTHS.values())
        )
    (truth,) = found
    missing = [c for c in (*IDS, *TRUTHS[truth]) if c not in table.columns]
    if missing:
        raise DatasetError(
            f"{table.path} has {said[truth][0]} and lacks {', '.join(missing)}; add "
            f"{'it' if len(missing) == 1 else 'them'}"
        )
    known = (*IDS, *TRUTHS[truth], *BESIDES[truth], *SIZES)
    unknown = [column for column in table.columns if column not in known]
    if unknown:
        raise DatasetError(
            f"column {unknown[0]!r} of {table.path} means nothing for pairs by {truth}; take it "
            f"out, or name it one of: {', '.join(known)}"
        )
    return truth
