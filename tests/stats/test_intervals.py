"""Intervals of proportions against SciPy, of their differences against statsmodels, and edges."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import binomtest
from statsmodels.stats.proportion import confint_proportions_2indep

from embedstore.errors import EmbedStoreError
from embedstore.stats.intervals import (
    clopper_pearson,
    newcombe,
    wilson,
    with_clopper_pearson,
)


@settings(deadline=None, max_examples=200)
@given(st.data(), st.integers(1, 60_000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_bounds_are_scipys(data: st.DataObject, n: int, confidence: float) -> None:
    k = data.draw(st.integers(0, n) | st.sampled_from([0, n]))
    low, high = clopper_pearson(k, n, confidence=confidence)
    expected = binomtest(k, n).proportion_ci(confidence, method="exact")
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


def test_known_answers() -> None:
    low, high = clopper_pearson([0, 1, 5, 10], [10, 1, 10, 10])
    # by hand: 1 - 0.025 ** (1 / 10) = 0.3085, 0.025 ** (1 / 1) = 0.025
    np.testing.assert_allclose(low, [0, 0.025, 0.18708603, 1 - 0.30849710], atol=1e-8)
    np.testing.assert_allclose(high, [0.30849710, 1, 1 - 0.18708603, 1], atol=1e-8)


def test_no_trials_and_unknown_counts_give_nan() -> None:
    low, high = clopper_pearson([0, np.nan, 1, 0], [0, 5, np.nan, np.nan])
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_shapes_broadcast() -> None:
    low, high = clopper_pearson([[1], [2]], [4, 5, 6])
    assert low.shape == high.shape == (2, 3)
    assert low[1, 2] == clopper_pearson(2, 6)[0]


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(EmbedStoreError, match=f"{k} successes in {n} trials at entry 1; give"):
        clopper_pearson([1, k], [2, n])


@pytest.mark.parametrize("confidence", [0, 1, 95, float("nan")])
def test_impossible_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(EmbedStoreError, match="between 0 and 1"):
        clopper_pearson(1, 2, confidence=confidence)


COUNTS = pl.DataFrame(
    {"model": ["a", "b", "c", "d"], "hits": [3, 0, None, 7], "n": [9, 0, 4, 7]},
    schema_overrides={"hits": pl.UInt32},
)


@pytest.mark.parametrize("lazy", [False, True])
def test_columns_are_added_and_null_without_trials(lazy: bool) -> None:
    frame = COUNTS.lazy() if lazy else COUNTS
    result = with_clopper_pearson(frame, "hits", "n", low="top1_low", high="top1_high")
    assert isinstance(result, type(frame))
    low, high = clopper_pearson([3, 7], [9, 7])
    expected = COUNTS.with_columns(
        pl.Series("top1_low", [low[0], None, None, low[1]]),
        pl.Series("top1_high", [high[0], None, None, high[1]]),
    )
    assert_frame_equal(result.lazy().collect(), expected)


def test_schema_is_known_before_anything_is_read() -> None:
    schema = with_clopper_pearson(COUNTS.lazy(), "hits", "n", low="l", high="h").collect_schema()
    assert dict(schema) == {**COUNTS.schema, "l": pl.Float64, "h": pl.Float64}


def test_empty_table() -> None:
    result = with_clopper_pearson(COUNTS.clear(), "hits", "n", low="l", high="h")
    assert result.shape == (0, 5)
    assert result.schema["h"] == pl.Float64


def test_pipes_after_a_group_by() -> None:
    correct = [True, False, True, None, True, True]
    rows = pl.LazyFrame({"model": ["a"] * 4 + ["b"] * 2, "correct": correct})
    table = (
        rows.group_by("model", maintain_order=True)
        .agg(hits=pl.col("correct").sum(), n=pl.col("correct").count())
        .pipe(with_clopper_pearson, "hits", "n", low="l", high="h", confidence=0.9)
        .collect()
    )
    low, high = clopper_pearson([2, 2], [3, 2], confidence=0.9)
    np.testing.assert_array_equal(table["l"], low)
    np.testing.assert_array_equal(table["h"], high)


@settings(deadline=None)
@given(st.data(), st.integers(1, 60_000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilsons_bounds_are_scipys(data: st.DataObject, n: int, confidence: float) -> None:
    k = data.draw(st.integers(0, n) | st.sampled_from([0, n]))
    low, high = wilson(k, n, confidence=confidence)
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)


def test_wilsons_edges_are_those_of_the_exact_interval() -> None:
    low, high = wilson([0, np.nan, 0, 4], [0, 5, 4, 4])
    np.testing.assert_array_equal(low[:3], [np.nan, np.nan, 0])
    assert high[3] == 1
    with pytest.raises(EmbedStoreError, match="6 successes in 5 trials at entry 0; give"):
        wilson(6, 5)
    with pytest.raises(EmbedStoreError, match="between 0 and 1"):
        wilson(1, 2, confidence=1)


@settings(deadline=None)
@given(st.data(), st.integers(1, 60_000), st.integers(1, 500), st.sampled_from([0.5, 0.9, 0.95]))
def test_newcombes_bounds_are_statsmodels(data, n: int, m: int, confidence: float) -> None:
    k = data.draw(st.integers(0, n) | st.sampled_from([0, n]))
    j = data.draw(st.integers(0, m) | st.sampled_from([0, m]))
    low, high = newcombe(k, n, j, m, confidence=confidence)
    expected = confint_proportions_2indep(k, n, j, m, method="newcomb", alpha=1 - confidence)
    assert (float(low), float(high)) == pytest.approx(expected, abs=1e-9)
    assert -1 <= low <= k / n - j / m <= high <= 1


def test_newcombes_own_example() -> None:
    """56 of 70 less 48 of 80: example a of Newcombe (1998), method 10."""
    low, high = newcombe([56], [70], [48], [80])
    np.testing.assert_allclose([low[0], high[0]], [0.0524, 0.3339], atol=5e-5)
    np.testing.assert_allclose(newcombe([48], [80], [56], [70]), [-high, -low])


def test_newcombe_of_nothing_is_nan() -> None:
    low, high = newcombe(
        [1, 0, 1, np.nan, 2], [2, 0, 2, 2, 2], [1, 1, 0, 1, np.nan], [2, 2, 0, 2, 2]
    )
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [False, True, True, True, True]
    with pytest.raises(EmbedStoreError, match="6 successes in 5 trials at entry 0; give"):
        newcombe(1, 2, 6, 5)
    with pytest.raises(EmbedStoreError, match="between 0 and 1"):
        newcombe(1, 2, 1, 2, confidence=1)
