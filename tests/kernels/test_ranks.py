"""Kernels of ranks, compiled and as Python, against enumeration."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from embedstore.kernels import ranks

KERNELS = ("count_in_tile", "first_of_ties")


@pytest.fixture(params=["compiled", "python"])
def kernels(request, monkeypatch):
    """The kernels, and again without the compiler, which checks bounds."""
    if request.param == "compiled":
        return ranks
    functions: dict[str, Any] = {n: getattr(ranks, n).py_func for n in (*KERNELS, "count_from")}
    monkeypatch.setattr(ranks, "count_from", functions["count_from"])
    return type("Kernels", (), {n: staticmethod(f) for n, f in functions.items()})


def test_a_tile_counts_its_part_and_leaves_padding_alone(kernels):
    random = np.random.default_rng(0)
    scores = random.integers(0, 4, (5, 8)).astype(np.float32)  # 3 rows and 6 columns count
    own = random.integers(0, 4, 20).astype(np.float32)
    owned = np.array([4, 4, 7, 9])  # of rows: none, three and two of the 20 columns
    in_row, in_column = np.ones((2, 20), np.int64), np.full((2, 6), 2, np.int32)
    kernels.count_in_tile(scores, 10, owned, own, in_row, in_column)
    expected_row, expected_column = np.ones((2, 20), int), np.full((2, 6), 2)
    for i, columns in enumerate([[], [4, 5, 6], [7, 8]]):
        for m in columns:
            expected_row[:, m] += (scores[i, :6] > own[m]).sum(), (scores[i, :6] >= own[m]).sum()
    for j in range(6):
        limit = own[10 + j]
        expected_column[:, j] += (scores[:3, j] > limit).sum(), (scores[:3, j] >= limit).sum()
    np.testing.assert_array_equal(in_row, expected_row)
    np.testing.assert_array_equal(in_column, expected_column)


@pytest.mark.parametrize(
    ("before", "positives", "others"), [(0, 1, 0), (3, 1, 0), (0, 1, 3), (2, 2, 3), (1, 3, 1)]
)
def test_the_first_of_ties_is_the_mean_over_all_orders(kernels, before, positives, others):
    ks = np.array([1, 2, 3, 5, 9])
    within, reciprocal = np.full((5, 1), np.nan), np.full(1, np.nan)
    counts = [np.array([n]) for n in (before, positives, others)]
    kernels.first_of_ties(*counts, ks, within, reciprocal)
    orders = list(permutations([True] * positives + [False] * others))
    firsts = [before + order.index(True) + 1 for order in orders]
    for k, found in zip(ks, within[:, 0], strict=True):
        assert found == pytest.approx(sum(r <= k for r in firsts) / len(orders), abs=1e-15)
    mean = sum(Fraction(1, r) for r in firsts) / len(orders)
    assert reciprocal[0] == pytest.approx(float(mean), rel=1e-14)


def test_what_is_certain_is_exactly_so():
    counts = [np.array(n) for n in ([0, 4, 7], [1, 3, 1], [9_999, 20, 0])]
    within, reciprocal = np.empty((2, 3)), np.empty(3)
    ranks.first_of_ties(*counts, np.array([4, 10_000]), within, reciprocal)
    assert within[0].tolist() == [pytest.approx(4e-4, rel=1e-12), 0, 0]
    assert within[1].tolist() == [1, 1, 1]
    assert reciprocal[0] == pytest.approx((1 / np.arange(1, 10_001)).mean(), rel=1e-12)
    assert reciprocal[2] == 1 / 8
