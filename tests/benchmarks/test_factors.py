"""A factor table with intervals over many models, beside reading their columns alone."""

from __future__ import annotations

import resource
import time
from statistics import median

import numpy as np
import polars as pl
import pytest

from embedstore import Store, analysis
from embedstore.testing.simulate import simulate_store

N_MODELS, N_SAMPLES, N_FACTORS = 255, 50_000, 16


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    path = tmp_path_factory.mktemp("factors") / "s"
    sizes = {"n_models": N_MODELS, "n_samples": N_SAMPLES, "n_factors": N_FACTORS}
    return simulate_store(path, **sizes)


@pytest.mark.parametrize("digests", ["checked", "unchecked"])
def test_factor_table_beside_reading_the_columns(benchmark, simulated, digests):
    files = simulated.store.files
    tables = [files.path(f"{run.folder}/table.parquet") for run in simulated.store.outcome_runs()]
    seconds, at_once = [], []

    def bare():
        start = time.perf_counter()
        for table in tables:
            pl.read_parquet(table, columns=["correct"])
        simulated.store.samples("simulated")
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        pl.read_parquet(tables, columns=["correct"])
        at_once.append(time.perf_counter() - start)
        return (Store.open(files.root) if digests == "unchecked" else simulated.store,), {}

    def factors(store):
        return analysis.find("factors")(store)  # `run` would find the result that it kept

    found = factors(simulated.store)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    benchmark.pedantic(factors, setup=bare, rounds=7)
    benchmark.extra_info["ratio"] = benchmark.stats.stats.median / median(seconds)
    benchmark.extra_info["ratio_at_once"] = benchmark.stats.stats.median / median(at_once)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    benchmark.extra_info["peak MiB"] = peak // 1024
    benchmark.extra_info["grew MiB"] = (peak - before) // 1024
    assert found.height == N_MODELS * N_FACTORS
    truth = simulated.probabilities[0]
    expected = [truth[marks].mean() for marks in simulated.marks.T]
    np.testing.assert_allclose(found["accuracy"][:N_FACTORS], expected, atol=0.02)
