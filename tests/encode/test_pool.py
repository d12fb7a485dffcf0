"""Decoding processes: crashes, hangs and bad bytes cost one picture each."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedstore.datasets.pictures import prepare
from embedstore.datasets.readers import FolderReader
from embedstore.encode.pool import DecodePool
from embedstore.transform import Transform

TRANSFORM = Transform(size=(16, 16), resize_to=(16, 16))


@pytest.fixture
def folder(tmp_path):
    for i in range(10):
        Image.fromarray(np.full((20, 24, 3), i * 20, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    return tmp_path


@dataclass(frozen=True)
class Hostile:
    """Reads like :class:`FolderReader`, but dies or hangs at names that say so."""

    root: str

    def __call__(self, locator: str) -> bytes:
        if locator == "crash":
            faulthandler.disable()  # pytest's report of a crash that is meant
            os.kill(os.getpid(), signal.SIGSEGV)
        if locator == "exit":
            os._exit(7)
        if locator == "once":
            mark = Path(self.root) / "died"
            if not mark.exists():
                mark.touch()
                os._exit(1)
            locator = "3.png"
        if locator == "hang":
            time.sleep(600)
        if locator == "raise":
            raise ZeroDivisionError("a bug in a reader")
        return FolderReader(self.root)(locator)


def pool(folder, **changes) -> DecodePool:
    settings = {"n_workers": 2, "n_slots": 2, "batch_rows": 10} | changes
    return DecodePool(Hostile(str(folder)), TRANSFORM, **settings)


def test_pictures_arrive_in_their_rows(folder):
    names = [f"{i}.png" for i in range(10)]
    with pool(folder) as decoding:
        futures = [decoding.submit(slot, names[slot:] + names[:slot]) for slot in (0, 1)]
        assert [f.result(30) for f in futures] == [[], []]
        for slot in (0, 1):
            for i, name in enumerate(names[slot:] + names[:slot]):
                expected = prepare((folder / name).read_bytes(), TRANSFORM)
                np.testing.assert_array_equal(decoding.slots[slot, i], expected)


def test_bad_bytes_and_missing_files_are_failures_and_their_rows_are_zero(folder):
    with pool(folder) as decoding:
        decoding.slots[:] = 99
        failures = decoding.submit(0, ["1.png", "bad.png", "gone.png", "raise", "2.png"]).result(30)
        assert [(i, stage) for i, stage, _ in failures] == [
            (1, "decode"),
            (2, "read"),
            (3, "decode"),
        ]
        assert "ZeroDivisionError" in failures[2][2]
        assert not decoding.slots[0, 1:4].any()
        assert decoding.slots[0, 4].any()


@pytest.mark.parametrize(("name", "why"), [("crash", "signal 11"), ("exit", "exit code 7")])
def test_a_crash_costs_one_picture(folder, name, why):
    with pool(folder) as decoding:
        names = ["1.png", "2.png", name, "3.png", "4.png", name, "5.png"]
        failures = decoding.submit(0, names).result(60)
        assert [i for i, _, _ in failures] == [2, 5]
        assert all(f"crashed its decoder ({why})" in reason for _, _, reason in failures)
        assert all(decoding.slots[0, i].any() for i in (0, 1, 3, 4, 6))
        assert decoding.submit(1, ["1.png"]).result(30) == []


def test_a_hang_is_given_up(folder):
    with pool(folder, time_limit=1.0) as decoding:
        failures = decoding.submit(0, ["hang", "1.png"]).result(60)
        assert [i for i, _, _ in failures] == [0]
        assert "took longer than 1 s" in failures[0][2]


def test_a_process_that_dies_once_costs_nothing(folder):
    with pool(folder) as decoding:
        failures = decoding.submit(0, ["1.png", "once", "2.png"]).result(60)
        assert failures == []
        assert all(decoding.slots[0, i].any() for i in range(3))


def test_closing_ends_the_processes(folder):
    decoding = pool(folder)
    decoding.submit(0, ["1.png"]).result(30)
    processes = [w.process for w in decoding._workers]
    pids = [p.pid for p in processes]
    decoding.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
