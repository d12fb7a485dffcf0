"""AUROC against scikit-learn, its variance against the definition over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from embedstore.errors import EmbedStoreError
from embedstore.stats.delong import delong

SCORES = st.lists(st.integers(0, 6), min_size=2, max_size=15)


def over_all_pairs(above, below):
    """Areas and covariance as DeLong et al. write them: (M, P), (M, N)."""
    wins = (above[:, :, None] > below[:, None, :]) + 0.5 * (above[:, :, None] == below[:, None, :])
    v10, v01 = wins.mean(axis=2), wins.mean(axis=1)
    spread = [np.cov(v).reshape(len(v), len(v)) / v.shape[1] for v in (v10, v01)]
    return wins.mean(axis=(1, 2)), spread[0] + spread[1]


@settings(deadline=None)
@given(SCORES, SCORES)
def test_one_score_against_sklearn_and_all_pairs(above, below) -> None:
    areas = delong(above, below)
    labels = [1] * len(above) + [0] * len(below)
    assert areas.auroc[0] == pytest.approx(roc_auc_score(labels, above + below), abs=1e-12)
    auroc, covariance = over_all_pairs(np.array([above]), np.array([below]))
    np.testing.assert_allclose(areas.auroc, auroc, atol=1e-12)
    np.testing.assert_allclose(areas.covariance, covariance, atol=1e-12)


def test_several_scores_vary_together_as_over_all_pairs() -> None:
    random = np.random.default_rng(0)
    shared = random.normal(size=70)
    scores = np.stack([shared + 0.5 * random.normal(size=70) for _ in range(3)])
    scores[:, :30] += 1
    areas = delong(scores[:, :30], scores[:, 30:])
    auroc, covariance = over_all_pairs(scores[:, :30], scores[:, 30:])
    np.testing.assert_allclose(areas.auroc, auroc, atol=1e-12)
    np.testing.assert_allclose(areas.covariance, covariance, atol=1e-12)
    gap, low, high = areas.difference(0, 2)
    variance = covariance[0, 0] + covariance[2, 2] - 2 * covariance[0, 2]
    assert gap == pytest.approx(auroc[0] - auroc[2])
    assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)
    assert areas.difference(1, 1) == (0, 0, 0)


def test_nineteen_in_twenty_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(1)
    truth = 0.7602499389  # of N(1, 1) above N(0, 1): the normal distribution at 1 / sqrt(2)
    low, high = delong(random.normal(1, 1, (1000, 80)), random.normal(0, 1, (1000, 60))).interval()
    assert 0.93 < ((low <= truth) & (truth <= high)).mean() < 0.965


def test_edges_by_design() -> None:
    apart = delong([2, 3], [0, 1])
    assert apart.auroc[0] == 1
    assert [bound[0] for bound in apart.interval()] == [1, 1]
    single = delong([2], [0, 1])
    assert single.auroc[0] == 1
    assert np.isnan(single.interval()[0][0])
    assert delong([1, 1], [1, 1, 1]).auroc[0] == 0.5
    assert delong([np.inf, 1], [0, -np.inf]).auroc[0] == 1
    low, high = delong([3, 1, 4, 5], [2, 0, 1]).interval(confidence=0.999)
    assert low[0] >= 0
    assert high[0] == 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(EmbedStoreError, match="samples of both kinds"):
        delong([], [1.0])
    with pytest.raises(EmbedStoreError, match="leave out the samples"):
        delong([np.nan], [1.0])
    with pytest.raises(EmbedStoreError, match="same models for both"):
        delong([[1.0], [2.0]], [[1.0]])
    with pytest.raises(EmbedStoreError, match="between 0 and 1"):
        delong([1, 2], [0, 1]).interval(confidence=95)
