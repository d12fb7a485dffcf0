"""Exact neighbours: whole matrices as a reference, ties, failed rows, refusals; with and without
FAISS."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError, MissingExtraError, NonFiniteError, UnknownNameError
from embedstore.index import exact, library, rows
from embedstore.index.exact import Neighbours, nearest, others


@pytest.fixture(params=["faiss", "numpy"])
def either(request, without_faiss):
    """Run a test with FAISS and without it."""
    if request.param == "numpy":
        without_faiss()
    assert library.installed() == (request.param == "faiss")
    return request.param


def scored(queries, x, metric, *, normalize=False):
    """Scores of all pairs in float64, less being nearer, NaN rows infinitely far: (Q, N)."""
    queries, x = queries.astype(np.float64), x.astype(np.float64)
    if normalize:
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    distances = np.square(queries[:, None] - x[None]).sum(axis=2)
    keys = -queries @ x.T if metric == "ip" else distances
    return np.where(np.isnan(keys), np.inf, keys)


def sorted_rows(keys, k):
    return np.argsort(keys, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("normalize", [False, True])
def test_scores_and_rows_are_those_of_the_whole_matrix(either, metric, normalize):
    random = np.random.default_rng(0)
    queries = random.normal(size=(70, 16)).astype(np.float32)
    x = random.normal(size=(900, 16)).astype(np.float16)
    x[[0, 5, 899]] = np.nan
    found = nearest(queries, np.array_split(x, 7), 25, metric=metric, normalize=normalize)
    keys = scored(queries, x, metric, normalize=normalize)
    np.testing.assert_array_equal(found.rows, sorted_rows(keys, 25))
    expected = np.sort(keys, axis=1)[:, :25] * (-1 if metric == "ip" else 1)
    np.testing.assert_allclose(found.scores, expected, atol=2e-5)
    assert (found.scores.dtype, found.rows.dtype) == (np.float32, np.int64)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), metric=st.sampled_from(["ip", "l2"]), data=st.data())
def test_of_equal_scores_the_lower_row_is_nearer_in_both(seed, metric, data):
    """Small whole numbers: arithmetic is exact, and nearly everything ties."""
    random = np.random.default_rng(seed)
    dim, n_rows = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 60))
    queries = random.integers(-2, 3, (5, dim)).astype(np.float32)
    x = random.integers(-2, 3, (n_rows, dim)).astype(np.float16)
    x[random.random(n_rows) < 0.1] = np.nan
    n_valid = int((~np.isnan(x[:, 0])).sum())
    x[0] = 1 if n_valid == 0 else x[0]
    k = data.draw(st.integers(1, max(1, n_valid)))
    blocks = np.array_split(x, data.draw(st.integers(1, 5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "GATHERED_BYTES", 4 * dim * data.draw(st.integers(1, 70)))
        patch.setattr(exact, "TILE_ROWS", data.draw(st.integers(1, 70)))
        patch.setattr(exact, "QUERY_ROWS", data.draw(st.integers(1, 6)))
        with_faiss = nearest(queries, blocks, k, metric=metric)
        patch.setattr(library, "installed", lambda: False)
        without = nearest(queries, blocks, k, metric=metric)
    expected = sorted_rows(scored(queries, x, metric), k)
    for found in (with_faiss, without):
        np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_array_equal(with_faiss.scores, without.scores)


def test_a_thousand_copies_of_one_row(either):
    """FAISS alone takes any of them."""
    x = np.ones((3_000, 8), np.float16)
    found = nearest(x[:30].astype(np.float32), np.array_split(x, 3), 150, normalize=True)
    np.testing.assert_array_equal(found.rows, np.tile(np.arange(150), (30, 1)))


def test_float16_and_float32_blocks_may_be_mixed_and_views(either):
    random = np.random.default_rng(2)
    wide = random.normal(size=(120, 12)).astype(np.float16)
    queries = wide[:9].astype(np.float32)
    expected = nearest(queries, [wide], 4)
    blocks = [wide[:50], wide[50:80].astype(np.float32), np.asfortranarray(wide)[80:], wide[:0]]
    found = nearest(wide[:9], blocks, 4)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_blocks_are_read_once_one_at_a_time_and_left_alone(either):
    x = np.random.default_rng(3).normal(size=(64, 4)).astype(np.float16)
    x.flags.writeable = False
    seen = []

    def blocks():
        for start in range(0, 64, 16):
            seen.append(start)
            yield x[start : start + 16]

    nearest(x[:2], blocks(), 3, normalize=True)
    assert seen == [0, 16, 32, 48]


def test_a_row_of_zeros_stays_under_normalisation(either):
    x = np.array([[0, 0], [3, 4]], np.float16)
    found = nearest(np.array([[6, 8], [0, 0]], np.float32), [x], 2, normalize=True)
    np.testing.assert_array_equal(found.rows, [[1, 0], [0, 1]])
    np.testing.assert_allclose(found.scores, [[1, 0], [0, 0]], atol=1e-6)


def test_equal_rows_are_at_distance_zero_never_below(either):
    x = (100 * np.random.default_rng(4).normal(size=(500, 40))).astype(np.float32)
    found = nearest(x, [x], 1, metric="l2")
    assert (found.scores >= 0).all()
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(500))


@pytest.mark.parametrize(("k", "n_nan"), [(4, 0), (3, 1)])
def test_more_neighbours_than_rows_without_nan_are_refused(either, k, n_nan):
    x = np.ones((3, 2), np.float16)
    x[:n_nan] = np.nan
    with pytest.raises(EmbedStoreError, match=rf"k = {k} .*choose a k from 1 to {3 - n_nan}$"):
        nearest(np.ones((1, 2), np.float32), [x], k)


@pytest.mark.parametrize("k", [0, -1])
def test_less_than_one_neighbour_is_refused(either, k):
    with pytest.raises(EmbedStoreError, match=rf"k = {k} neighbours: choose a k from 1 on"):
        nearest(np.ones((1, 2), np.float32), [np.ones((3, 2), np.float16)], k)


@pytest.mark.parametrize("x", [np.full((3, 2), np.nan, np.float16), np.zeros((0, 2), np.float32)])
def test_an_empty_reference_is_refused(either, x):
    with pytest.raises(EmbedStoreError, match="there is nothing to search"):
        nearest(np.ones((1, 2), np.float32), [x], 1)


def test_no_blocks_at_all_and_no_queries(either):
    with pytest.raises(EmbedStoreError, match="there is nothing to search"):
        nearest(np.ones((1, 2), np.float32), [], 1)
    none = nearest(np.zeros((0, 2), np.float32), [np.ones((3, 2), np.float32)], 2)
    assert (none.scores.shape, none.rows.shape) == ((0, 2), (0, 2))


def test_bad_queries_and_rows_are_named(either):
    queries, x = np.ones((5, 2), np.float32), np.ones((9, 2), np.float16)
    queries[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match="query 3 holds NaN or infinity"):
        nearest(queries, [x], 1)
    x[7, 0] = np.inf
    with pytest.raises(NonFiniteError, match="row 7 holds infinity"):
        nearest(np.ones((1, 2), np.float32), [x[:4], x[4:]], 1)
    with pytest.raises(EmbedStoreError, match=r"float16 of shape \(9, 3\), the queries have 2"):
        nearest(np.ones((1, 2), np.float32), [np.ones((9, 3), np.float16)], 1)
    with pytest.raises(EmbedStoreError, match=r"queries are float64 of shape \(1, 2\)"):
        nearest(np.ones((1, 2)), [x], 1)
    with pytest.raises(UnknownNameError, match="unknown metric 'cosine'; choose one of: ip, l2"):
        nearest(np.ones((1, 2), np.float32), [x], 1, metric="cosine")


def test_leaving_each_querys_own_row_out():
    found = Neighbours(
        np.array([[3, 2, 1], [3, 2, 1]], np.float32), np.array([[5, 0, 2], [7, 8, 9]])
    )
    kept = others(found, np.array([0, 3]))
    np.testing.assert_array_equal(kept.rows, [[5, 2], [7, 8]])
    np.testing.assert_array_equal(kept.scores, [[3, 1], [3, 2]])


def test_the_import_names_its_install_line(without_faiss):
    without_faiss()
    with pytest.raises(MissingExtraError, match=r"pip install 'embedstore\[cpu\]' \(or \[gpu\]"):
        library.faiss()
