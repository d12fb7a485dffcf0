"""Robust lines against statsmodels called directly, perfect fits, planted outliers."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.stats.lines import robust_line


def cloud(seed: int, n: int = 60):
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return x, 0.3 + 0.8 * x + 0.2 * random.standard_t(2, size=n)


@pytest.mark.parametrize("seed", range(8))
def test_the_line_is_statsmodels(seed) -> None:
    x, y = cloud(seed)
    line = robust_line(x, y)
    norm = sm.robust.norms.HuberT(t=1.345)
    direct = sm.RLM(y, sm.add_constant(x), M=norm).fit(scale_est="mad")
    np.testing.assert_allclose([line.intercept, line.slope], direct.params, rtol=1e-8)
    assert line.scale == pytest.approx(direct.scale, rel=1e-8)
    np.testing.assert_allclose(line.covariance, direct.bcov_scaled, rtol=1e-6)


def test_the_two_measures_of_fit() -> None:
    x, y = cloud(3)
    line = robust_line(x, y)
    assert line.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-12)
    errors = line.residuals(x, y)
    assert line.robust_r2 == pytest.approx(1 - (errors**2).sum() / ((y - y.mean()) ** 2).sum())
    assert line.robust_r2 < line.r2  # the plain line has the least squares


@settings(deadline=None)
@given(
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.lists(st.integers(-50, 50), min_size=2, max_size=20, unique=True),
)
def test_a_perfect_fit_returns_itself(slope, intercept, places) -> None:
    x = np.array(places) / 10
    line = robust_line(x, intercept + slope * x)
    assert line.slope == pytest.approx(slope, abs=1e-9)
    assert line.intercept == pytest.approx(intercept, abs=1e-9)
    assert line.scale == pytest.approx(0, abs=1e-9)


def test_most_models_on_a_line_outvote_the_rest() -> None:
    x = np.arange(12.0)
    y = 2 * x + 1
    y[[3, 9]] += [40, -30]
    line = robust_line(x, y)
    assert (line.slope, line.intercept) == pytest.approx((2, 1), abs=1e-4)
    assert abs(np.polyfit(x, y, 1)[0] - 2) > 0.5


def test_prediction_intervals_hold_new_models() -> None:
    random = np.random.default_rng(0)
    held = []
    for _ in range(300):
        x = random.normal(size=25)
        line = robust_line(x, x + 0.3 * random.normal(size=25))
        new = random.normal(size=20)
        low, high = line.prediction_interval(new)
        y = new + 0.3 * random.normal(size=20)
        held.append(((low <= y) & (y <= high)).mean())
    assert 0.93 < np.mean(held) < 0.97


def test_prediction_intervals_widen_away_from_the_models() -> None:
    line = robust_line(*cloud(1))
    low, high = line.prediction_interval([0.0, 3.0, 10.0])
    assert (np.diff(high - low) > 0).all()
    np.testing.assert_allclose((low + high) / 2, line.at([0.0, 3.0, 10.0]), atol=1e-12)
    narrow = line.prediction_interval(0.0, confidence=0.5)
    assert narrow[1] - narrow[0] < high[0] - low[0]


def test_two_models_make_a_line_and_no_interval() -> None:
    line = robust_line([1.0, 3.0], [2.0, 8.0])
    assert (line.slope, line.intercept) == (3, -1)
    assert (line.r2, line.robust_r2, line.spearman) == pytest.approx((1, 1, 1), abs=1e-12)
    assert np.isnan(line.prediction_interval(2.0)).all()


def test_a_flat_line_explains_nothing() -> None:
    line = robust_line([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])
    assert (line.slope, line.intercept) == (0, 5)
    assert np.isnan([line.r2, line.robust_r2, line.spearman]).all()


def test_pairs_with_nan_are_left_out_and_counted() -> None:
    line = robust_line([1, 2, 3, np.nan, 5], [2, 4, 6, 8, np.nan])
    assert (line.slope, line.n_models, line.n_left_out) == (pytest.approx(2), 3, 2)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([], [], "0 models have both values, so no line can be fitted; choose at least 2"),
        ([1.0], [2.0], "1 model has both values, so no line can be fitted; choose at least 2"),
        ([1.0, 2.0], [2.0, np.nan], "1 model has both values"),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "all 3 models have the same x"),
        ([1.0, np.inf], [1.0, 2.0], "infinite"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "two columns of one length"),
    ],
)
def test_what_has_no_line_says_so(x, y, message) -> None:
    with pytest.raises(EmbedStoreError, match=message):
        robust_line(x, y)
