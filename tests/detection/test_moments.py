"""Streamed moments against NumPy and scikit-learn; whitening of what is singular."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage

from embedstore.detection.moments import (
    fourth_moment,
    ledoit_wolf,
    moments,
    shrunk,
    whitening,
)
from embedstore.errors import NonFiniteError


def blocks_of(x, labels, size):
    return [(x[i : i + size], labels[i : i + size]) for i in range(0, len(x), size)]


@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 25), st.integers(0, 10**6))
def test_any_blocks_give_the_moments_of_the_whole(n_samples, n_classes, size, seed):
    random = np.random.default_rng(seed)
    x = random.normal(3, 2, (n_samples, 4)).astype(np.float32)
    labels = random.integers(0, n_classes, n_samples)
    found = moments(blocks_of(x, labels, size), n_classes)
    classes, counts = np.unique(labels, return_counts=True)
    means = np.stack([x[labels == c].mean(axis=0, dtype=np.float64) for c in classes])
    centred = x - x.mean(axis=0, dtype=np.float64)
    inside = x - means[np.searchsorted(classes, labels)]
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.means, means, rtol=1e-12)
    np.testing.assert_allclose(found.scatter, centred.T @ centred, rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(found.within(), inside.T @ inside, rtol=1e-11, atol=1e-10)
    away = x - np.array([1.0, 2.0, 3.0, 4.0])
    about = found.about(np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(about, away.T @ away, rtol=1e-11, atol=1e-10)


def test_a_distant_mean_costs_no_digits():
    """Naive sums of squares would lose all of them: 1e5² beside 1e-3²."""
    random = np.random.default_rng(0)
    x = (1e5 + np.float32(2**-7) * random.integers(-4, 5, (500, 3))).astype(np.float32)
    found = moments(blocks_of(x, np.zeros(500, np.int64), 64), 1)
    np.testing.assert_allclose(found.scatter / 500, np.cov(x.T.astype(float), bias=True), rtol=1e-9)


def test_nan_and_infinity_are_refused():
    x = np.ones((4, 2), np.float32)
    for bad in (np.nan, np.inf):
        x[2, 1] = bad
        with pytest.raises(NonFiniteError, match="encode or import"), np.errstate(all="ignore"):
            moments([(x, np.zeros(4, np.int64))], 1)


@given(st.integers(2, 40), st.integers(2, 30), st.integers(0, 10**6))
def test_shrinkage_is_that_of_scikit_learn(n_samples, n_dims, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_samples, n_dims)) * random.uniform(0.1, 3, n_dims)
    covariance = x.T @ x / n_samples
    share = ledoit_wolf(covariance, n_samples, fourth_moment([x[:1], x[1:]]))
    assert share == pytest.approx(ledoit_wolf_shrinkage(x, assume_centered=True), abs=1e-9)


def test_a_multiple_of_the_identity_needs_no_shrinkage():
    assert ledoit_wolf(3 * np.eye(4), 100, 1e6) == 0.0


@pytest.mark.parametrize("n_samples", [6, 50])
def test_whitening_gives_the_pseudo_inverse(n_samples):
    x = np.random.default_rng(1).normal(size=(n_samples, 9))
    x[:, 4] = 0.25
    covariance = np.cov(x.T, bias=True)
    axes = whitening(covariance, float(np.trace(covariance)))
    assert axes.shape == (9, min(n_samples - 1, 8))
    np.testing.assert_allclose(axes @ axes.T, np.linalg.pinv(covariance), rtol=1e-8, atol=1e-8)


def test_a_constant_dimension_is_exactly_without_variance():
    x = np.random.default_rng(2).normal(size=(100, 3)).astype(np.float32)
    x[:, 1] = 0.1  # its float64 mean over 100 samples would be off by a rounding
    found = moments(blocks_of(x, np.arange(100) % 3, 7), 3)
    assert (found.scatter[1] == 0).all()
    assert (found.within()[1] == 0).all()


def test_shrunk_keeps_the_trace():
    covariance = np.diag([1.0, 2.0, 6.0])
    np.testing.assert_allclose(shrunk(covariance, 0.5), np.diag([2.0, 2.5, 4.5]))
