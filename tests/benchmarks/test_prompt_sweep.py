"""One more prompt set beside one bare matrix product; memory and time of many sets.

Products and sweeps are taken in turns, and ratios are of the best of each: others use the machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from embedstore import analysis
from embedstore.testing.stores import random_store
from embedstore.testing.texts import add_prompts, add_zero_shot_head

PROBE = Path(__file__).with_name("sweep_probe.py")
N_SAMPLES, N_CLASSES, DIM, N_TEMPLATES = 50_000, 1_000, 512, 16
MIB = 2**20


def classes(n_classes: int) -> list[str]:
    return [f"class-{i}" for i in range(n_classes)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """50,000 pictures and 16 templates over 1,000 classes."""
    sizes = {"n_samples": N_SAMPLES, "n_classes": N_CLASSES, "dim": DIM, "block_rows": 8192}
    store = random_store(tmp_path_factory.mktemp("sweep") / "s", **sizes)
    n_texts = N_CLASSES * N_TEMPLATES
    rows = np.random.default_rng(0).standard_normal((n_texts, DIM), dtype=np.float32)
    texts = add_prompts(
        store,
        "model",
        "many",
        classes(N_CLASSES),
        rows,
        np.arange(n_texts) // N_TEMPLATES,
        np.arange(n_texts) % N_TEMPLATES,
        [f"{t} {{}}" for t in range(N_TEMPLATES)],
    )
    add_zero_shot_head(store, "model", texts, scale=50.0, bias=0.0)
    return store


@pytest.mark.parametrize("part", ["templates", "prefixes"])
def test_a_set_beside_a_bare_product(benchmark, store, part):
    images = np.asarray(store.embeddings("model", "data")).astype(np.float32)
    weights = np.random.default_rng(1).standard_normal((N_CLASSES, DIM), dtype=np.float32)
    out = np.empty((N_SAMPLES, N_CLASSES), np.float32)
    seconds, cpu_seconds, cpu_ours = [], [], []

    def bare():
        for _ in range(3):
            start, cpu = time.perf_counter(), time.process_time()
            np.matmul(images, weights.T, out=out)
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(time.process_time() - cpu)

    def sweep():
        cpu = time.process_time()
        found = analysis.find("prompt-sweep")(store, parts=part)
        cpu_ours.append(time.process_time() - cpu)
        assert found.height == N_TEMPLATES

    sweep()
    cpu_ours.clear()
    benchmark.pedantic(sweep, setup=bare, rounds=5)
    ours = benchmark.stats.stats.min / N_TEMPLATES
    benchmark.extra_info["ratio"] = ours / min(seconds)
    benchmark.extra_info["ratio of CPU seconds"] = min(cpu_ours) / N_TEMPLATES / min(cpu_seconds)
    benchmark.extra_info["bare seconds"] = min(seconds)


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """1,000 text sets of one text a class over 200 classes, 5,000 pictures."""
    sizes = {"n_samples": 5_000, "n_classes": 200, "dim": 256, "block_rows": 1000}
    store = random_store(tmp_path_factory.mktemp("thousand") / "s", **sizes)
    random = np.random.default_rng(0)
    for i in range(1_000):
        rows = random.standard_normal((200, 256), dtype=np.float32)
        name = add_prompts(store, "model", f"set-{i:03d}", classes(200), rows, range(200))
    add_zero_shot_head(store, "model", name, scale=50.0, bias=0.0)
    return store


def test_a_thousand_sets_take_the_memory_of_fifty(benchmark, thousand):
    def probe(texts: str) -> tuple[int, float, int]:
        command = [sys.executable, PROBE, thousand.files.root, texts]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        n, seconds, peak = ended.stdout.split()
        return int(n), float(seconds), int(peak)

    few = probe("set-0[0-4]?")
    many = benchmark.pedantic(probe, args=("set-*",), rounds=1)
    assert (few[0], many[0]) == (50, 1000)
    benchmark.extra_info |= {
        "milliseconds a set of 50": 1e3 * few[1] / few[0],
        "milliseconds a set of 1000": 1e3 * many[1] / many[0],
        "peak MiB of 50": few[2] / MIB,
        "peak MiB of 1000": many[2] / MIB,
    }
