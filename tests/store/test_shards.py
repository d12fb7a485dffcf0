"""Shards are bytes that Zarr itself would read and write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore import schema
from embedstore.errors import DamagedError
from embedstore.store.shards import (
    CHUNK_BYTES,
    SHARD_BYTES,
    from_metadata,
    lay_out,
    metadata,
    pack,
    unpack,
    zarr_json,
)


def written(folder: Path, data: np.ndarray, block_rows: int) -> Path:
    array = lay_out(schema.EMBEDDINGS, data.shape, block_rows)
    target = folder / array.name
    target.mkdir(parents=True)
    (target / "zarr.json").write_bytes(zarr_json(array))
    for shard in range(array.n_shards):
        file = folder / array.key(shard)
        file.parent.mkdir(parents=True, exist_ok=True)
        start, stop = array.rows(shard)
        file.write_bytes(pack(array, data[start:stop]))
    return target


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 70), dim=st.integers(1, 9), block=st.integers(1, 40), seed=st.integers(0, 9)
)
def test_zarr_reads_what_we_write(tmp_path_factory, n, dim, block, seed):
    data = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float16)
    target = written(tmp_path_factory.mktemp("array"), data, block)
    read = zarr.open_array(str(target), mode="r")
    np.testing.assert_array_equal(read[:], data)
    assert read.fill_value != read.fill_value  # NaN
    assert read.metadata.dimension_names == ("sample", "embedding")


def test_we_read_what_zarr_writes(tmp_path):
    data = np.arange(60, dtype=np.float16).reshape(20, 3)
    array = lay_out(schema.EMBEDDINGS, data.shape, 8)
    theirs = zarr.create_array(
        str(tmp_path / "a"),
        shape=data.shape,
        chunks=(array.chunk_rows, 3),
        shards=(array.shard_rows, 3),
        dtype="float16",
        fill_value=np.nan,
        compressors=None,
        config={"write_empty_chunks": True},
    )
    theirs[:] = data
    for shard in range(array.n_shards):
        stored = (tmp_path / "a" / "c" / str(shard) / "0").read_bytes()
        start, stop = array.rows(shard)
        if stop - start == array.shard_rows:  # a last shard may leave out its chunks beyond the end
            assert stored == bytes(pack(array, data[start:stop]))
        np.testing.assert_array_equal(unpack(array, shard, stored, "x"), data[start:stop])


def test_metadata_returns_the_layout_and_refuses_anything_else():
    array = lay_out(schema.LOGITS, (50_000, 1000), 8192)
    assert from_metadata("logits", metadata(array)) == array
    foreign = metadata(array)
    foreign["codecs"][0]["configuration"]["codecs"] = [{"name": "zstd"}]
    with pytest.raises(DamagedError, match="not one that embedstore wrote"):
        from_metadata("logits", foreign)


@pytest.mark.parametrize(("dim", "block"), [(1000, 8192), (512, 8192), (100_000, 4096), (1, 1024)])
def test_shards_divide_the_block_within_their_limits(dim, block):
    array = lay_out(schema.LOGITS, (50_000, dim), block)
    assert block % array.shard_rows == 0
    assert array.shard_rows % array.chunk_rows == 0
    assert array.data_bytes <= SHARD_BYTES
    assert array.chunk_rows * array.row_bytes <= CHUNK_BYTES


def test_a_cut_or_foreign_shard_is_refused():
    array = lay_out(schema.EMBEDDINGS, (16, 3), 8)
    data = bytes(pack(array, np.zeros((8, 3), np.float16)))
    for bad in (data[:-1], data + b"\0", data[:-4] + b"\0\0\0\0", b""):
        with pytest.raises(DamagedError, match="rows 8 to 15"):
            unpack(array, 1, bad, "embeddings/c/1/0")
