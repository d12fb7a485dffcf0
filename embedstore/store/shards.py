"""Zarr 3 shards, packed and unpacked: uncompressed chunks of full rows, then the index.

A shard is its chunks one behind the other, then for each its offset and length (little-endian
uint64), then the index's CRC-32C: the `sharding_indexed` codec of the Zarr 3 specification, index
at the end. As chunks span all columns and stand in order, the rows of a shard are contiguous, and
a memory-mapped shard is an array. A test reads and writes the same bytes through Zarr itself.

Dimensions: R rows of a shard, K chunks in it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from embedstore.errors import DamagedError
from embedstore.schema import ArraySchema
from embedstore.store.records import Record

SHARD_BYTES = 64 * 2**20  # at most, so that a shard is one request to object storage
CHUNK_BYTES = 2**20  # about: the least that a remote reader fetches


@dataclass(frozen=True, slots=True)
class ShardedArray:
    """How an array lies in shards: everything that its `zarr.json` says."""

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]  # rows first
    dtype: np.dtype[Any]
    shard_rows: int  # R
    chunk_rows: int  # divides R

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def data_bytes(self) -> int:
        """Bytes of a shard's rows, before its index."""
        return self.shard_rows * self.row_bytes

    @property
    def n_shards(self) -> int:
        """Shards along the rows."""
        return -(-self.shape[0] // self.shard_rows)

    def key(self, shard: int) -> str:
        """Return the shard's key within the array's parent folder."""
        return "/".join([self.name, "c", str(shard), *("0" for _ in self.shape[1:])])

    def rows(self, shard: int) -> tuple[int, int]:
        """Return the first row of the shard and the row after its last."""
        return shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.shape[0])


def lay_out(schema: ArraySchema, shape: tuple[int, ...], block_rows: int) -> ShardedArray:
    """Choose shard and chunk rows: both divide the block's, within the limits of bytes above."""
    dtype = np.dtype(schema.dtype)
    row_bytes = max(1, math.prod(shape[1:]) * dtype.itemsize)
    shard_rows = _largest_divisor(block_rows, SHARD_BYTES // row_bytes)
    chunk_rows = _largest_divisor(shard_rows, CHUNK_BYTES // row_bytes)
    return ShardedArray(schema.name, schema.dimensions, shape, dtype, shard_rows, chunk_rows)


def _largest_divisor(n: int, at_most: int) -> int:
    return next(d for d in range(max(1, min(n, at_most)), 0, -1) if n % d == 0)


def metadata(array: ShardedArray) -> Record:
    """Return the array's `zarr.json` (Zarr 3 core specification and `sharding_indexed`)."""
    little: Record = {"name": "bytes", "configuration": {"endian": "little"}}
    tail = list(array.shape[1:])
    sharding = {
        "chunk_shape": [array.chunk_rows, *tail],
        "codecs": [little],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": array.dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [array.shard_rows, *tail]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN",
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
        "dimension_names": list(array.dimensions),
    }


def zarr_json(array: ShardedArray) -> bytes:
    """Return the bytes of the array's `zarr.json`."""
    return json.dumps(metadata(array), indent=1).encode()


def from_metadata(name: str, record: Record) -> ShardedArray:
    """Read a `zarr.json` that :func:`metadata` wrote.

    Raises
    ------
    DamagedError
        If it describes anything else, so that memory-mapping would misread it.
    """
    try:
        grid = record["chunk_grid"]["configuration"]["chunk_shape"]
        sharding = record["codecs"][0]["configuration"]
        array = ShardedArray(
            name,
            tuple(record["dimension_names"]),
            tuple(record["shape"]),
            np.dtype(record["data_type"]),
            grid[0],
            sharding["chunk_shape"][0],
        )
    except (KeyError, IndexError, TypeError) as error:
        raise _foreign(name) from error
    if metadata(array) != record:
        raise _foreign(name)
    return array


def _foreign(name: str) -> DamagedError:
    return DamagedError(
        f"zarr.json of array {name!r} is not one that embedstore wrote; "
        "see what else is damaged with: embedstore verify"
    )


def _index(array: ShardedArray) -> bytes:
    n_chunks = array.shard_rows // array.chunk_rows
    n_bytes = array.chunk_rows * array.row_bytes
    entries = [(k * n_bytes, n_bytes) for k in range(n_chunks)]
    index = np.array(entries, dtype="<u8").tobytes()
    checksum: int = google_crc32c.value(index)
    return index + checksum.to_bytes(4, "little")


def pack(array: ShardedArray, rows: npt.NDArray[Any]) -> bytearray:
    """(R', ...) with R' <= R -> the shard's bytes; rows beyond the array's end are NaN."""
    index = _index(array)
    shard = bytearray(array.data_bytes + len(index))
    n_items = array.data_bytes // array.dtype.itemsize
    data = np.frombuffer(shard, array.dtype, n_items).reshape(array.shard_rows, *array.shape[1:])
    data[: len(rows)] = rows
    data[len(rows) :] = np.nan
    shard[array.data_bytes :] = index
    return shard


def unpack(array: ShardedArray, shard: int, data: Any, where: str) -> npt.NDArray[Any]:
    """Return a shard's rows as a view of its bytes: (R', ...), R' rows within the array.

    Raises
    ------
    DamagedError
        If length or index are not those of a whole shard of this array.
    """
    start, stop = array.rows(shard)
    index = _index(array)
    if len(data) != array.data_bytes + len(index) or bytes(data[array.data_bytes :]) != index:
        raise DamagedError(
            f"{where} (rows {start} to {stop - 1}) is no whole shard; mend it with: "
            "embedstore verify --repair, then encode again"
        )
    n_items = array.data_bytes // array.dtype.itemsize
    rows = np.frombuffer(data, array.dtype, n_items).reshape(array.shard_rows, *array.shape[1:])
    return rows[: stop - start]
