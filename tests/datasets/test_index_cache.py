"""Indexes kept from run to run."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest

from embedstore.datasets.index_cache import cached, folder


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"x")
    return str(path)


class Build:
    """Counts how often an index is built."""

    def __init__(self):
        self.n = 0

    def __call__(self):
        self.n += 1
        return {"keys": b"\0bytes", "ends": array("Q", [self.n, 2**40]), "none": b""}


def as_bytes(parts):
    return {name: bytes(memoryview(part).cast("B")) for name, part in parts.items()}


def test_an_index_is_built_once_for_a_state_of_the_archive(archive, own_cache):
    build = Build()
    first = as_bytes(cached("tar", archive, build))
    assert as_bytes(cached("tar", archive, build)) == first
    assert build.n == 1
    assert folder() == own_cache
    cached("parquet", archive, build)
    assert build.n == 2
    os.utime(archive, ns=(0, 0))
    assert as_bytes(cached("tar", archive, build)) != first
    assert len(list(own_cache.iterdir())) == 2  # the former state's is gone


@pytest.mark.parametrize("fault", [lambda d: d[:-1], lambda d: b"", lambda d: d[:-6] + b"abcdef",
                                   lambda d: d[:12] + bytes([d[12] ^ 255]) + d[13:]])  # fmt: skip
def test_a_damaged_entry_is_made_again(archive, own_cache, fault):
    build = Build()
    cached("tar", archive, build)
    (entry,) = own_cache.iterdir()
    entry.write_bytes(fault(entry.read_bytes()))
    cached("tar", archive, build)
    assert build.n == 2
    cached("tar", archive, build)
    assert build.n == 2


def test_a_cache_that_cannot_be_written_is_no_error(archive, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    build = Build()
    for n in (1, 2):
        cached("tar", archive, build)
        assert build.n == n


def test_where_indexes_lie(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for value in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert folder() == Path("/home/me/.cache/embedstore/indexes")


def test_an_interrupted_write_leaves_nothing(archive, own_cache, monkeypatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached("tar", archive, Build())
    assert list(own_cache.iterdir()) == []
