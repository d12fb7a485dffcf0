"""Files are created whole, once, by whoever comes first."""

from __future__ import annotations

import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from embedstore.errors import StoreError
from embedstore.store.files import LocalFiles


def test_the_first_writer_wins(tmp_path):
    files = LocalFiles(tmp_path)
    assert files.create("a/b", b"first")
    assert not files.create("a/b", b"second")
    assert files.read("a/b") == b"first"
    assert list(files.walk()) == ["a/b"]


def test_of_racing_writers_exactly_one_creates_the_file(tmp_path):
    files = LocalFiles(tmp_path)
    for round_ in range(20):
        with ThreadPoolExecutor(8) as pool:
            data = [bytes([i]) * 99 for i in range(8)]
            created = list(pool.map(partial(files.create, f"f{round_}"), data))
        assert sum(created) == 1
        assert files.read(f"f{round_}") == bytes([created.index(True)]) * 99
    assert list(tmp_path.rglob("*.aside")) == []


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"no space left .* run the same command again"):
        LocalFiles(tmp_path).create("x", b"data")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, where the machine lets us mount one."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("no right to mount a small file system here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_is_one_line_and_keeps_what_was_there(small_disk):
    files = LocalFiles(small_disk)
    assert files.create("kept", b"x" * 500_000)
    with pytest.raises(StoreError, match="no space left"):
        files.create("too-large", b"y" * 900_000)
    assert files.read("kept") == b"x" * 500_000
    assert list(files.walk()) == ["kept"]


def test_a_read_only_store_is_one_line(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match=r"cannot be written .*; make it writable"):
        LocalFiles(small_disk).create("x", b"data")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
