"""Reading arrays: shards mapped into memory, each checked against its digest once a process.

Dimensions: N rows of the array, R rows of a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import DamagedError
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import FileEntry
from embedstore.store.shards import ShardedArray, unpack


class StoredArray:
    """An array of the store, (N, ...), read-only. Slices read what they need and no more.

    ``np.asarray(array)`` reads it whole (one shard is mapped, more are copied into one array);
    :meth:`blocks` walks it without copying.
    """

    def __init__(
        self, files: LocalFiles, folder: str, array: ShardedArray, entries: Mapping[str, FileEntry]
    ) -> None:
        self._files, self._folder, self._array, self._entries = files, folder, array, entries
        self._shards: dict[int, npt.NDArray[Any]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type as stored."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """Count of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"StoredArray({self._folder}/{self._array.name}, shape={self.shape}, {self.dtype})"

    def shard(self, shard: int) -> npt.NDArray[Any]:
        """Return a view of one shard's rows: (R, ...), the last one shorter.

        Raises
        ------
        DamagedError
            If the shard is missing, or its bytes are not those that were committed.
        """
        if shard not in self._shards:
            self._shards[shard] = self._mapped(shard)
        return self._shards[shard]

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[npt.NDArray[Any]]:
        """Yield views of rows `start` to `stop`, in order, a shard at a time."""
        stop = len(self) if stop is None else min(stop, len(self))
        for shard in range(start // self._array.shard_rows, self._array.n_shards):
            first, last = self._array.rows(shard)
            if first >= stop:
                return
            yield self.shard(shard)[max(start - first, 0) : min(stop, last) - first]

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        """Select rows by number, slice, mask or list of numbers; further dimensions as in NumPy."""
        if isinstance(rows, tuple):
            rows, rest = rows[0], rows[1:]
            many = isinstance(rows, slice) or np.ndim(rows) > 0
            part: npt.NDArray[Any] = self[rows][(slice(None), *rest) if many else rest]
            return part
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._copy(start, max(start, stop))
            rows = np.arange(start, stop, step)
        return self._take(np.asarray(rows))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        whole = self._copy(0, len(self), copy=bool(copy))
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def _copy(self, start: int, stop: int, *, copy: bool = False) -> npt.NDArray[Any]:
        parts = list(self.blocks(start, stop))
        if len(parts) == 1 and not copy:
            return parts[0]
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        return np.concatenate(parts, out=out) if parts else out

    def _take(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of {rows.shape} does not fit {len(self)} rows")
            rows = np.flatnonzero(rows)
        flat = rows.reshape(-1).astype(np.int64)
        if flat.size and (flat.min() < -len(self) or flat.max() >= len(self)):
            raise IndexError(f"row {flat[np.argmax(np.abs(flat))]} is not among {len(self)} rows")
        flat = np.where(flat < 0, flat + len(self), flat)
        out = np.empty((flat.size, *self.shape[1:]), self.dtype)
        shard_of = flat // self._array.shard_rows
        for shard in np.unique(shard_of):
            chosen = shard_of == shard
            out[chosen] = self.shard(int(shard))[flat[chosen] - shard * self._array.shard_rows]
        return out.reshape((*rows.shape, *self.shape[1:]))

    def _mapped(self, shard: int) -> npt.NDArray[Any]:
        name = self._array.key(shard)
        key = f"{self._folder}/{name}"
        first, last = self._array.rows(shard)
        remedy = "mend it with: embedstore verify --repair, then encode again"
        try:
            data = self._files.map(key)
        except (
            FileNotFoundError,
            ValueError,
        ) as error:  # ValueError: an empty file cannot be mapped
            raise DamagedError(
                f"{key} (rows {first} to {last - 1}) is missing; {remedy}"
            ) from error
        entry = self._entries.get(name)
        if entry is None or not self._files.once(key, lambda: entry == FileEntry.of(data)):
            raise DamagedError(f"{key} (rows {first} to {last - 1}) is damaged; {remedy}")
        return unpack(self._array, shard, data, key)
