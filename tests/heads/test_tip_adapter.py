"""Tip-Adapter beside the paper's formula, and on planted classes that texts do not tell apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.heads import Head, unit
from embedstore.heads.head import _AFFINITIES
from embedstore.heads.tip_adapter import build_cache, search_cache

RANDOM = np.random.default_rng(0)


def naive(x, weights, scale, keys, classes, alpha, beta):
    """In float64, as the paper writes it."""
    f = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    k = keys.astype(np.float64) / np.linalg.norm(keys.astype(np.float64), axis=1, keepdims=True)
    values = np.eye(len(weights))[classes]
    return scale * f @ weights.T.astype(np.float64) + alpha * np.exp(-beta * (1 - f @ k.T)) @ values


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
    st.floats(0, 5),
    st.floats(0, 10),
    st.integers(0, 99),
)
def test_logits_are_those_of_the_paper(classes, alpha, beta, seed):
    random = np.random.default_rng(seed)
    keys = random.normal(size=(len(classes), 6)).astype(np.float16).astype(np.float32)
    weights = unit(random.normal(size=(5, 6)).astype(np.float32))
    x = random.normal(size=(9, 6)).astype(np.float16)
    cache = build_cache(keys, np.array(classes), alpha, beta)
    head = Head(tuple("abcde"), weights, scale=4.0, normalize=True, cache=cache)
    expected = naive(x, weights, 4.0, keys, classes, alpha, beta)
    np.testing.assert_allclose(head.logits(x), expected, rtol=2e-5, atol=2e-5)


def test_many_keys_are_met_a_few_samples_at_a_time():
    n_keys = _AFFINITIES // 3 + 1  # three samples at once
    keys = RANDOM.normal(size=(n_keys, 2)).astype(np.float32)
    classes = np.sort(RANDOM.integers(0, 3, n_keys))
    x = RANDOM.normal(size=(8, 2)).astype(np.float32)
    cache = build_cache(keys, classes, 1e-4, 2.0)
    weights = np.zeros((3, 2), np.float32)
    head = Head(tuple("abc"), weights, normalize=True, cache=cache)
    expected = naive(x, weights, 1.0, keys, classes, 1e-4, 2.0)
    np.testing.assert_allclose(head.logits(x), expected, rtol=1e-4)
    one_by_one = np.concatenate([head.logits(row[None]) for row in x])
    np.testing.assert_allclose(head.logits(x), one_by_one, rtol=1e-5)


def test_nothing_of_the_cache_is_the_head_below():
    weights = unit(RANDOM.normal(size=(3, 4)).astype(np.float32))
    x = RANDOM.normal(size=(5, 4)).astype(np.float32)
    cache = build_cache(x, np.array([2, 0, 1, 1, 2]), 0.0, 5.5)
    plain = Head(tuple("abc"), weights, np.float32([1, 2, 3]), 3.0)
    with_cache = Head(tuple("abc"), weights, np.float32([1, 2, 3]), 3.0, cache=cache)
    np.testing.assert_array_equal(with_cache.logits(x), plain.logits(x))
    assert (plain.linear, with_cache.linear, with_cache.native) == (True, False, False)


def test_a_failed_picture_stays_nan_and_spoils_no_other():
    x = RANDOM.normal(size=(4, 3)).astype(np.float32)
    cache = build_cache(x.copy(), np.array([0, 1, 1, 0]), 1.0, 1.0)
    head = Head(("a", "b"), np.zeros((2, 3), np.float32), normalize=True, cache=cache)
    expected = head.logits(x)
    x[1] = np.nan
    found = head.logits(x)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2, 3]], expected[[0, 2, 3]], rtol=1e-6)


def planted(n: int):
    """Two classes that no text tells apart, told apart by the second dimension."""
    y = np.arange(n) % 2
    x = np.stack([np.ones(n), 2.0 * y - 1, 0.1 * RANDOM.normal(size=n)], axis=1)
    return x.astype(np.float32), y


def test_a_cache_tells_apart_what_texts_do_not():
    weights = np.float32([[1, 0.1, 0], [1, 0, 0]])  # says class 0 more often where it is 1
    below = Head(("a", "b"), weights, scale=5.0, normalize=True)
    keys, key_classes = planted(8)
    x, y = planted(100)
    assert (below.logits(x).argmax(1) == y).mean() < 0.1
    empty = build_cache(keys, key_classes, 0.0, 0.0)
    alpha, beta, accuracy = search_cache(below, empty, (x, y), (0.0, 0.05, 1.0, 2.0), (0.01, 5.0))
    assert (alpha, beta, accuracy) == (1.0, 5.0, 1.0)  # the first beta, then alpha, that suffice
    head = replace(below, cache=build_cache(keys, key_classes, alpha, beta))
    assert (head.logits(x).argmax(1) == y).all()


def test_the_searched_accuracy_is_that_of_the_head_it_makes():
    weights = unit(RANDOM.normal(size=(4, 5)).astype(np.float32))
    below = Head(tuple("abcd"), weights, scale=10.0, normalize=True)
    keys, classes = RANDOM.normal(size=(12, 5)).astype(np.float32), np.arange(12) % 3
    x, y = RANDOM.normal(size=(700, 5)).astype(np.float32), RANDOM.integers(0, 3, 700)
    empty = build_cache(keys, classes, 0.0, 0.0)
    alphas, betas = (0.5, 3.0, 9.0), (1.0, 4.0)
    alpha, beta, accuracy = search_cache(below, empty, (x, y), alphas, betas)
    scores = {}
    for b in betas:
        for a in alphas:
            logits = naive(x, weights, 10.0, keys, classes, a, b)[:, :3]  # "d" has no key
            scores[a, b] = (logits.argmax(1) == y).mean()
    assert accuracy == pytest.approx(max(scores.values()), abs=2e-3)  # near ties of float32
    assert scores[alpha, beta] == pytest.approx(accuracy, abs=2e-3)
