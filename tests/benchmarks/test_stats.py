"""The bootstrap of a whole study beside its bare matrix product, and lines beside statsmodels.

Each timing is taken in turns with its reference; the ratio is of the medians.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from embedstore.stats.bootstrap import bootstrap_means
from embedstore.stats.delong import delong
from embedstore.stats.lines import robust_line
from embedstore.stats.trend_intervals import trend_intervals

N_MODELS, N_SAMPLES, N_RESAMPLES = 255, 50_000, 2_000


@pytest.mark.parametrize("kind", ["booleans", "numbers"])
def test_resampling_a_study_beside_its_product(beside: Any, kind: str) -> None:
    values = np.random.default_rng(0).random((N_MODELS, N_SAMPLES))
    table = values < 0.7 if kind == "booleans" else values
    precision = np.float32 if kind == "booleans" else np.float64
    counts = np.ones((N_RESAMPLES, N_SAMPLES), precision)
    dense = table.astype(precision)
    beside(
        lambda: bootstrap_means(table, n_resamples=N_RESAMPLES),
        rounds=3,
        product=lambda: counts @ dense.T,
    )


def test_one_model_beside_scipy(beside: Any) -> None:
    sample = np.random.default_rng(0).random(N_SAMPLES)
    beside(
        lambda: bootstrap_means(sample, n_resamples=N_RESAMPLES),
        rounds=3,
        scipy=lambda: stats.bootstrap(
            (sample,), np.mean, n_resamples=N_RESAMPLES, batch=100, method="percentile"
        ),
    )


def test_resampled_lines_beside_one_statsmodels_line(beside: Any) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=333)
    y = 0.8 * x + 0.2 * random.standard_t(2, size=333)
    beside(lambda: trend_intervals(x, y), rounds=5, one_line=lambda: robust_line(x, y))


def test_delong_beside_its_sorts(beside: Any) -> None:
    random = np.random.default_rng(0)
    above, below = random.normal(1, 1, N_SAMPLES), random.normal(size=N_SAMPLES)
    together = np.concatenate([above, below])
    beside(lambda: delong(above, below), rounds=9, one_sort=lambda: np.sort(together))
