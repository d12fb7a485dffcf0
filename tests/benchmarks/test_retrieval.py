"""Retrieval at COCO's size: a table with bounds from a store, beside the bare matrix product.

Timings are taken in turns; ratios are of the medians.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from embedstore import analysis
from embedstore.retrieval.captioned import caption_runs, count_captioned
from embedstore.retrieval.streaming import count_pairs
from embedstore.testing.captioned import Captions, captioned_store

N_PICTURES, N_CAPTIONS, DIM = 5_000, 25_000, 512
KS = (1, 5, 10)
PROBE = Path(__file__).with_name("retrieval_probe.py")
MIB = 2**20


def store_of(path, n_pictures, n_captions):
    """Captions about half of which find their picture among the first ten."""
    random = np.random.default_rng(0)
    pictures = random.standard_normal((n_pictures, DIM), dtype=np.float32)
    rows = np.repeat(np.arange(n_pictures), n_captions // n_pictures)
    noise = random.standard_normal((n_captions, DIM), dtype=np.float32)
    texts = [f"caption {i}" for i in range(n_captions)]
    given = Captions(texts, rows.tolist(), pictures[rows] + 7 * noise)
    return captioned_store(path, pictures, {"captions": given})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return store_of(tmp_path_factory.mktemp("coco") / "s", N_PICTURES, N_CAPTIONS)


@pytest.fixture(scope="module")
def captioned(store):
    (run,) = caption_runs(store, "*", "*", "*")
    return count_captioned(store, run)


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_table_with_bounds_beside_the_bare_product(benchmark, store, captioned, tmp_path):
    pictures, captions = captioned.pictures(), captioned.captions()
    products, counts = [], []

    def take_references():
        products.append(seconds(lambda: pictures @ captions.T))
        counts.append(seconds(lambda: count_pairs(pictures, captions, captioned.picture_of)))

    retrieval = analysis.find("retrieval")  # `run` would find the result that it kept
    table = retrieval(store)
    benchmark.pedantic(lambda: retrieval(store), setup=take_references, rounds=7)
    small = store_of(tmp_path / "small", 20, 100)
    command = [sys.executable, str(PROBE), str(small.files.root), str(store.files.root)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    inputs = pictures.nbytes + captions.nbytes  # in float32
    benchmark.extra_info |= {
        "ratio": benchmark.stats.stats.median / median(products),
        "ratio of the least": benchmark.stats.stats.min / min(products),
        "ratio without loading and bounds": median(counts) / median(products),
        "product s": median(products),
        "MiB above the inputs": (grown - inputs) / MIB,
    }
    assert table.height == 2 * len(KS)
    assert 0.2 < table["recall"].mean() < 0.8


def test_table_beside_clip_benchmark(benchmark, store, captioned):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
    recalls = {}

    def evaluate():
        """As its `evaluate` does, once embeddings are there; in batches of 64."""
        scores = torch.from_numpy(captioned.captions()) @ torch.from_numpy(captioned.pictures()).t()
        pairs = torch.zeros_like(scores, dtype=bool)
        pairs[torch.arange(len(scores)), torch.from_numpy(captioned.picture_of)] = True
        for k in KS:
            for way, x, y in (
                ("text-to-image", scores, pairs),
                ("image-to-text", scores.T, pairs.T),
            ):
                found = theirs.batchify(theirs.recall_at_k, x, y, 64, "cpu", k=k)
                recalls[way, k] = (found > 0).float().mean().item()

    taken = seconds(evaluate)
    retrieval = analysis.find("retrieval")
    table = benchmark.pedantic(lambda: retrieval(store), rounds=3, warmup_rounds=1)
    benchmark.extra_info |= {
        "ratio": benchmark.stats.stats.median / taken,
        "CLIP_benchmark s": taken,
    }
    for row in table.to_dicts():
        expected = recalls[row["direction"], row["k"]]
        assert row["recall"] == pytest.approx(expected, abs=1e-3)  # other rounding of near ties
