"""The bootstrap against SciPy's, against naive loops, and the same however it is run."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from threadpoolctl import threadpool_limits

from embedstore.errors import EmbedStoreError
from embedstore.stats import bootstrap as module
from embedstore.stats.bootstrap import (
    bootstrap,
    bootstrap_means,
    percentile_interval,
    resample_counts,
)

N = 400


@pytest.fixture
def values():
    """Five models' numbers over 400 samples, some of them unknown."""
    table = np.random.default_rng(0).gamma(2, size=(5, N))
    table[1, ::7] = np.nan
    return table


def all_counts(*args, **kwargs):
    return np.concatenate(list(resample_counts(*args, **kwargs)))


def test_intervals_of_a_mean_are_scipys() -> None:
    sample = np.random.default_rng(1).gamma(2, size=300)
    ours = percentile_interval(bootstrap_means(sample, n_resamples=20_000)[:, 0])
    theirs = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="percentile", rng=2
    ).confidence_interval
    width = theirs.high - theirs.low
    np.testing.assert_allclose(ours, theirs, atol=0.03 * width)


def test_percentiles_are_scipys_on_the_same_replicates() -> None:
    sample = np.random.default_rng(1).gamma(2, size=30)
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=999, method="percentile", rng=2)
    ours = percentile_interval(theirs.bootstrap_distribution)
    np.testing.assert_allclose(ours, theirs.confidence_interval, rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3))
def test_each_resample_draws_as_many_samples_as_there_are(n, n_resamples, seed) -> None:
    counts = all_counts(n, n_resamples=n_resamples, seed=seed)
    assert counts.shape == (n_resamples, n)
    assert (counts.sum(axis=1) == n).all()
    np.testing.assert_array_equal(counts, all_counts(n, n_resamples=20, seed=seed)[:n_resamples])


def test_every_sample_is_drawn_equally_often() -> None:
    counts = all_counts(20, n_resamples=4000)
    assert stats.chisquare(counts.sum(axis=0)).pvalue > 1e-3
    assert counts.var() == pytest.approx(0.95, rel=0.03)  # binomial: 20 x 1/20 x 19/20


def test_means_against_a_loop(values) -> None:
    counts = all_counts(N, n_resamples=50, seed=3)
    means = bootstrap_means(values, n_resamples=50, seed=3)
    for row, drawn in zip(means, counts, strict=True):
        repeated = np.repeat(values, drawn.astype(int), axis=1)
        np.testing.assert_allclose(row, np.nanmean(repeated, axis=1), rtol=1e-9)


def test_means_of_booleans_are_exact() -> None:
    correct = np.random.default_rng(0).random((3, N)) < 0.7
    counts = all_counts(N, n_resamples=50).astype(int)
    np.testing.assert_array_equal(
        bootstrap_means(correct, n_resamples=50), counts @ correct.T.astype(int) / N
    )


def test_any_statistic_of_counts(values) -> None:
    def variance(counts):
        mean = counts @ values[0] / N
        return counts @ values[0] ** 2 / N - mean**2

    replicates = bootstrap(variance, N, n_resamples=30)
    drawn = all_counts(N, n_resamples=30).astype(int)
    expected = [np.var(np.repeat(values[0], row)) for row in drawn]
    np.testing.assert_allclose(replicates, expected, rtol=1e-6)


@pytest.mark.parametrize("block_bytes", [1, 5000, 1 << 30])
def test_blocks_and_threads_change_no_bit(values, block_bytes, monkeypatch) -> None:
    expected = bootstrap_means(values, n_resamples=40), all_counts(N, n_resamples=40)
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    for threads in (1, 2):
        with threadpool_limits(threads):
            np.testing.assert_array_equal(bootstrap_means(values, n_resamples=40), expected[0])
    np.testing.assert_array_equal(all_counts(N, n_resamples=40), expected[1])


def test_one_models_replicates_do_not_depend_on_the_others(values) -> None:
    together = bootstrap_means(values, n_resamples=40)
    for m in range(len(values)):
        alone = bootstrap_means(values[m], n_resamples=40)
        np.testing.assert_allclose(together[:, [m]], alone, rtol=1e-9)


