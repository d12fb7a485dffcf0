"""Correlations against SciPy, and what has none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from embedstore.errors import EmbedStoreError
from embedstore.stats.correlation import average_ranks, pearson, spearman

# few distinct values, so that ties are the rule
PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30)


@settings(deadline=None)
@given(PAIRS)
def test_ranks_and_correlations_are_scipys(pairs) -> None:
    x, y = np.array(pairs, float).T
    np.testing.assert_array_equal(average_ranks(x), rankdata(x))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(pearson(x, y))
        assert np.isnan(spearman(x, y))
    else:
        assert pearson(x, y) == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_any_rising_curve_has_ranks_in_order() -> None:
    x = np.arange(1.0, 9.0)
    assert spearman(x, np.exp(x)) == pytest.approx(1, abs=1e-15)
    assert spearman(x, -(x**3)) == pytest.approx(-1, abs=1e-15)
    assert 0 < pearson(x, np.exp(x)) < 0.9


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_does_not_matter(scale) -> None:
    x, y = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    assert pearson(scale * x, y) == pytest.approx(pearson(x, y), rel=1e-12)


def test_pairs_with_nan_are_left_out() -> None:
    x, y = [1, 2, np.nan, 4, 5.0], [2, 1, 7, np.nan, 3.0]
    assert spearman(x, y) == pytest.approx(0.5)
    assert pearson(x, y) == pytest.approx(pearsonr([1, 2, 5], [2, 1, 3]).statistic)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [2.0]), ([1.0, np.nan], [2.0, 3.0])])
def test_fewer_than_two_pairs_have_none(x, y) -> None:
    assert np.isnan(pearson(x, y))
    assert np.isnan(spearman(x, y))


def test_bad_columns_are_refused() -> None:
    with pytest.raises(EmbedStoreError, match="two columns of one length"):
        pearson([1, 2], [1, 2, 3])
    with pytest.raises(EmbedStoreError, match="infinite; leave it out"):
        spearman([1, np.inf], [1, 2])
