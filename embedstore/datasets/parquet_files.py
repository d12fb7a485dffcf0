"""Parquet files of pictures through Arrow: footers, columns, and one row's bytes at a time.

Decoding processes read with Arrow and not with Polars, whose threads do not survive a fork (a read
in a forked process hangs: measured). Nothing here starts a thread. Some writers let a row group
grow to the whole file, so it is walked in parts: read at once, it would lie in each process's
memory, and beyond 2 GiB Arrow refuses it as a struct.

Dimensions: G rows of a row group.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from embedstore.datasets import access
from embedstore.errors import DatasetError, require

#: Names of a column of pictures that are preferred where several could be.
PICTURES = ("image", "img", "picture", "jpg", "jpeg", "png", "webp")
#: Bytes of pictures in memory, about: more than the row groups of Hugging Face.
PART = 64 << 20
#: Bytes of one read of a column behind a URL, which else is one read as a whole.
AHEAD = 4 << 20


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
            stream = access.stream(path)
            self.file: Any = pq.ParquetFile(stream, buffer_size=AHEAD, pre_buffer=False)
        else:
            self.file = pq.ParquetFile(path, memory_map=True, pre_buffer=False)
        self.column = _picture_column(path, self.file.schema_arrow)
        groups = range(self.file.metadata.num_row_groups)
        sizes = (self.file.metadata.row_group(g).num_rows for g in groups)
        self.starts: list[int] = [0, *accumulate(sizes)]
        self._group = -1  # where the last picture was
        self._kept: Any = ()  # a part of that row group's pictures
        self._first = 0  # the part's first row, counted from the row group's
        self._rest: Iterator[Any] = iter(())  # the parts behind it

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        return self.starts[-1]

    def table(self, group: int, columns: list[str]) -> Any:
        """Return columns of a row group as an Arrow table: G rows."""
        return self.file.read_row_group(group, columns=columns, use_threads=False)

    def pictures(self, group: int) -> Iterator[Any]:
        """Yield the pictures of a row group in parts: binary Arrow arrays, G rows in all."""
        import pyarrow.compute as pc

        found = self.file.metadata.row_group(group)
        n_rows = max(1, PART * found.num_rows // max(1, found.total_byte_size))
        leaf = f"{self.column.name}.bytes" if self.column.nested else self.column.name
        for part in self.file.iter_batches(n_rows, [group], [leaf], use_threads=False):
            values = part.column(0)
            yield pc.struct_field(values, "bytes") if self.column.nested else values

    def picture(self, row: int) -> bytes | None:
        """Return a row's bytes; None where it holds null. Rows behind the last one come soonest."""
        if not 0 <= row < self.n_rows:
            raise OSError(f"fewer rows than {row + 1}")
        group = bisect_right(self.starts, row) - 1
        place = row - self.starts[group]
        if self._group != group or place < self._first:
            self._kept, self._first, self._rest = (), 0, self.pictures(group)
        while place >= self._first + len(self._kept):
            self._first += len(self._kept)
            self._group, self._kept = -1, ()  # one part in memory; none, should the next be damaged
            self._kept = next(self._rest, ())
            if not len(self._kept):
                raise OSError(f"row group {group} is shorter than its footer says")
        self._group = group
        return cast("bytes | None", self._kept[place - self._first].as_py())


_open = threading.local()


def opened(path: str) -> PictureFile:
    """Return the file, kept open for the thread's next picture: neighbours lie in one file.

    A local file put in its place is another file; behind a URL, asking would take a request each.
    """
    state = None if access.is_remote(path) else access.size_and_change(path)
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
