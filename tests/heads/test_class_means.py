"""Nearest class means: planted means are found, and logits are distances."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.errors import DatasetError, UnknownNameError
from embedstore.heads import fit_class_means
from embedstore.heads.class_means import class_means

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 6)).astype(np.float32)
LABELS = RANDOM.integers(0, 4, 50)
FRESH = RANDOM.normal(size=(30, 6)).astype(np.float32)


def test_planted_means_are_found():
    means = np.array([[8.0, 0, 0], [0, -8, 0], [0, 0, 8]])
    y = np.arange(300) % 3
    noise = RANDOM.normal(size=(150, 3))
    x = np.concatenate([means[y[:150]] + noise, means[y[:150]] - noise])  # means exactly planted
    head = fit_class_means(x, y, "abc", metric="euclidean")
    np.testing.assert_allclose(head.weights, 2 * means, atol=1e-5)
    np.testing.assert_allclose(head.bias, [-64, -64, -64], rtol=1e-5)
    assert (head.logits(x).argmax(1) == y).all()


def test_euclidean_logits_rank_by_distance():
    head = fit_class_means(X, LABELS, "abcd", metric="euclidean", scale=0.5)
    means = np.stack([X[c == LABELS].mean(0) for c in range(4)])
    distances = np.square(FRESH[:, None] - means[None]).sum(2)
    expected = -0.5 * (distances - np.square(FRESH).sum(1, keepdims=True))
    np.testing.assert_allclose(head.logits(FRESH), expected, rtol=1e-5, atol=1e-5)


def test_cosine_logits_are_cosines_with_the_mean_direction():
    head = fit_class_means(X, LABELS, "abcd", scale=7)
    directions = X / np.linalg.norm(X, axis=1, keepdims=True)
    for c in range(4):
        mean = directions[c == LABELS].mean(0)
        cosines = FRESH @ mean / np.linalg.norm(FRESH, axis=1) / np.linalg.norm(mean)
        np.testing.assert_allclose(head.logits(FRESH)[:, c], 7 * cosines, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_shards_add_up_and_absent_classes_are_left_out(metric):
    whole = fit_class_means(X, LABELS, "abcde", metric=metric)
    shards = [(LABELS[:20], X[:20]), (LABELS[20:], X[20:])]
    parts = class_means(shards, "abcde", metric, 1.0)
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-6)
    assert whole.class_ids == ("a", "b", "c", "d")


def test_one_class_is_refused():
    with pytest.raises(DatasetError, match="only one class"):
        fit_class_means(X, np.zeros(50, int), "abcd")


def test_an_unknown_metric_is_refused():
    with pytest.raises(UnknownNameError, match="unknown metric 'cosin'; choose one of: cosine"):
        fit_class_means(X, LABELS, "abcd", metric="cosin")
