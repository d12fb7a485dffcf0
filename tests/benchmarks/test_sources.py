"""Tar shards, in random order, and Parquet, in its own, beside plain files; a large index."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from embedstore.datasets.sources import open_source
from embedstore.testing.source_contract import pack_parquet, pack_tar

PROBE = Path(__file__).with_name("index_probe.py")
N_MEMBERS = 1_000_000
MIB = 2**20


@pytest.fixture
def photographs(imagenet_sample) -> dict[str, bytes]:
    return {
        str(path.relative_to(imagenet_sample)): path.read_bytes()
        for path in sorted(imagenet_sample.glob("*/*"))
    }


@pytest.mark.parametrize("kind", ["webdataset", "parquet", "parquet-snappy"])
def test_reading_beside_plain_files(
    benchmark, imagenet_sample, photographs, kind, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if kind == "webdataset":
        pack_tar(tmp_path / "a.tar", photographs)
        source = open_source(f"webdataset:{tmp_path}/a.tar")
    else:
        codec = "snappy" if kind.endswith("snappy") else "uncompressed"
        pack_parquet(tmp_path / "a.parquet", photographs, compression=codec, row_group_size=100)
        source = open_source(f"parquet:{tmp_path}/a.parquet")
    rows = list(range(len(photographs)))
    if kind == "webdataset":  # Parquet comes by the row group: in its order, as the encoder asks
        random.Random(0).shuffle(rows)
    listing, read = source.listing(), source.reader()
    paths = list(listing.paths)
    files = [f"{imagenet_sample}/{name}" for name in photographs]
    assert [read(path) for path in paths] == list(photographs.values())
    theirs: list[float] = []

    def plain() -> None:
        began = time.perf_counter()
        for row in rows:
            with open(files[row], "rb") as file:  # noqa: PTH123  as fast as it gets
                file.read()
        theirs.append(time.perf_counter() - began)

    def ours() -> None:
        for row in rows:
            read(paths[row])

    benchmark.pedantic(ours, setup=plain, rounds=15)
    benchmark.extra_info["ratio"] = benchmark.stats.stats.median / statistics.median(theirs)
    benchmark.extra_info["plain_microseconds"] = 1e6 * statistics.median(theirs) / len(files)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A shard of a million members of 300 bytes, in no order: 1 GB."""
    path = tmp_path_factory.mktemp("large") / "large.tar"
    body = b"x" * 300 + bytes(212)
    with path.open("wb", buffering=MIB) as file:
        for i in range(N_MEMBERS):
            number = i * 7919 % N_MEMBERS
            member = tarfile.TarInfo(f"n{number % 1000:08d}/ILSVRC2012_val_{number:08d}.JPEG")
            member.size = 300
            file.write(member.tobuf(tarfile.USTAR_FORMAT))
            file.write(body)
        file.write(bytes(1024))
    yield path
    path.unlink()


def probe(path: Path, cache: Path) -> tuple[int, float, int]:
    """Return members, seconds and peak memory of a listing in a fresh process."""
    command = [sys.executable, str(PROBE), str(path)]
    variables = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    said = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    n, seconds, peak = said.stdout.split()
    return int(n), float(seconds), int(peak)


def test_index_of_a_million_members(benchmark, large, tmp_path):
    start = time.perf_counter()
    with tarfile.open(large) as archive:  # a tenth of them: it takes a minute for all
        for _ in range(N_MEMBERS // 10):
            archive.next()
    theirs = 10 * (time.perf_counter() - start)
    n, seconds, peak = benchmark.pedantic(probe, args=(large, tmp_path), rounds=1)
    assert n == N_MEMBERS
    _, again, peak_again = probe(large, tmp_path)
    benchmark.extra_info |= {
        "seconds": seconds,
        "ratio_to_tarfile": seconds / theirs,
        "peak_mib": peak / MIB,
        "seconds_from_cache": again,
        "peak_mib_from_cache": peak_again / MIB,
    }
