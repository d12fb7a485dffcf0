"""Reading stored logits, beside `numpy.load` of the same bytes on a warm cache."""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from embedstore import schema
from embedstore.store import Store
from embedstore.store.arrays import StoredArray
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out

N, C, B = 50_000, 1000, 8192


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of 50,000 x 1,000 logits, and the same numbers as one .npy file."""
    path = tmp_path_factory.mktemp("logits")
    files = Store.open(path / "store", create=True).files
    array = lay_out(schema.LOGITS, (N, C), B)
    run = BlockRun.start(files, "run", Plan("logits", N, B, B, "float32", {}, (array,)))
    data = np.random.default_rng(0).normal(size=(N, C)).astype(np.float16)
    for block in run.missing():
        start, stop = run.plan.rows(block)
        run.commit(block, {"logits": data[start:stop]})
    run.finish()
    np.save(path / "logits.npy", data)
    return path


def test_reading_logits_beside_numpy_load(benchmark, folder):
    files = Store.open(folder / "store").files
    run = BlockRun.planned(files, "run")
    stored = StoredArray(files, "run", run.plan.arrays[0], run.manifest.files)
    theirs: list[float] = []

    def load() -> None:
        began = time.perf_counter()
        loaded = np.load(folder / "logits.npy")
        theirs.append(time.perf_counter() - began)
        del loaded

    np.testing.assert_array_equal(np.asarray(stored), np.load(folder / "logits.npy"))  # digests
    for _ in range(3):
        load()
    benchmark.pedantic(np.asarray, args=(stored,), setup=load, rounds=15)
    benchmark.extra_info["ratio"] = benchmark.stats.stats.median / statistics.median(theirs)
    benchmark.extra_info["numpy_load_seconds"] = statistics.median(theirs)
