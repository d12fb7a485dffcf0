"""Exact neighbours of stored embeddings, beside FAISS alone over rows that are ready."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from embedstore.index import library, rows
from embedstore.index.exact import nearest
from embedstore.index.subject import Subject
from embedstore.testing.given import Given, given_store

faiss = pytest.importorskip("faiss")

N, DIM, K = 50_000, 512, 50
PROBE = Path(__file__).with_name("neighbours_probe.py")
MIB = 2**20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two data sets of 50,000 samples in 1,000 clusters."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((1_000, DIM), dtype=np.float32)

    def clustered():
        noise = random.standard_normal((N, DIM), dtype=np.float32)
        return Given(centres[random.integers(0, 1_000, N)] + noise)

    path = tmp_path_factory.mktemp("neighbours") / "s"
    return given_store(path, {"id": clustered(), "reference": clustered()}, block_rows=8_192)


@pytest.fixture(scope="module")
def arrays(store):
    """Queries and the reference's stored shards."""
    queries = np.asarray(store.embeddings("model", "id"), np.float32)
    return queries, Subject.open(store, "model", dataset="reference").embeddings


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_neighbours_beside_faiss_alone(benchmark, store, arrays):
    """Ours reads float16 shards and brings rows to unit length; FAISS has them ready."""
    queries, stored = arrays
    ready = unit(queries), unit(np.asarray(stored, np.float32))
    seconds = []

    def alone():
        start = time.perf_counter()
        alone.scores, alone.rows = faiss.knn(*ready, K, metric=faiss.METRIC_INNER_PRODUCT)
        seconds.append(time.perf_counter() - start)

    def ours():
        return nearest(queries, stored.blocks(), K, normalize=True)

    found = benchmark.pedantic(ours, setup=alone, rounds=3)
    command = [sys.executable, str(PROBE), str(store.files.root), str(K)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    benchmark.extra_info |= {
        "ratio": benchmark.stats.stats.median / median(seconds),
        "ratio of the least": benchmark.stats.stats.min / min(seconds),
        "FAISS s": median(seconds),
        "MiB above queries and answers": grown / MIB,
    }
    np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
    assert (found.rows == alone.rows).mean() > 0.999  # but for what rounding parts


@pytest.mark.parametrize("n_bytes", [16 * MIB, 128 * MIB])
def test_rows_gathered_at_once(benchmark, arrays, monkeypatch, n_bytes):
    """A shard at a time, and as many as we take."""
    queries, stored = arrays
    monkeypatch.setattr(rows, "GATHERED_BYTES", n_bytes)
    benchmark.pedantic(lambda: nearest(queries[:8_192], stored.blocks(), K), rounds=3)


def test_neighbours_without_faiss(benchmark, arrays, monkeypatch):
    queries, stored = arrays
    part, seconds = queries[:8_192], []

    def with_faiss():
        start = time.perf_counter()
        nearest(part, stored.blocks(), K, normalize=True)
        seconds.append(time.perf_counter() - start)

    def without():
        with monkeypatch.context() as patch:
            patch.setattr(library, "installed", lambda: False)
            return nearest(part, stored.blocks(), K, normalize=True)

    benchmark.pedantic(without, setup=with_faiss, rounds=3)
    benchmark.extra_info["ratio"] = benchmark.stats.stats.median / median(seconds)
