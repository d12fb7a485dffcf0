"""Trends over resampled models: each resample against statsmodels, SciPy's bootstrap beside."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from embedstore.errors import EmbedStoreError
from embedstore.stats.lines import robust_line
from embedstore.stats.trend_intervals import huber_lines, trend_intervals, trend_replicates


@pytest.fixture(scope="module")
def models():
    random = np.random.default_rng(0)
    x = np.round(random.normal(size=50), 1)  # ties
    return x, 0.8 * x + 0.2 * random.standard_t(2, size=50)


def test_each_resample_has_the_line_of_its_models(models) -> None:
    x, y = models
    drawn = [np.random.default_rng([7, r]).integers(0, 50, 50) for r in range(25)]
    replicates = trend_replicates(x, y, n_resamples=25, seed=7)
    for r, rows in enumerate(drawn):
        line = robust_line(x[rows], y[rows])
        for name in ("slope", "intercept", "r2", "robust_r2", "spearman"):
            assert replicates[name][r] == pytest.approx(getattr(line, name), abs=1e-5), name


def test_lines_side_by_side_are_statsmodels_run_to_the_end(models) -> None:
    x, y = models
    intercept, slope = huber_lines(x[None], y[None])
    fit = sm.RLM(y, sm.add_constant(x)).fit(tol=1e-13, maxiter=500)
    np.testing.assert_allclose([intercept[0], slope[0]], fit.params, rtol=1e-7)


def test_spearmans_interval_is_scipys(models) -> None:
    low, high = trend_intervals(*models, n_resamples=4000)["spearman"]
    theirs = stats.bootstrap(
        models,
        lambda x, y: stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=4000,
        method="percentile",
        rng=1,
    ).confidence_interval
    width = theirs.high - theirs.low
    np.testing.assert_allclose([low, high], theirs, atol=0.06 * width)


def test_intervals_hold_the_planted_slope() -> None:
    random = np.random.default_rng(0)
    held = 0
    for trial in range(100):
        x = random.normal(size=40)
        y = 1.5 * x + 0.3 * random.normal(size=40)
        low, high = trend_intervals(x, y, n_resamples=200, seed=trial)["slope"]
        held += low <= 1.5 <= high
    assert held >= 88


def test_the_same_seed_gives_the_same_bounds(models) -> None:
    assert trend_intervals(*models, n_resamples=100) == trend_intervals(*models, n_resamples=100)
    assert trend_intervals(*models, n_resamples=100) != trend_intervals(
        *models, n_resamples=100, seed=1
    )


def test_a_perfect_line_has_no_width() -> None:
    x = np.arange(30.0)
    bounds = trend_intervals(x, 2 * x + 1, n_resamples=200)
    for name, value in {"slope": 2, "intercept": 1, "r2": 1, "robust_r2": 1, "spearman": 1}.items():
        np.testing.assert_allclose(bounds[name], value, rtol=1e-9, err_msg=name)


def test_two_models_leave_every_bound_unknown() -> None:
    bounds = trend_intervals([1.0, 2.0], [1.0, 3.0])  # half the resamples draw one model twice
    assert np.isnan(list(bounds.values())).all()


def test_a_constant_y_has_a_slope_and_no_correlation() -> None:
    bounds = trend_intervals(np.arange(20.0), np.ones(20), n_resamples=50)
    assert bounds["slope"] == (0, 0)
    assert np.isnan([bounds["r2"], bounds["spearman"], bounds["robust_r2"]]).all()


def test_what_has_no_line_says_so() -> None:
    with pytest.raises(EmbedStoreError, match="choose at least 2 models"):
        trend_intervals([1.0], [2.0])
