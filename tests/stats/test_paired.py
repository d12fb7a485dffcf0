"""Two models on the same samples: SciPy's binomial test, scikit-learn's kappa, published counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from embedstore.errors import EmbedStoreError
from embedstore.stats.paired import (
    PairedCounts,
    agreement,
    error_consistency,
    mcnemar,
    paired_counts,
)


@settings(deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_scipys_binomial_test(a, b) -> None:
    expected = binomtest(a, a + b, 0.5).pvalue if a + b else 1.0
    assert mcnemar(a, b) == pytest.approx(expected, rel=1e-8)


def test_mcnemar_of_llava_and_its_encoder() -> None:
    p = mcnemar([81, 80], [88, 86])  # golden values: all pictures, those with conflict
    np.testing.assert_allclose(p, [0.6445, 0.6981], atol=5e-5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_counts_and_kappa_against_naive_ones(pairs) -> None:
    a, b = np.array(pairs).T
    counts = paired_counts(a, b)
    cells = [(True, True), (True, False), (False, True), (False, False)]
    assert counts == PairedCounts(*(pairs.count(cell) for cell in cells))
    assert counts.n_samples == len(pairs)
    kappa = error_consistency(counts)
    if a.all() == b.all() and a.any() == b.any() and a.all() == a.any():
        assert np.isnan(kappa)
    else:
        assert kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)


def test_independent_models_have_no_consistency_and_equal_ones_all() -> None:
    assert error_consistency(PairedCounts(36, 24, 24, 16)) == pytest.approx(0, abs=1e-12)
    assert error_consistency(PairedCounts(60, 0, 0, 40)) == 1
    assert error_consistency(PairedCounts(0, 50, 50, 0)) == pytest.approx(-1)
    assert np.isnan(error_consistency(PairedCounts(0, 0, 0, 0)))


def test_agreement() -> None:
    assert agreement([3, 1, 2, 2], [3, 2, 2, 1]) == 0.5
    assert np.isnan(agreement([], []))


def test_bad_input_is_refused() -> None:
    with pytest.raises(EmbedStoreError, match="compare them on the same ones"):
        paired_counts([True], [True, False])
    with pytest.raises(EmbedStoreError, match="leave out the null rows"):
        paired_counts([True, None], [True, False])
    with pytest.raises(EmbedStoreError, match="compare them on the same ones"):
        agreement([1], [1, 2])
    with pytest.raises(EmbedStoreError, match="give counts from 0"):
        mcnemar(-1, 2)
