"""Stores to search, and a way to be without FAISS."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from embedstore import Store
from embedstore.testing.given import Given, given_store

F32 = npt.NDArray[np.float32]
N_ROWS, DIM = 2_000, 24
FAILED = (0, 700, N_ROWS - 1)


@pytest.fixture
def without_faiss(monkeypatch) -> Callable[[], None]:
    """Make FAISS as good as not installed."""
    return lambda: monkeypatch.setitem(sys.modules, "faiss", None)


def clustered(seed: int, n_rows: int, dim: int = DIM, n_clusters: int = 60) -> F32:
    """Rows around centres of different lengths: (N, D)."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(n_clusters, dim)) * 2
    rows = centres[random.integers(0, n_clusters, n_rows)] + random.normal(size=(n_rows, dim))
    return rows.astype(np.float32)


@pytest.fixture
def queries() -> F32:
    """Queries that no store holds: (400, D)."""
    return clustered(1, 400)


@pytest.fixture
def store(tmp_path) -> Store:
    """One model over one data set of clustered embeddings, of which three pictures failed."""
    embeddings = clustered(0, N_ROWS)
    embeddings[list(FAILED)] = np.nan
    given = Given(embeddings, [i % 3 for i in range(N_ROWS)], ("cat", "dog", "cow"))
    return given_store(tmp_path / "store", {"data": given})
