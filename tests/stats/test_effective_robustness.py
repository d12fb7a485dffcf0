"""Effective robustness, planted and published."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from embedstore.errors import EmbedStoreError
from embedstore.stats.effective_robustness import baseline_line

# Top factors among the 46,110 annotated pictures that are no prototypes.
N_MARKED = {
    "pose": 15064,
    "background": 14751,
    "pattern": 5972,
    "color": 6150,
    "smaller": 1450,
    "shape": 679,
    "partial_view": 638,
    "subcategory": 585,
    "texture": 282,
    "larger": 150,
}
ABOVE = {"background", "color", "smaller", "subcategory", "texture", "larger"}


def test_a_planted_excess_is_found() -> None:
    accuracy = np.linspace(0.3, 0.9, 13)
    shifted = norm.cdf(0.9 * norm.ppf(accuracy) - 0.5)
    baselines = baseline_line(accuracy, shifted)
    expected = norm.cdf(0.9 * norm.ppf(0.76) - 0.5)
    found = baselines.effective_robustness([0.76, 0.76, np.nan], [expected, expected + 0.1, 0.5])
    np.testing.assert_allclose(found, [0, 0.1, np.nan], atol=1e-9)


def test_the_axis_is_the_one_asked_for() -> None:
    accuracy = np.array([0.2, 0.4, 0.6])
    baselines = baseline_line(accuracy, 0.5 * accuracy, axis="linear")
    np.testing.assert_allclose(baselines.expected([0.0, 1.0]), [0, 0.5], atol=1e-12)


def test_ends_are_clipped_and_counted() -> None:
    baselines = baseline_line([0.5, 0.7, 1.0], [0.0, 0.3, 0.4], n_samples=100, n_shifted=50)
    assert baselines.n_clipped == 2
    with pytest.raises(EmbedStoreError, match="give the number of samples"):
        baseline_line([0.5, 0.7, 1.0], [0.1, 0.3, 0.4])


def test_a_new_models_interval_is_of_accuracies() -> None:
    random = np.random.default_rng(0)
    accuracy = random.uniform(0.3, 0.9, 50)
    shifted = norm.cdf(norm.ppf(accuracy) - 0.5 + 0.1 * random.normal(size=50))
    baselines = baseline_line(accuracy, shifted)
    low, high = baselines.prediction_interval([0.05, 0.6, 0.99])
    expected = baselines.expected([0.05, 0.6, 0.99])
    assert ((low > 0) & (low < expected) & (expected < high) & (high < 1)).all()
    assert norm.ppf(high[1]) - norm.ppf(low[1]) == pytest.approx(0.4, rel=0.3)


def test_one_baseline_is_no_line() -> None:
    with pytest.raises(EmbedStoreError, match="1 model has both values, so no line can be fitted"):
        baseline_line([0.7], [0.5])


def test_clip_resnet50_lies_above_the_testbeds_line_in_six_factors_of_ten(shared_data) -> None:
    name = "published-top-factor-accuracies-testbed.csv"
    table = pl.read_csv(shared_data / "imagenet-x" / name)
    others = table.filter(~pl.col("model").str.contains("clip"))
    clip = table.row(by_predicate=pl.col("model") == "resnet50_clip_zeroshot", named=True)
    assert others.height == 333
    above = set()
    for factor, n in N_MARKED.items():
        line = baseline_line(others["average"], others[factor], n_samples=46_110, n_shifted=n)
        if line.effective_robustness(clip["average"], clip[factor]) > 0:
            above.add(factor)
    assert above == ABOVE
