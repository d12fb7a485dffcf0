"""Correspondence of 200 pairs of 4,096 points x 768, beside the two bare products that each needs.

Ours begins with stored float16 maps: sampling, matching, errors and chance are in it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedstore.correspondence.limits import protocol_of
from embedstore.correspondence.matching import Rules
from embedstore.correspondence.measuring import measure, stored_maps
from embedstore.correspondence.pairs import Pair, View
from embedstore.correspondence.sampling import unit_features
from embedstore.index.exact import nearest
from embedstore.testing.patched import even_sight, patched_store
from embedstore.transform import Transform

N_PAIRS, N_PICTURES, SIDE, CELLS, DIM = 200, 21, 64, 14, 768
PROBE = Path(__file__).with_name("correspondence_probe.py")
MIB = 2**20


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    """Maps that differ a little from one to the next."""
    random = np.random.default_rng(0)
    shape = (N_PICTURES, CELLS, CELLS, DIM)
    maps = random.standard_normal(shape[1:]) + 0.5 * random.standard_normal(shape)
    transform = Transform((224, 224), (224, 224))
    path = tmp_path_factory.mktemp("patches") / "s"
    return patched_store(path, maps, transform=transform).patches("model", "data")


@pytest.fixture(scope="module")
def pairs():
    """Every fourth pixel of 256 x 256; each picture beside the next."""
    views = [View(row, 4 * SIDE, 4 * SIDE, None, 4) for row in range(N_PICTURES)]
    steps = [(n % (N_PICTURES - 1), n % (N_PICTURES - 1) + 1) for n in range(N_PAIRS)]
    return [Pair(views[i], views[j], homography=np.eye(3)) for i, j in steps]


@pytest.fixture(scope="module")
def ready(patches):
    """Two pictures' features, as the products take them."""
    along = (np.arange(SIDE) + 0.5) * CELLS / SIDE - 0.5
    places = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    return [unit_features(stored_maps(patches)(row), places, "bilinear") for row in (0, 1)]


@pytest.mark.parametrize("mutual", [False, True])
def test_pairs_beside_their_products(beside, benchmark, patches, pairs, ready, mutual):
    sight = even_sight(Transform((224, 224), (224, 224)), (CELLS, CELLS))
    protocol, rules = protocol_of("homography", None), Rules(True, mutual, 1_000)

    def ours():
        maps = stored_maps(patches)
        return list(measure([pairs], "homography", maps, sight, protocol, rules))

    def products():
        a, b = ready
        for _ in range(N_PAIRS):
            _ = a @ b.T
            _ = b @ a.T

    beside(ours, rounds=2, products=products)
    judged = ours()
    assert not any(pair.excluded for pair in judged)
    assert sum(pair.correct[0] for pair in judged) > 100 * N_PAIRS


def test_matching_beside_faiss_both_ways(beside, benchmark, ready):
    """What one product saves: FAISS needs one a direction for the mutual check."""
    pytest.importorskip("faiss")
    from embedstore.correspondence.matching import match

    a, b = ready
    beside(
        lambda: match(a, b, Rules(True, True, 1_000)),
        rounds=15,
        both_ways=lambda: (nearest(a, [b], 2), nearest(b, [a], 1)),
        one_way=lambda: nearest(a, [b], 2),
        product=lambda: a @ b.T,
    )


def test_memory_of_many_points(benchmark):
    """The matrix of all scores of 32,768 points would be 4 GiB."""

    def grown(n_points):
        command = [sys.executable, str(PROBE), str(n_points)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / MIB

    sizes = {n: grown(n) for n in (4_096, 16_384)}
    sizes[32_768] = benchmark.pedantic(lambda: grown(32_768), rounds=1)
    benchmark.extra_info |= {f"MiB above {n} features": mib for n, mib in sizes.items()}
    assert sizes[32_768] < 64
