"""Parquet files of pictures through Arrow: footers, columns, and one row's bytes at a time.

Decoding processes read with Arrow and not with Polars, whose threads do not survive a fork (a read
in a forked process hangs: measured). Nothing here starts a thread.

Dimensions: G rows of a row group.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from embedstore.datasets import access
from embedstore.errors import DatasetError, require

#: Names of a column of pictures that are preferred where several could be.
PICTURES = ("image", "img", "picture", "jpg", "jpeg", "png", "webp")


@dataclass(frozen=True, slots=True)
class PictureColumn:
    """Where a file holds its pictures: a binary column, or a struct of bytes and path."""

    name: str
    nested: bool
    has_path: bool


class PictureFile:
    """A Parquet file of pictures, open in one thread.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If the file cannot be read, or is not Parquet.
    DatasetError
        If it has no column of pictures.
    """

    def __init__(self, path: str) -> None:
        require("pyarrow", "encode")
        import pyarrow.parquet as pq

        if access.is_remote(path):
            self.file: Any = pq.ParquetFile(access.stream(path))
        else:
            self.file = pq.ParquetFile(path, memory_map=True)
        self.column = _picture_column(path, self.file.schema_arrow)
        groups = range(self.file.metadata.num_row_groups)
        sizes = (self.file.metadata.row_group(g).num_rows for g in groups)
        self.starts: list[int] = [0, *accumulate(sizes)]
        self._kept: tuple[int, Any] | None = None  # a row group's number and pictures

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        return self.starts[-1]

    def table(self, group: int, columns: list[str]) -> Any:
        """Return columns of a row group as an Arrow table: G rows."""
        return self.file.read_row_group(group, columns=columns, use_threads=False)

    def pictures(self, group: int) -> Any:
        """Return the pictures of a row group as a binary Arrow array: (G,)."""
        import pyarrow.compute as pc

        leaf = f"{self.column.name}.bytes" if self.column.nested else self.column.name
        values = self.table(group, [leaf]).column(0)
        return pc.struct_field(values, "bytes") if self.column.nested else values

    def picture(self, row: int) -> bytes | None:
        """Return a row's bytes; None where it holds null. The last row group is kept."""
        if not 0 <= row < self.n_rows:
            raise OSError(f"fewer rows than {row + 1}")
        group = bisect_right(self.starts, row) - 1
        if self._kept is None or self._kept[0] != group:
            self._kept = None  # one group in memory at a time
            self._kept = group, self.pictures(group)
        pictures, place = self._kept[1], row - self.starts[group]
        if place >= len(pictures):
            raise OSError(f"row group {group} is shorter than its footer says")
        return cast("bytes | None", pictures[place].as_py())


_open = threading.local()


def opened(path: str, state: tuple[int, int]) -> PictureFile:
    """Return the file, kept open for the thread's next picture: neighbours lie in one file.

    `state` is its size and time of change: a file put in its place is another file.
    """
    key = (path, state, os.getpid())
    if getattr(_open, "key", None) != key:
        _open.file, _open.key = PictureFile(path), key
    return cast("PictureFile", _open.file)


def _picture_column(path: str, schema: Any) -> PictureColumn:
    fit = [column for field in schema if (column := _as_pictures(field)) is not None]
    if not fit:
        named = "".join(f" {field.name!r} ({field.type})," for field in schema) or " none,"
        raise DatasetError(
            f"{path} has the columns{named} and none of pictures: one must be binary, or a struct "
            "of bytes and path, as Hugging Face writes images"
        )
    return min(fit, key=lambda c: (_rank(c.name), not c.nested))


def _as_pictures(field: Any) -> PictureColumn | None:
    if is_binary(field.type):
        return PictureColumn(field.name, nested=False, has_path=False)
    kinds = _fields(field.type)
    if "bytes" in kinds and is_binary(kinds["bytes"]):
        return PictureColumn(field.name, nested=True, has_path="path" in kinds)
    return None


def is_binary(kind: Any) -> bool:
    """Whether an Arrow type is one of bytes."""
    import pyarrow.types as types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def holds_bytes(kind: Any) -> bool:
    """Whether an Arrow type has bytes anywhere in it."""
    inner = [kind.value_type] if hasattr(kind, "value_type") else list(_fields(kind).values())
    return is_binary(kind) or any(holds_bytes(part) for part in inner)


def _fields(kind: Any) -> dict[str, Any]:
    import pyarrow.types as types

    return {field.name: field.type for field in kind} if types.is_struct(kind) else {}


def _rank(name: str) -> int:
    return PICTURES.index(name) if name in PICTURES else len(PICTURES)
