"""Importing embeddings, beside reading the same file and writing it as float16."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from embedstore.importers.embeddings import import_embeddings, read_embeddings
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.store import Store

N, D = 100_000, 512


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """100,000 x 512 float32 in a shuffled order, their ids, and a store that knows the samples."""
    folder = tmp_path_factory.mktemp("import")
    random = np.random.default_rng(0)
    np.save(folder / "x.npy", random.normal(size=(N, D)).astype(np.float32))
    ids = pl.DataFrame({"sample_id": [f"sample-{i:06d}" for i in range(N)]})
    ids.write_parquet(folder / "samples.parquet")
    ids.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(folder / "ids.parquet")
    store = Store.open(folder / "store", create=True)
    import_samples(store, read_table(folder / "samples.parquet"), "data")
    return folder


def test_import_beside_a_plain_copy(benchmark, folder):
    store, ids = Store.open(folder / "store"), str(folder / "ids.parquet")
    rounds = iter(range(10))

    def bring() -> None:
        given = read_embeddings(folder / "x.npy")
        import_embeddings(store, given, f"m{next(rounds)}", "data", ids=ids)

    began = time.perf_counter()
    np.save(folder / "copy.npy", np.load(folder / "x.npy").astype(np.float16))
    copied = time.perf_counter() - began
    benchmark.pedantic(bring, rounds=3)
    benchmark.extra_info |= {"times_a_plain_copy": benchmark.stats.stats.min / copied}
