"""Kernels of matches, compiled and as Python, against whole matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embedstore.kernels import matches

KERNELS = ("two_best_of_rows", "best_of_columns", "cosine_distances", "count_within")


@pytest.fixture(params=["compiled", "python"])
def kernels(request):
    """The kernels, and again without the compiler, which checks bounds."""
    if request.param == "compiled":
        return matches
    functions: dict[str, Any] = {n: getattr(matches, n).py_func for n in KERNELS}
    return type("Kernels", (), {n: staticmethod(f) for n, f in functions.items()})


def test_the_two_best_of_rows_tile_by_tile(kernels):
    """Small whole numbers tie: the first column wins. Columns beyond the last are padding."""
    scores = np.random.default_rng(0).integers(0, 5, (6, 11)).astype(np.float32)
    best, places = np.full((6, 2), -np.inf, np.float32), np.zeros((6, 2), np.int32)
    for column in (0, 4, 8):
        tile = np.full((7, 4), 9, np.float32)
        width = min(4, 11 - column)
        tile[:6, :width] = scores[:, column : column + width]
        kernels.two_best_of_rows(tile, width, column, best, places)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(best, np.take_along_axis(scores, order, axis=1))


def test_the_best_of_columns(kernels):
    scores = np.random.default_rng(1).integers(0, 4, (6, 8)).astype(np.float32)
    scores[:, 7] = -np.inf
    best, places = np.empty(7, np.float32), np.empty(7, np.int32)
    kernels.best_of_columns(scores, 5, 20, best, places)  # of 5 rows, the last is padding
    np.testing.assert_array_equal(best, scores[:5, :7].max(axis=0))
    np.testing.assert_array_equal(places, 20 + scores[:5, :7].argmax(axis=0))


def test_distances_are_of_the_directions(kernels):
    random = np.random.default_rng(2)
    a, b = (random.normal(size=(n, 12)) for n in (5, 4))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    b[1], a[3], b[3] = a[0], 0, 0
    a, b = a.astype(np.float32), b.astype(np.float32)
    places = np.array([[1, 0], [2, 3], [0, 1], [0, 3], [3, 2]], np.int32)
    out = np.full((5, 2), np.nan)
    kernels.cosine_distances(a, b, places, out, 0, 5)
    expected = 1 - np.einsum("nd,nkd->nk", a.astype(float), b[places].astype(float))
    np.testing.assert_allclose(out, expected, atol=2e-7)
    assert out[0, 0] == 0  # equal
    assert out[3, 1] == out[1, 1] == 1  # of no direction


@pytest.mark.parametrize("n_coordinates", [2, 3])
def test_counts_within_are_strict_and_nothing_is_near_nan(kernels, n_coordinates):
    random = np.random.default_rng(3)
    centres = random.integers(0, 6, (9, n_coordinates)).astype(float)
    places = random.integers(0, 6, (40, n_coordinates)).astype(float)
    centres[4] = np.nan
    limits = np.array([1.0, 4.0, 9.0])  # reached exactly by whole numbers
    counts = np.full((9, 3), -1)
    kernels.count_within(centres, np.ascontiguousarray(places.T), limits, counts, 1, 9)
    squares = np.square(centres[:, None] - places[None]).sum(axis=2)
    expected = (squares[:, :, None] < limits).sum(axis=1)
    np.testing.assert_array_equal(counts[1:], expected[1:])
    assert (counts[0] == -1).all()
    assert (counts[4] == 0).all()
    assert (squares == 4).any()
