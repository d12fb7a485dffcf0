"""Corruption errors of several models, beside reading the column that they are counted from."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import analysis
from embedstore.corruption.benchmarks import IMAGENET_3DCC, corruptions_of
from embedstore.testing.simulate import add_corruptions, simulate_store

N_MODELS, N_SAMPLES = 8, 20_000


def test_sixty_folders_beside_reading_their_columns(tmp_path, beside):
    simulation = simulate_store(tmp_path / "s", n_models=N_MODELS, n_samples=N_SAMPLES, n_factors=0)
    store, found = simulation.store, analysis.find("corruptions")
    strengths = dict.fromkeys(corruptions_of(IMAGENET_3DCC, extra=False), 0.3)
    expected = add_corruptions(simulation, IMAGENET_3DCC, strengths)
    runs = store.outcome_runs(datasets=f"{IMAGENET_3DCC}--*")
    tables = [store.files.path(f"{run.folder}/table.parquet") for run in runs]
    samples = [store.files.path(f"datasets/{d}/samples.parquet") for d in store.datasets]

    def read_columns() -> None:
        pl.read_parquet(tables, columns=["correct"])
        pl.read_parquet(samples, columns=["sample_id"])

    def list_runs() -> None:
        store.outcome_runs()

    frame = found(store)
    beside(lambda: found(store), rounds=7, read=read_columns, listing=list_runs)
    assert frame["accuracy"].to_list() == pytest.approx(expected.mean(axis=(1, 2)), abs=0.01)
