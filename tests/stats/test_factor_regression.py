"""What groups of columns explain, beside statsmodels and beside fits made one by one."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from embedstore.errors import EmbedStoreError
from embedstore.stats.bootstrap import percentile_interval, resample_counts
from embedstore.stats.factor_regression import effects, explain, huber_weights, independent

N = 80


@pytest.fixture
def drawn():
    """Three groups: a level of three, a size, and a size that hardly matters; two outliers."""
    random = np.random.default_rng(7)
    level = random.integers(0, 3, N)
    columns = np.column_stack([level == 1, level == 2, random.normal(size=(N, 2))]).astype(float)
    values = columns @ [0.5, -0.4, 1.0, 0.02] + 0.1 * random.standard_normal(N) + 3
    values[:2] += 2.0
    return columns, np.array([0, 0, 1, 2]), values


def weighted(columns, values, weights):
    return sm.WLS(values, sm.add_constant(columns), weights=weights).fit()


def test_weights_and_effects_are_those_of_statsmodels(drawn):
    columns, _, values = drawn
    fit = sm.RLM(values, sm.add_constant(columns), M=sm.robust.norms.HuberT(1.345)).fit()
    np.testing.assert_allclose(huber_weights(columns, values), fit.weights, atol=1e-8)
    found = effects(columns, values)
    np.testing.assert_allclose(found.effect, fit.params[1:], rtol=1e-8)
    np.testing.assert_allclose(np.stack([found.low, found.high], 1), fit.conf_int()[1:], rtol=1e-7)
    np.testing.assert_allclose(found.p_value, fit.pvalues[1:], rtol=1e-7, atol=1e-300)


def test_what_is_lost_without_each_group_beside_weighted_fits(drawn):
    columns, groups, values = drawn
    found = explain(columns, groups, values, n_resamples=50)
    whole = weighted(columns, values, found.weights)
    assert found.r2 == pytest.approx(whole.rsquared, abs=1e-8)
    for g in range(3):
        reduced = weighted(columns[:, groups != g], values, found.weights)
        assert found.drop[g] == pytest.approx(whole.rsquared - reduced.rsquared, abs=1e-8)
        assert found.p_value[g] == pytest.approx(whole.compare_f_test(reduced)[1], rel=1e-5)
    assert found.freedom.tolist() == [2, 1, 1]
    assert found.drop[1] > found.drop[0] > found.drop[2] >= 0


def test_bounds_beside_resamples_fitted_one_by_one(drawn):
    columns, groups, values = drawn
    found = explain(columns, groups, values, n_resamples=30, seed=3)
    (counts,) = resample_counts(N, n_resamples=30, seed=3)
    drops = np.empty((30, 3))
    for r, times in enumerate(counts):
        rows = np.repeat(np.arange(N), times.astype(int))
        whole = weighted(columns[rows], values[rows], found.weights[rows])
        for g in range(3):
            kept = columns[rows][:, groups != g]
            reduced = weighted(kept, values[rows], found.weights[rows])
            drops[r, g] = whole.rsquared - reduced.rsquared
    low, high = percentile_interval(drops)
    np.testing.assert_allclose(found.low, low, atol=1e-7)
    np.testing.assert_allclose(found.high, high, atol=1e-7)


def test_rows_of_a_cluster_are_drawn_together(drawn):
    columns, groups, values = drawn
    twice = (np.tile(columns, (2, 1)), groups, np.tile(values, 2))
    once = explain(*drawn, n_resamples=400)
    paired = explain(*twice, clusters=np.tile(np.arange(N), 2), n_resamples=400)
    np.testing.assert_allclose(paired.low, once.low, atol=1e-6)
    alone = explain(*twice, n_resamples=400)
    assert (alone.high - alone.low)[1] < 0.85 * (once.high - once.low)[1]


def test_a_group_that_others_add_up_to_explains_nothing_of_its_own(drawn):
    columns, groups, values = drawn
    same = np.column_stack([columns, columns[:, 2] * 3 + 1])
    found = explain(same, np.append(groups, 3), values, n_resamples=20)
    assert found.freedom.tolist() == [2, 0, 1, 0]
    assert found.drop[3] == found.drop[1] == 0
    assert np.isnan(found.low[3])
    assert np.isnan(found.p_value[3])
    assert found.r2 == pytest.approx(explain(columns, groups, values).r2, abs=1e-8)
    assert independent(same).tolist() == [0, 1, 2, 3]
    assert np.isnan(effects(same, values).effect).tolist() == [False] * 4 + [True]


def test_a_perfect_fit_and_constant_values():
    columns = np.arange(6.0)[:, None]
    found = explain(columns, np.array([0]), 2 * columns[:, 0], n_resamples=20)
    assert (found.r2, found.drop[0]) == (pytest.approx(1), pytest.approx(1))
    assert found.weights.tolist() == [1] * 6
    assert np.isnan(explain(columns, np.array([0]), np.ones(6), n_resamples=20).r2)


def test_too_few_rows_are_refused():
    with pytest.raises(EmbedStoreError, match="all factors: 2, too few"):
        explain(np.ones((2, 1)), np.array([0]), np.ones(2))
    with pytest.raises(EmbedStoreError, match="3 models cannot tell 2 terms apart"):
        effects(np.random.default_rng(0).normal(size=(3, 2)), np.arange(3.0))
