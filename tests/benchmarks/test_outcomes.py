"""The outcome kernel beside torch's exponential alone, and widening beside NumPy's cast.

Each timing is taken in turns with its reference, since the machine's speed drifts; the ratio is of
the medians. Same array, same two threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from embedstore.kernels.half import narrow, widen
from embedstore.kernels.outcomes import outcomes

N_ROWS, N_CLASSES, N_THREADS = 50_000, 1_000, 2
ROUNDS = 15


@pytest.fixture(scope="module")
def logits() -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(0)
    return 3 * random.standard_normal((N_ROWS, N_CLASSES), dtype=np.float32)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(
    benchmark: BenchmarkFixture, ours: Callable[[], object], **references: Callable[[], object]
) -> None:
    """Time `ours` and each reference in turns, and record the ratios; the first one is `ratio`."""
    taken: dict[str, list[float]] = {name: [] for name in references}

    def take_references() -> None:
        for name, call in references.items():
            taken[name].append(seconds(call))

    ours()
    take_references()
    benchmark.pedantic(ours, setup=take_references, rounds=ROUNDS)
    times = {name: median(values) for name, values in taken.items()}
    benchmark.extra_info["seconds"] = times
    for i, (name, reference) in enumerate(times.items()):
        key = "ratio" if i == 0 else f"ratio_{name}"
        benchmark.extra_info[key] = benchmark.stats.stats.median / reference


def test_outcomes_beside_torch_exp(
    benchmark: BenchmarkFixture, logits: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(N_THREADS)
    labels = np.random.default_rng(1).integers(0, N_CLASSES, N_ROWS)
    tensor = torch.from_numpy(logits)
    buffer = torch.empty_like(tensor)
    compare(
        benchmark,
        lambda: outcomes(logits, labels),
        exp=lambda: torch.exp(tensor),
        exp_into_buffer=lambda: torch.exp(tensor, out=buffer),
    )


def test_widening_beside_astype(
    benchmark: BenchmarkFixture, logits: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    halves, maximum = narrow(logits)
    bits, buffer = halves.view(np.uint16), np.empty_like(logits)
    compare(
        benchmark,
        lambda: widen(bits, maximum, out=buffer),
        astype_into_buffer=lambda: np.copyto(buffer, halves),
        astype=lambda: halves.astype(np.float32),
    )


def test_narrowing_a_block_beside_numpy(
    benchmark: BenchmarkFixture, logits: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    block = logits[:8192]
    compare(
        benchmark,
        lambda: narrow(block),
        numpy=lambda: (block - block.max(axis=1, keepdims=True)).astype(np.float16),
    )