def test_a_paired_difference_is_tighter_than_an_unpaired_one() -> None:
    random = np.random.default_rng(0)
    first = random.random(2000) < 0.7
    second = first ^ (random.random(2000) < 0.01)  # wrong where the other is, but for 1 %
    paired = bootstrap_means(np.stack([first, second]), n_resamples=2000)
    spread = np.std(paired[:, 0] - paired[:, 1])
    d = first.astype(float) - second
    assert spread == pytest.approx(d.std() / np.sqrt(2000), rel=0.08)
    apart = bootstrap_means(second, n_resamples=2000, seed=1)[:, 0]
    assert np.std(paired[:, 0] - apart) > 5 * spread


def test_clusters_are_drawn_whole() -> None:
    clusters = np.array(["b", "a", "b", "c", "a", "b"])
    counts = all_counts(6, n_resamples=200, clusters=clusters)
    for name in "abc":
        of_cluster = counts[:, clusters == name]
        assert (of_cluster == of_cluster[:, :1]).all()
    assert (counts[:, 0] + counts[:, 1] + counts[:, 3] == 3).all()
    values = np.array([[1.0, 2.0, 4.0, 8.0, 16.0, np.nan]])
    known = counts * ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        expected = (known @ np.nan_to_num(values).T) / known.sum(axis=1, keepdims=True)
    means = bootstrap_means(values, n_resamples=200, clusters=clusters)
    np.testing.assert_allclose(means, expected, rtol=1e-9)


def test_copies_of_a_sample_add_no_certainty_once_clustered() -> None:
    once = np.random.default_rng(0).random(100) < 0.6
    copied, clusters = np.repeat(once, 5), np.repeat(np.arange(100), 5)
    expected = bootstrap_means(once, n_resamples=300)
    clustered = bootstrap_means(copied, n_resamples=300, clusters=clusters)
    np.testing.assert_allclose(clustered, expected, rtol=1e-12)
    assert bootstrap_means(copied, n_resamples=300).std() < 0.6 * expected.std()


@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_memory_is_bounded_by_the_blocks(dtype, monkeypatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 1 << 20)
    table = np.ones((200, 20_000), dtype)  # 32 MB as float64
    tracemalloc.start()
    try:
        bootstrap_means(table, n_resamples=40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20


def test_edges_by_design() -> None:
    assert bootstrap_means([True], n_resamples=3).tolist() == [[1.0]] * 3
    assert np.isnan(bootstrap_means([np.nan, np.nan], n_resamples=3)).all()
    assert bootstrap_means([0.0, 0.0], n_resamples=3).tolist() == [[0.0]] * 3
    tiny = bootstrap_means([5e-324, 5e-324], n_resamples=2)
    assert (np.abs(tiny) < 1e-300).all()
    half = [np.nan if i % 2 else float(i) for i in range(1000)]
    assert np.isnan(percentile_interval(half)).all()
    few = [np.nan, *range(99)]
    np.testing.assert_allclose(percentile_interval(few), np.quantile(range(99), [0.025, 0.975]))
    both = np.column_stack([half, np.arange(1000.0)])
    low, high = percentile_interval(both, confidence=0.8)
    assert np.isnan([low[0], high[0]]).all()
    np.testing.assert_allclose([low[1], high[1]], [99.9, 899.1])


def test_bad_input_is_refused() -> None:
    with pytest.raises(EmbedStoreError, match="no sample to resample; choose runs"):
        bootstrap_means(np.empty((2, 0)))
    with pytest.raises(EmbedStoreError, match="no sample to resample; choose runs"):
        bootstrap(lambda counts: counts, 0)
    with pytest.raises(EmbedStoreError, match="give 1 or more"):
        bootstrap_means([True], n_resamples=0)
    with pytest.raises(EmbedStoreError, match="seed is -1; give 0 or more"):
        bootstrap_means([True], seed=-1)
    with pytest.raises(EmbedStoreError, match="model 1, sample 0 is infinite"):
        bootstrap_means([[0.0, 1.0], [np.inf, 1.0]])
    with pytest.raises(EmbedStoreError, match="give one cluster a sample"):
        bootstrap_means([True, False], clusters=[1])
    with pytest.raises(EmbedStoreError, match="between 0 and 1"):
        percentile_interval([1.0], confidence=95)
    with pytest.raises(EmbedStoreError, match="at least 1 resample"):
        percentile_interval([])
