"""Two models on the same samples: SciPy's binomial test, scikit-learn's kappa, published counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from embedstore.errors import EmbedStoreError
from embedstore.stats.paired import (
    PairedCounts,
    agreement,
    error_consistency,
    mcnemar,
    paired_counts,
    paired_difference,
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


def test_newcombes_published_interval() -> None:
    low, high = paired_difference(36, 12, 2, 0)  # Newcombe (1998), table II
    assert (low, high) == (pytest.approx(0.0569, abs=5e-5), pytest.approx(0.3404, abs=5e-5))


def naive_interval(e: int, f: int, g: int, h: int) -> tuple[float, float]:
    n = e + f + g + h
    first, second = (e + f) / n, (e + g) / n
    a, b = (proportion_confint(k, n, method="wilson") for k in (e + f, e + g))
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    covariance = e * h - f * g
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)
    phi = covariance / margins**0.5 if margins else 0.0

    def added(x: float, y: float) -> float:
        return max(x * x - 2 * phi * x * y + y * y, 0.0) ** 0.5

    below, above = added(first - a[0], b[1] - second), added(a[1] - first, second - b[0])
    return first - second - below, first - second + above


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 60)] * 4).filter(any))
def test_the_interval_against_a_naive_one_and_its_mirror_image(cells) -> None:
    e, f, g, h = cells
    low, high = paired_difference(e, f, g, h)
    assert (low, high) == pytest.approx(naive_interval(*cells), abs=1e-7)
    assert -1 - 1e-12 <= low <= (f - g) / sum(cells) <= high <= 1 + 1e-12
    mirrored = paired_difference(e, g, f, h)
    assert mirrored == (pytest.approx(-high, abs=1e-12), pytest.approx(-low, abs=1e-12))


@pytest.mark.parametrize(
    ("cells", "most"), [((0.5, 0.2, 0.1, 0.2), 0.97), ((0.85, 0.04, 0.01, 0.1), 0.999)]
)
def test_the_interval_holds_the_truth_as_often_as_it_says(cells, most) -> None:
    drawn = np.random.default_rng(0).multinomial(50, cells, 4000)
    low, high = paired_difference(*drawn.T)
    truth = cells[1] - cells[2]
    assert 0.94 < ((low <= truth) & (truth <= high)).mean() < most  # wide where few differ


def test_an_interval_of_no_sample_and_of_negative_counts() -> None:
    assert np.isnan(paired_difference(0, 0, 0, 0)).all()
    with pytest.raises(EmbedStoreError, match="give counts from 0"):
        paired_difference(5, -1, 0, 3)
