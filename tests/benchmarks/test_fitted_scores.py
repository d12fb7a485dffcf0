"""Scores fitted to embeddings, beside FAISS and bare products, and the memory that fitting takes.

Each timing is taken in turns with its reference; the ratio is of the medians. Memory is what the
process holds of its own: pages of the store's files are mapped, and the system drops them at need.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from embedstore.detection.distance_scores import mahalanobis
from embedstore.detection.moments import moments
from embedstore.detection.neighbour_scores import knn
from embedstore.detection.subject import Part, Subject
from embedstore.heads.head import unit
from embedstore.index.exact import QUERY_ROWS
from embedstore.testing.stores import random_store

PROBE = Path(__file__).with_name("fit_probe.py")
MIB = 2**20
SMALL, LARGE, IMAGENET = 16_384, 65_536, 1_281_167
FITTED = ("mahalanobis", "relative-mahalanobis", "residual", "vim")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("fitted") / "s"
    return random_store(path, n_samples=50_000, n_classes=1_000, dim=512, block_rows=8_192)


@pytest.fixture(scope="module")
def subject(store):
    return Subject(store, "model", "own", "data", Part("data"))


def test_neighbours_beside_faiss(beside, store, subject):
    """A third of 50,000 queries: one of the blocks that the score is given."""
    faiss = pytest.importorskip("faiss")
    reference = unit(np.asarray(store.embeddings("model", "data")).astype(np.float32))
    queries = reference[:QUERY_ROWS]
    block = next(subject.blocks(Part("data"), QUERY_ROWS))
    scorer = knn(subject)
    kind = faiss.METRIC_INNER_PRODUCT
    beside(
        lambda: scorer(block),
        rounds=3,
        faiss=lambda: faiss.knn(queries, reference, scorer.k, metric=kind),
    )


def test_moments_beside_their_product(beside, subject):
    blocks = [(b.embeddings, b.labels) for b in subject.blocks(Part("data"))]
    wide = [x.astype(np.float64) for x, _ in blocks]
    beside(lambda: moments(blocks, 1_000), rounds=5, product=lambda: [x.T @ x for x in wide])


def test_distances_beside_their_products(beside, subject):
    block = next(subject.blocks(Part("data")))
    scorer = mahalanobis(subject)
    x = block.embeddings.astype(np.float64)
    axes, means = scorer.classes.axes, scorer.classes.means.T.copy()
    beside(lambda: scorer(block), rounds=9, products=lambda: (x @ axes) @ means)


def own_memory(*arguments: object) -> int:
    """Run the probe and return the peak of its anonymous memory, bytes."""
    process = psutil.Popen([sys.executable, str(PROBE), *map(str, arguments)])
    status, highest = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        lines = status.read_text().splitlines()
        kib = [int(line.split()[1]) for line in lines if line.startswith("RssAnon")]
        highest = max([highest, *(1024 * n for n in kib)])
        time.sleep(0.01)
    assert process.returncode == 0
    return highest


def test_memory_is_flat_in_n(benchmark, tmp_path):
    peaks = {}
    for n_samples in (SMALL, LARGE):
        path = tmp_path / str(n_samples)
        subprocess.run([sys.executable, "-c", MAKE, path, str(n_samples)], check=True)
        bare = own_memory(path)
        peaks[n_samples] = max(own_memory(path, name) for name in FITTED)
        benchmark.extra_info[f"bare_mib_at_{n_samples}"] = bare / MIB
        benchmark.extra_info[f"mib_at_{n_samples}"] = peaks[n_samples] / MIB
    slope = (peaks[LARGE] - peaks[SMALL]) / (LARGE - SMALL)
    expected = peaks[LARGE] + max(slope, 0) * (IMAGENET - LARGE)
    benchmark.extra_info["mib_expected_at_imagenet"] = expected / MIB
    benchmark.pedantic(own_memory, args=(tmp_path / str(LARGE), "vim"), rounds=1)


MAKE = """
import sys
from pathlib import Path
from embedstore.testing.stores import random_store
random_store(
    Path(sys.argv[1]), n_samples=int(sys.argv[2]), n_classes=1_000, dim=1_024, block_rows=8_192
)
"""
