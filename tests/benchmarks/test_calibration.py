"""Temperatures beside the outcome kernel and beside torch's LBFGS; errors of stored outcomes.

Timings of ours and of the references are taken in turns; ratios are of the medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from embedstore.kernels.bins import in_bins
from embedstore.kernels.outcomes import outcomes
from embedstore.kernels.temperature import fit_temperature

N_SAMPLES, N_CLASSES, N_THREADS = 50_000, 1_000, 2
Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def drawn() -> tuple[Array, Array]:
    """Logits of a model that is right on about half of the samples, and labels."""
    random = np.random.default_rng(0)
    logits = 3 * random.standard_normal((N_SAMPLES, N_CLASSES), dtype=np.float32)
    labels = random.integers(0, N_CLASSES, N_SAMPLES)
    logits[np.arange(N_SAMPLES), labels] += np.float32(9) * (random.random(N_SAMPLES) < 0.7)
    return logits, labels


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def lbfgs(logits: Array, labels: Array) -> float:
    """Fit as the code of Guo et al. (2017) does: a temperature of 1.5, LBFGS at rate 0.01."""
    import torch

    torch.set_num_threads(N_THREADS)
    z, y = torch.from_numpy(logits), torch.from_numpy(labels)
    temperature = torch.nn.Parameter(torch.ones(1) * 1.5)
    optimiser = torch.optim.LBFGS([temperature], lr=0.01, max_iter=50)

    def closure() -> Any:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(z / temperature, y)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(temperature.detach())


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_temperature_beside_outcome_passes(
    benchmark: BenchmarkFixture, drawn: tuple[Array, Array], scale: float
) -> None:
    logits, labels = drawn[0] * np.float32(scale), drawn[1]
    passes: list[float] = []

    def take_reference() -> None:
        passes.append(seconds(lambda: outcomes(logits, labels)))

    take_reference()
    fit_temperature([(logits[:10], labels[:10])])
    passes.clear()
    fit = benchmark.pedantic(
        lambda: fit_temperature([(logits, labels)]), setup=take_reference, rounds=9
    )
    benchmark.extra_info["outcome_passes"] = benchmark.stats.stats.median / median(passes)
    benchmark.extra_info["n_passes"] = fit.n_passes
    if scale == 1.0:
        pytest.importorskip("torch")
        taken = seconds(lambda: lbfgs(logits, labels))
        benchmark.extra_info["ratio_lbfgs"] = taken / benchmark.stats.stats.median


def test_errors_of_outcomes(benchmark: BenchmarkFixture, drawn: tuple[Array, Array]) -> None:
    said = outcomes(*drawn)

    def measure() -> tuple[float, float, float]:
        error = in_bins(said.confidence, said.correct, 15).expected_calibration_error
        return error, float(said.nll.mean(dtype=float)), float(said.brier.mean(dtype=float))

    ready = benchmark.pedantic(measure, rounds=30, warmup_rounds=2)
    benchmark.extra_info["milliseconds"] = 1e3 * benchmark.stats.stats.median
    benchmark.extra_info["ece"] = ready[0]
