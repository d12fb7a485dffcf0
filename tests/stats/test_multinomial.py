"""Error ratios of factor tables against the bootstrap over samples."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.errors import EmbedStoreError
from embedstore.stats.bootstrap import percentile_interval
from embedstore.stats.intervals import clopper_pearson
from embedstore.stats.multinomial import error_ratio


def drawn_anew(e, n, e_all, n_all, n_resamples=40_000):
    """The bootstrap over samples, through the counts of its four cells."""
    cells = np.array([e, n - e, e_all - e, n_all - n - e_all + e])
    drawn = np.random.default_rng(0).multinomial(n_all, cells / n_all, n_resamples)
    return (drawn[:, 0] / drawn[:, :2].sum(axis=1)) / (drawn[:, [0, 2]].sum(axis=1) / n_all)


@pytest.mark.parametrize(
    "counts",
    [(200, 1000, 1000, 10_000), (300, 5000, 2000, 9000), (900, 1000, 1000, 46_110)],
)
def test_bounds_are_the_bootstraps_limit(counts) -> None:
    ratio, low, high = error_ratio(*counts)
    e, n, e_all, n_all = counts
    assert ratio == pytest.approx((e / n) / (e_all / n_all), rel=1e-12)
    expected_low, expected_high = percentile_interval(drawn_anew(*counts))
    width = expected_high - expected_low
    assert low == pytest.approx(expected_low, abs=0.05 * width)
    assert high == pytest.approx(expected_high, abs=0.05 * width)


def test_a_factor_that_marks_every_sample_has_ratio_one_for_sure() -> None:
    np.testing.assert_allclose(error_ratio(30, 100, 30, 100), [1, 1, 1], atol=1e-7)


def test_a_factor_without_an_error() -> None:
    ratio, low, high = error_ratio(0, 20, 50, 200)
    assert (ratio, low) == (0, 0)
    assert high == pytest.approx(clopper_pearson(0, 20)[1] / 0.25)


def test_no_row_no_error_and_unknown_counts_give_nan() -> None:
    nan = np.nan
    bounds = error_ratio([0, 0, nan], [0, 10, 10], [5, 0, 5], 100)
    assert np.isnan(bounds).all()


@pytest.mark.parametrize(
    "counts",
    [(11, 10, 20, 100), (5, 10, 4, 100), (0, 10, 95, 100), (1, 200, 5, 100), (-1, 1, 1, 2)],
)
def test_counts_that_contradict_are_refused(counts) -> None:
    with pytest.raises(EmbedStoreError, match="contradict one another"):
        error_ratio(*counts)
