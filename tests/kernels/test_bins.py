from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.kernels.bins import error_interval, in_bins


def sample(n, seed=0, power=1.5):
    """Confidences and hits of a model that is right with probability confidence ** power."""
    random = np.random.default_rng(seed)
    confidence = random.beta(4, 1.5, n)
    return confidence, random.random(n) < confidence**power


def naive(confidence, correct, n_bins):
    """The definition, a bin at a time: gaps and weights of bins (lo, hi] that hold samples."""
    gaps, weights = [], []
    for b in range(n_bins):
        low, high = b / n_bins, (b + 1) / n_bins
        inside = [
            i
            for i, c in enumerate(confidence)
            if (low < c <= high) or (b == 0 and c == 0) or (b == n_bins - 1 and c > 1)
        ]
        if inside:
            accuracy = sum(bool(correct[i]) for i in inside) / len(inside)
            gaps.append(abs(accuracy - sum(float(confidence[i]) for i in inside) / len(inside)))
            weights.append(len(inside) / len(confidence))
    return np.array(gaps), np.array(weights)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1.001), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_equal_width_bins_follow_the_definition(samples, n_bins):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    bins = in_bins(confidence, correct, n_bins)
    gaps, weights = naive(confidence, correct, n_bins)
    assert bins.counts.sum() == len(samples)
    assert bins.expected_calibration_error == pytest.approx(gaps @ weights, abs=1e-12)
    assert bins.max_calibration_error == pytest.approx(gaps.max(), abs=1e-12)


def test_edges_belong_to_the_bin_below_and_zero_to_the_first():
    bins = in_bins(np.array([0.0, 0.25, 0.5, 0.500001, 1.0, 1.0009]), np.ones(6, bool), 4)
    np.testing.assert_array_equal(bins.counts, [2, 1, 1, 2])
    np.testing.assert_array_equal(bins.low, [0, 0.25, 0.5, 0.75])


@pytest.mark.parametrize("wrong", [1.0011, -0.001, np.nan, 87.0])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(EmbedStoreError, match=r"of entry 1 is no probability; give numbers"):
        in_bins(np.array([0.5, wrong]), np.ones(2, bool), 15)
    with pytest.raises(EmbedStoreError, match="n_bins is 0; give at least 1"):
        in_bins(np.array([0.5]), np.ones(1, bool), 0)


def test_equal_mass_bins_are_those_of_a_stable_sort_and_array_split():
    random = np.random.default_rng(3)
    confidence, correct = random.integers(0, 9, 101) / 8, random.random(101) < 0.5  # many ties
    bins = in_bins(confidence, correct, 7, "equal-mass")
    parts = np.array_split(np.argsort(confidence, kind="stable"), 7)
    np.testing.assert_array_equal(bins.counts, [len(p) for p in parts])
    np.testing.assert_array_equal(bins.hits, [correct[p].sum() for p in parts])
    np.testing.assert_allclose(bins.confidence, [confidence[p].sum() for p in parts])
    np.testing.assert_array_equal(bins.high, [confidence[p].max() for p in parts])


def test_fewer_samples_than_bins_of_equal_mass_leave_some_empty():
    bins = in_bins(np.array([0.9, 0.2]), np.array([True, False]), 5, "equal-mass")
    np.testing.assert_array_equal(bins.counts, [1, 1, 0, 0, 0])
    assert np.isnan(bins.low[2:]).all()
    assert bins.expected_calibration_error == pytest.approx(0.15)


def test_no_sample_and_one_sample():
    none = in_bins(np.zeros(0), np.zeros(0, bool), 15)
    assert np.isnan(none.expected_calibration_error)
    assert np.isnan(none.max_calibration_error)
    assert np.isnan(none.debiased_calibration_error)
    assert np.isnan(error_interval(none)).all()
    one = in_bins(np.array([0.7]), np.array([True]), 15)
    assert one.expected_calibration_error == pytest.approx(0.3)
    assert one.debiased_calibration_error == 0.0  # a bin of one sample has no variance to take off
    assert np.isnan(error_interval(one)).all()


def test_the_debiased_error_is_that_of_the_formula():
    confidence, correct = sample(400)
    bins, total = in_bins(confidence, correct, 15), 0.0
    place = np.ceil(confidence * 15) - 1
    for b in range(15):
        c, y = confidence[place == b], correct[place == b].astype(float)
        if len(c) > 1:
            total += len(c) / 400 * ((y.mean() - c.mean()) ** 2 - y.var(ddof=1) / len(c))
    assert bins.debiased_calibration_error == pytest.approx(max(total, 0) ** 0.5, abs=1e-12)


def test_the_debiased_square_has_no_bias_where_the_plain_one_has():
    plain, debiased = [], []
    for seed in range(300):
        bins = in_bins(*sample(200, seed, power=1.0), 15)  # perfectly calibrated
        filled = bins.counts > 1
        n, accuracy = bins.counts[filled], bins.hits[filled] / bins.counts[filled]
        squares = bins.gaps[filled] ** 2
        plain.append((n * squares).sum() / 200)
        debiased.append((n * (squares - accuracy * (1 - accuracy) / (n - 1))).sum() / 200)
    assert np.mean(plain) > 10 * abs(np.mean(debiased))


def test_the_interval_holds_the_true_error_as_often_as_it_says():
    """Within bins of equal mean confidence the true error is known: |0.9 - 0.8| everywhere."""
    random, held = np.random.default_rng(0), 0
    for seed in range(300):
        correct = random.random(1000) < 0.8
        low, high = error_interval(in_bins(np.full(1000, 0.9), correct, 15), seed=seed)
        held += low <= 0.1 <= high
    assert held / 300 == pytest.approx(0.95, abs=0.035)


def test_the_interval_of_a_calibrated_model_is_lower_than_its_biased_estimate():
    confidence, correct = sample(300, power=1.0)
    bins = in_bins(confidence, correct, 15)
    low, high = error_interval(bins)
    assert low == 0.0  # perfectly calibrated, as it is
    assert error_interval(bins) == (low, high)
    assert error_interval(bins, seed=1) != (low, high)
