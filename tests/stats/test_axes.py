"""Scales: SciPy's quantiles, round trips, clipping that is reported."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import logistic, norm

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.stats.axes import AXES, from_axis, to_axis

INSIDE = [0.001, 0.25, 0.5, 0.9, 0.999]


@pytest.mark.parametrize(("axis", "oracle"), [("probit", norm), ("logit", logistic)])
def test_positions_are_scipys_quantiles(axis, oracle) -> None:
    positions, clipped = to_axis(INSIDE, axis)
    np.testing.assert_allclose(positions, oracle.ppf(INSIDE), rtol=1e-12, atol=1e-15)
    assert not clipped.any()


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1), st.sampled_from(AXES))
def test_there_and_back(values, axis) -> None:
    np.testing.assert_allclose(from_axis(to_axis(values, axis)[0], axis), values, rtol=1e-9)


def test_what_is_nearer_than_half_a_sample_is_clipped_and_said_so() -> None:
    values, n = [0.0, 1.0, 0.04, 0.05, 0.5, np.nan], [10, 100, 10, 10, 10, 10]
    positions, clipped = to_axis(values, "probit", n_samples=n)
    expected = norm.ppf([0.05, 0.995, 0.05, 0.05, 0.5])
    np.testing.assert_allclose(positions[:5], expected, rtol=1e-12)
    assert np.isnan(positions[5])
    assert clipped.tolist() == [True, True, True, False, False, False]


def test_the_linear_scale_takes_any_number_as_it_is() -> None:
    positions, clipped = to_axis([-3.0, 0.0, 1.0, 250.0], "linear", n_samples=10)
    assert positions.tolist() == [-3.0, 0.0, 1.0, 250.0]
    assert not clipped.any()


@pytest.mark.parametrize("axis", ["probit", "logit"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_ends_of_unknown_size_are_refused(axis, value) -> None:
    with pytest.raises(EmbedStoreError, match="infinity.*give the number of samples"):
        to_axis([0.5, value], axis)


@pytest.mark.parametrize("value", [-0.1, 1.5, 76.7, np.inf])
def test_what_is_no_proportion_is_refused(value) -> None:
    with pytest.raises(EmbedStoreError, match="is not a proportion; give values from 0 to 1"):
        to_axis([0.5, value], "probit", n_samples=10)


def test_no_sample_and_no_axis() -> None:
    with pytest.raises(EmbedStoreError, match="leave out what has no sample"):
        to_axis([0.5], "probit", n_samples=0)
    with pytest.raises(UnknownNameError, match="choose one of: linear, logit, probit"):
        to_axis([0.5], "log")
