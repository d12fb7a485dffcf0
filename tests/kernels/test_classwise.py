from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from embedstore.kernels.bins import in_bins
from embedstore.kernels.classwise import classwise_error, classwise_gaps


@pytest.fixture
def drawn():
    random = np.random.default_rng(0)
    return 3 * random.standard_normal((500, 7), dtype=np.float32), random.integers(0, 6, 500)


def naive(logits, labels, n_bins):
    """Each class against the rest, in float64."""
    p = softmax(logits.astype(np.float64), axis=1)
    errors = [
        in_bins(p[:, k], labels == k, n_bins).expected_calibration_error for k in range(p.shape[1])
    ]
    return np.mean(errors)


@pytest.mark.parametrize("n_bins", [1, 10, 15])
def test_is_the_mean_over_classes_of_one_against_the_rest(drawn, n_bins):
    logits, labels = drawn  # no sample is of the last class: it counts all the same
    gaps = classwise_gaps(logits, labels, n_bins)
    assert classwise_error(gaps, 500) == pytest.approx(naive(logits, labels, n_bins), abs=1e-6)


def test_parts_add_up(drawn):
    logits, labels = drawn
    parts = classwise_gaps(logits[:200], labels[:200], 15) + classwise_gaps(
        np.asfortranarray(logits[200:]), labels[200:], 15
    )
    np.testing.assert_allclose(parts, classwise_gaps(logits, labels, 15), atol=1e-9)


def test_one_class_one_hot_and_none():
    one = classwise_gaps(np.ones((3, 1), np.float32), np.zeros(3, np.int64), 15)
    assert classwise_error(one, 3) == 0.0
    certain = np.array([[0, -500], [0, -500]], np.float32)  # beyond float32's exponential
    gaps = classwise_gaps(certain, np.array([0, 1]), 15)
    assert classwise_error(gaps, 2) == pytest.approx(0.5)
    assert np.isnan(classwise_error(np.zeros((2, 15)), 0))
