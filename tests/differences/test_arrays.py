"""Arrays against a naive reference, in blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.differences import arrays
from embedstore.differences.arrays import compare_values
from embedstore.differences.datasets import DatasetDifference


def matched(rows_a, rows_b, touched) -> DatasetDifference:
    rows = np.asarray(rows_a), np.asarray(rows_b)
    return DatasetDifference("d", rows, touched, (), {}, same_classes=True, aligned=False)


@pytest.mark.parametrize("block_values", [1, 64, 2**22])
def test_a_gap_is_that_of_whole_arrays(monkeypatch, block_values):
    monkeypatch.setattr(arrays, "_BLOCK_VALUES", block_values)
    random = np.random.default_rng(0)
    a = random.normal(size=(50, 6)).astype(np.float16)
    b = random.normal(size=(40, 6)).astype(np.float16)
    rows_a, rows_b = random.permutation(50)[:30], random.permutation(40)[:30]
    a[rows_a[4]] = b[rows_b[9]] = np.nan
    a[rows_a[5]] = b[rows_b[5]] = np.nan
    touched = random.random(30) < 0.3
    gap = compare_values((a, b), matched(rows_a, rows_b, touched))

    x, y = a[rows_a].astype(np.float64), b[rows_b].astype(np.float64)
    apart = np.abs(x - y).max(axis=1)
    cosine = (x * y).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert gap.largest == np.nanmax(apart)
    assert gap.distance == pytest.approx(1 - np.nanmin(cosine), abs=1e-12)
    assert gap.untouched == np.nanmax(apart[~touched])
    assert gap.n_lone == 2


def test_equal_rows_have_no_distance_and_zeros_no_direction():
    a = np.array([[0.1, 0.7], [0.0, 0.0], [3.0, 4.0]], np.float16)
    rows = range(3)
    gap = compare_values((a, a.copy()), matched(rows, rows, np.zeros(3, bool)))
    assert (gap.largest, gap.distance, gap.n_lone, gap.untouched) == (0.0, 0.0, 0, 0.0)
    b = a.copy()
    b[1] = [1.0, 0.0]
    assert compare_values((a, b), matched(rows, rows, np.zeros(3, bool))).largest == 1.0


def test_unequal_columns_are_not_compared():
    a, b = np.zeros((3, 2)), np.zeros((3, 4))
    assert compare_values((a, b), matched(range(3), range(3), np.zeros(3, bool))) is None
