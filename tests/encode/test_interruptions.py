"""kill -9 at any moment costs a block, and the store ends up the same, bit for bit."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from embedstore import Store
from embedstore.errors import DamagedError
from embedstore.store.repair import repair
from embedstore.store.verify import verify

#: 46 pictures in 12 blocks, each two batches.
SMALL = ("--batch-size", "2", "--block-rows", "4", "--workers", "2")


def arguments(store: Path, pictures: Path, model: str) -> list[str]:
    spec = f"toy=python:toy_models:{model}"
    return ["encode", str(store), "--model", spec, "--data", f"pets=folder:{pictures}", *SMALL]


def contents(store: Path) -> dict[str, bytes]:
    """Every array and table of a store; records name times and versions, arrays must not."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file() and file.suffix != ".json"
    }


@pytest.fixture(params=["linear", "native"])
def quiet(request, tmp_path, pictures, command) -> tuple[str, dict[str, bytes], float]:
    """A run that nothing interrupts: the model, what it stored, and its seconds."""
    began = time.monotonic()
    process = command(*arguments(tmp_path / "quiet", pictures, request.param), TOY_SECONDS="0.03")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    stored = contents(tmp_path / "quiet")
    assert sum(name.startswith("models/toy/images") for name in stored) == 12 + 1
    return request.param, stored, time.monotonic() - began


def test_killed_ten_times_and_resumed_gives_the_same_bits(quiet, tmp_path, pictures, command):
    # Ten kills of each kind of head: twenty in all.
    model, expected, seconds = quiet
    chance, store = random.Random(model), tmp_path / "killed"
    n_killed = 0
    while n_killed < 10:
        process = command(*arguments(store, pictures, model), TOY_SECONDS="0.03")
        _wait_for_plan(store, process, chance.uniform(0, 0.3 * seconds))
        children = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            n_killed += 1
        process.communicate()
        assert (
            psutil.wait_procs(children, timeout=20)[1] == []
        )  # decoding processes end by themselves
        if process.returncode == 0:
            _lose_some_blocks(store, chance)
    _, errors = command(*arguments(store, pictures, model)).communicate(timeout=120)
    assert "46 pictures, 2 could not be used" in errors or "already there" in errors, errors
    problems = verify(Store.open(store).files)
    assert all(p.state == "leftover" for p in problems)
    repair(Store.open(store).files, problems)
    assert contents(store) == expected


def test_two_workers_that_race_and_are_killed_agree(quiet, tmp_path, pictures, command):
    model, expected, seconds = quiet
    chance, store = random.Random(1), tmp_path / "raced"
    for _ in range(2):
        racers = [command(*arguments(store, pictures, model), TOY_SECONDS="0.03") for _ in range(2)]
        _wait_for_plan(store, racers[0], chance.uniform(0, 0.3 * seconds))
        for racer in racers:
            racer.send_signal(signal.SIGKILL)
            racer.communicate()
    racers = [command(*arguments(store, pictures, model)) for _ in range(2)]
    for racer in racers:
        _, errors = racer.communicate(timeout=120)
        assert racer.returncode == 0, errors
    repair(Store.open(store).files, verify(Store.open(store).files))
    assert verify(Store.open(store).files) == []
    assert contents(store) == expected


def test_a_deleted_shard_is_an_error_and_encoding_refills_it(quiet, tmp_path, pictures, command):
    model, expected, _ = quiet
    store = tmp_path / "quiet"
    shard = store / "models/toy/images/pets/embeddings/c/5/0"
    shard.unlink()
    with pytest.raises(DamagedError, match=r"c/5/0 \(rows 20 to 23\) is missing"):
        np.asarray(Store.open(store).embeddings("toy", "pets"))
    files = Store.open(store).files
    assert repair(files, verify(files)) == ["models/toy/images/pets"]
    _, errors = command(*arguments(store, pictures, model)).communicate(timeout=120)
    assert "42 of 46 images are there already" in errors, errors
    assert contents(store) == expected


def test_ctrl_c_keeps_finished_blocks_and_says_so(tmp_path, pictures, command):
    store = tmp_path / "stopped"
    process = command(*arguments(store, pictures, "linear"), TOY_SECONDS="0.2")
    _wait_for_a_block(store, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("embedstore: stopped; finished blocks are kept")
    assert "Traceback" not in errors
    blocks = list((store / "models/toy/images/pets/blocks").glob("*.json"))
    assert 0 < len(blocks) < 12
    assert verify(Store.open(store).files) == []


def _wait_for_plan(store: Path, process, seconds: float) -> None:
    """Wait until encoding begins, and then for some seconds more."""
    while process.poll() is None and not (store / "models/toy/images/pets/plan.json").exists():
        time.sleep(0.01)
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def _wait_for_a_block(store: Path, process) -> None:
    """Wait until one is finished, however busy the machine is."""
    blocks = store / "models/toy/images/pets/blocks"
    while process.poll() is None and not list(blocks.glob("*.json")):
        time.sleep(0.01)


def _lose_some_blocks(store: Path, chance: random.Random) -> None:
    """Make a finished run unfinished again, so that there is something to kill."""
    folder = store / "models/toy/images/pets"
    (folder / "manifest.json").unlink()
    for record in chance.sample(sorted((folder / "blocks").glob("*.json")), 6):
        record.unlink()
