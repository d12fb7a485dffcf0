"""The bootstrap of a whole study beside its bare matrix product, and lines beside statsmodels.

Each timing is taken in turns with its reference; the ratio is of the medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy import stats

from embedstore.stats.bootstrap import bootstrap_means
from embedstore.stats.delong import delong
from embedstore.stats.lines import robust_line
from embedstore.stats.trend_intervals import trend_intervals

N_MODELS, N_SAMPLES, N_RESAMPLES = 255, 50_000, 2_000


def compare(
    benchmark: BenchmarkFixture,
    ours: Callable[[], object],
    rounds: int,
    **references: Callable[[], object],
) -> None:
    """Time `ours` and each reference in turns, and record the ratios."""
    taken: dict[str, list[float]] = {name: [] for name in references}

    def take_references() -> None:
        for name, call in references.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)

    ours()
    benchmark.pedantic(ours, setup=take_references, rounds=rounds)
    for name, values in taken.items():
        ratio = benchmark.stats.stats.median / median(values)
        benchmark.extra_info[f"ratio_{name}"] = ratio


@pytest.mark.parametrize("kind", ["booleans", "numbers"])
def test_resampling_a_study_beside_its_product(benchmark: BenchmarkFixture, kind: str) -> None:
    values = np.random.default_rng(0).random((N_MODELS, N_SAMPLES))
    table = values < 0.7 if kind == "booleans" else values
    precision = np.float32 if kind == "booleans" else np.float64
    counts = np.ones((N_RESAMPLES, N_SAMPLES), precision)
    dense = table.astype(precision)
    compare(
        benchmark,
        lambda: bootstrap_means(table, n_resamples=N_RESAMPLES),
        3,
        product=lambda: counts @ dense.T,
    )


def test_one_model_beside_scipy(benchmark: BenchmarkFixture) -> None:
    sample = np.random.default_rng(0).random(N_SAMPLES)
    compare(
        benchmark,
        lambda: bootstrap_means(sample, n_resamples=N_RESAMPLES),
        3,
        scipy=lambda: stats.bootstrap(
            (sample,), np.mean, n_resamples=N_RESAMPLES, batch=100, method="percentile"
        ),
    )


def test_resampled_lines_beside_one_statsmodels_line(benchmark: BenchmarkFixture) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=333)
    y = 0.8 * x + 0.2 * random.standard_t(2, size=333)
    compare(benchmark, lambda: trend_intervals(x, y), 5, one_line=lambda: robust_line(x, y))


def test_delong_beside_its_sorts(benchmark: BenchmarkFixture) -> None:
    random = np.random.default_rng(0)
    above, below = random.normal(1, 1, N_SAMPLES), random.normal(size=N_SAMPLES)
    together = np.concatenate([above, below])
    compare(benchmark, lambda: delong(above, below), 9, one_sort=lambda: np.sort(together))
