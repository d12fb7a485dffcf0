"""Calibration errors beside torchmetrics, netcal and relplot, on random inputs.

Where a definition differs, a test says how:

- bins of equal width are (lo, hi] here and [lo, hi) there, which only samples on an edge show;
  torchmetrics has one bin more, of confidences of exactly 1;
- bins of equal mass are equal parts of the stable order here; netcal cuts at quantiles, so that
  equal confidences stay together and sizes differ where samples do not divide evenly;
- netcal's average error weighs bins alike; torchmetrics' L2 error keeps the bias that Kumar et al.
  take off, and where it is told to take it off keeps bins of one sample;
- relplot bisects the width of its kernel in ten steps, to 1/1024, and counts samples within 1/1000
  of 0 or 1 less, down to half a sample at these.
"""

from __future__ import annotations

import numpy as np
import pytest
import relplot
import torch
from netcal.metrics import ACE, ECE, MCE
from relplot.metrics import binnedECE
from scipy.special import softmax
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)
from torchmetrics.functional.classification.calibration_error import _ce_compute

from embedstore.kernels.bins import in_bins
from embedstore.kernels.classwise import classwise_error, classwise_gaps
from embedstore.kernels.smooth import smooth_calibration_error

#: Samples and classes.
SHAPES = [(50, 3), (5_000, 10), (2_000, 1_000)]
RELPLOT_WIDTH = 1 / 1024


def sample(n, seed=0, power=1.5):
    """Confidences and hits of a model that is right with probability confidence ** power."""
    random = np.random.default_rng(seed)
    confidence = random.beta(4, 1.5, n)
    return confidence, random.random(n) < confidence**power


def classified(n_samples, n_classes, dtype=np.float64):
    """Probabilities (N, C) of an overconfident model, and labels of all classes or many."""
    random = np.random.default_rng(n_classes)
    logits = random.normal(size=(n_samples, n_classes))
    labels = random.permutation(np.arange(n_samples) % n_classes)
    logits[np.arange(n_samples), labels] += np.log(n_classes)
    return softmax(2 * logits, axis=1).astype(dtype), labels


def top(probabilities, labels):
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_bins", [1, 10, 15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torchmetrics_over_many_classes(shape, n_bins, dtype):
    p, labels = classified(*shape, dtype)
    bins = in_bins(*top(p, labels), n_bins)
    squares = bins.counts @ np.nan_to_num(bins.gaps) ** 2 / bins.counts.sum()
    found = {
        "l1": bins.expected_calibration_error,
        "max": bins.max_calibration_error,
        "l2": np.sqrt(squares),
    }
    for norm, value in found.items():
        theirs = multiclass_calibration_error(
            torch.from_numpy(p), torch.from_numpy(labels), shape[1], n_bins=n_bins, norm=norm
        )
        assert value == pytest.approx(float(theirs), abs=5e-6)  # it adds up in float32


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_bins", [1, 10, 15])
def test_netcal_over_many_classes(shape, n_bins):
    p, labels = classified(*shape)
    bins = in_bins(*top(p, labels), n_bins)
    assert bins.expected_calibration_error == pytest.approx(ECE(n_bins).measure(p, labels))
    assert bins.max_calibration_error == pytest.approx(MCE(n_bins).measure(p, labels))


@pytest.mark.parametrize("n", [1, 30, 10_000])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_equal_width_and_maximum_over_confidences(n, power):
    confidence, correct = sample(n, power=power)
    bins = in_bins(confidence, correct, 15)
    hits = correct.astype(int)
    theirs = binary_calibration_error(
        torch.from_numpy(confidence), torch.from_numpy(hits), n_bins=15
    )
    assert bins.expected_calibration_error == pytest.approx(float(theirs), abs=1e-12)
    assert bins.expected_calibration_error == pytest.approx(ECE(15).measure(confidence, hits))
    assert bins.expected_calibration_error == pytest.approx(binnedECE(confidence, correct, 15))
    assert bins.max_calibration_error == pytest.approx(MCE(15).measure(confidence, hits))


def test_an_average_over_bins_is_another_error():
    confidence, correct = sample(3_000)
    bins = in_bins(confidence, correct, 15)
    average = np.abs(bins.gaps[bins.counts > 0]).mean()
    assert average == pytest.approx(ACE(15).measure(confidence, correct.astype(int)))
    assert average > bins.expected_calibration_error + 0.01


def test_on_edges_their_bins_are_ours_turned_round():
    """Bins [lo, hi) of c are bins (lo, hi] of 1 - c, and the gap of 1 - y and 1 - c is as wide."""
    random = np.random.default_rng(1)
    eighths = random.integers(0, 8, 400)
    on_edge = eighths % 2 == 0  # of four bins
    confidence, correct = eighths / 8, random.random(400) < np.where(on_edge, 0.9, 0.1)
    hits = correct.astype(int)
    turned = in_bins(1 - confidence, ~correct, 4)
    np.testing.assert_array_equal(turned.counts[::-1], np.histogram(confidence, 4, (0, 1))[0])
    theirs = binary_calibration_error(
        torch.from_numpy(confidence), torch.from_numpy(hits), n_bins=4
    )
    ece = turned.expected_calibration_error
    assert ece == pytest.approx(float(theirs), abs=1e-12)
    assert ece == pytest.approx(ECE(4).measure(confidence, hits))
    assert in_bins(confidence, correct, 4).expected_calibration_error != pytest.approx(
        ece, abs=0.01
    )


def test_torchmetrics_sets_confidences_of_1_apart():
    confidence = np.array([1.0, 1.0, 0.9, 0.9])
    correct = np.array([True, False, True, True])
    bins = in_bins(confidence, correct, 10)
    theirs = binary_calibration_error(
        torch.from_numpy(confidence), torch.from_numpy(correct.astype(int)), n_bins=10
    )
    assert float(theirs) == pytest.approx((0.5 + 0.1) / 2)
    # with the bins turned round, as above, 1 - .9 and 0 share the first
    turned = in_bins(1 - confidence, ~correct, 10).expected_calibration_error
    assert turned == pytest.approx(ECE(10).measure(confidence, correct.astype(int)))
    assert turned == pytest.approx(0.2)
    assert bins.expected_calibration_error == pytest.approx(0.3)  # .9 and 1 lie in two bins


@pytest.mark.parametrize(("n", "n_bins"), [(15, 15), (3_000, 15), (5_000, 10), (64, 2)])
@pytest.mark.parametrize("power", [0.7, 1.5])
def test_equal_mass_agrees_with_netcal_where_samples_divide_evenly(n, n_bins, power):
    confidence, correct = sample(n, power=power)
    bins, hits = in_bins(confidence, correct, n_bins, "equal-mass"), correct.astype(int)
    assert set(bins.counts) == {n // n_bins}
    ece, mce = (
        peer(n_bins, equal_intervals=False).measure(confidence, hits) for peer in (ECE, MCE)
    )
    assert bins.expected_calibration_error == pytest.approx(ece)
    assert bins.max_calibration_error == pytest.approx(mce)


@pytest.mark.parametrize("n", [22, 1_007, 50_000])
def test_equal_mass_differs_from_netcal_by_samples_near_the_cuts(n):
    """Netcal cuts below position (N - 1) k / B, `array_split` gives the first bins one more."""
    confidence, correct = sample(n, power=1.0)
    bins = in_bins(confidence, correct, 15, "equal-mass")
    below = np.cumsum(bins.counts)[:-1]
    theirs = np.ceil((n - 1) * np.arange(1, 15) / 15)
    moved = np.abs(below - theirs).sum()
    assert 0 < moved < 15 * 15 / 4
    ece = ECE(15, equal_intervals=False).measure(confidence, correct.astype(int))
    # a sample that moves takes its gap, at most 1, from one bin's sum to the next one's
    assert bins.expected_calibration_error == pytest.approx(ece, abs=2 * moved / n)
    assert bins.expected_calibration_error != pytest.approx(ece, abs=1e-9)


def test_equal_confidences_are_parted_here_and_stay_together_there():
    confidence = np.array([0.5, 0.5, 0.5, 0.9])
    correct = np.array([True, False, True, False])
    bins = in_bins(confidence, correct, 2, "equal-mass")
    np.testing.assert_array_equal(bins.counts, [2, 2])
    assert bins.expected_calibration_error == pytest.approx((0 + 0.4) / 4)
    together = ECE(2, equal_intervals=False).measure(confidence, correct.astype(int))
    one = in_bins(confidence, correct, 1).expected_calibration_error  # its cut lies below all four
    assert together == pytest.approx(one) == pytest.approx(0.1)


def debiased_by_torchmetrics(confidence, correct, n_bins):
    """Its public functions never ask for what this one knows."""
    hits = torch.from_numpy(correct.astype(float))
    return float(_ce_compute(torch.from_numpy(confidence), hits, n_bins, "l2", debias=True))


@pytest.mark.parametrize("n", [400, 50_000])
@pytest.mark.parametrize("power", [0.5, 1.5, 3.0])
def test_debiased_agrees_with_torchmetrics_where_no_bin_has_one_sample(n, power):
    confidence, correct = sample(n, power=power)
    confidence = 0.6 + 0.4 * confidence
    bins = in_bins(confidence, correct, 10)
    assert not (bins.counts == 1).any()
    theirs = debiased_by_torchmetrics(confidence, correct, 10)
    assert bins.debiased_calibration_error == pytest.approx(theirs, abs=1e-9)


def test_bins_of_one_sample_count_nothing_here():
    """As in Kumar et al.'s own code, for which such a bin has no variance to take off."""
    confidence, correct = np.array([0.25, 0.8, 0.8, 0.8]), np.array([False, True, False, False])
    bins = in_bins(confidence, correct, 2)
    squared = 3 / 4 * ((0.8 - 1 / 3) ** 2 - (1 / 3) * (2 / 3) / 2)
    assert bins.debiased_calibration_error == pytest.approx(np.sqrt(squared))
    theirs = debiased_by_torchmetrics(confidence, correct, 2)
    assert theirs == pytest.approx(np.sqrt(squared + 0.25**2 / 4))


@pytest.mark.parametrize("shape", [(50, 3), (2_000, 10), (1_000, 100)])
@pytest.mark.parametrize("n_bins", [1, 15])
def test_classwise_is_the_mean_of_their_errors_of_each_class(shape, n_bins):
    p, labels = classified(*shape)
    gaps = classwise_gaps(np.log(p).astype(np.float32), labels, n_bins)
    found = classwise_error(gaps, len(labels))
    one_hot = np.eye(shape[1], dtype=int)[labels]
    netcal = [ECE(n_bins).measure(p[:, k], one_hot[:, k]) for k in range(shape[1])]
    torch_ = [
        float(binary_calibration_error(torch.from_numpy(q), torch.from_numpy(y), n_bins=n_bins))
        for q, y in zip(p.T.copy(), one_hot.T.copy(), strict=True)
    ]
    assert found == pytest.approx(np.mean(netcal), abs=1e-6)
    assert found == pytest.approx(np.mean(torch_), abs=1e-6)


@pytest.mark.parametrize("n", [50, 1_000, 50_000])
@pytest.mark.parametrize("power", [0.7, 1.0, 1.5])
def test_smooth_agrees_with_relplot(n, power):
    confidence, correct = sample(n, power=power)
    found = smooth_calibration_error(confidence, correct)
    theirs = relplot.smECE(confidence, correct.astype(float))
    assert found == pytest.approx(theirs, abs=RELPLOT_WIDTH)


@pytest.mark.parametrize("shape", SHAPES)
def test_smooth_agrees_with_relplot_over_many_classes(shape):
    p, labels = classified(*shape)
    theirs = relplot.smECE(*relplot.multiclass_logits_to_confidences(p, labels, probs=True))
    assert smooth_calibration_error(*top(p, labels)) == pytest.approx(theirs, abs=RELPLOT_WIDTH)


@pytest.mark.parametrize("near", [0.002, 0.01])
def test_smooth_agrees_with_relplot_on_ties_and_near_the_ends(near):
    """Kernels are reflected at 0 and 1, where most confidences of a sure model lie."""
    random = np.random.default_rng(2)
    confidence = random.choice([near, 0.02, 0.5, 0.99, 1 - near], 3_000)
    correct = random.random(3_000) < np.clip(confidence, 0.1, 0.9)
    theirs = relplot.smECE(confidence, correct.astype(float))
    assert smooth_calibration_error(confidence, correct) == pytest.approx(theirs, abs=RELPLOT_WIDTH)


def test_relplot_counts_samples_at_0_and_1_as_half_a_sample():
    """Its reflection does not repeat the ends of its grid; given twice, they count as here."""
    random = np.random.default_rng(2)
    confidence = random.choice([0.0, 0.02, 0.5, 0.99, 1.0], 3_000)
    correct = random.random(3_000) < np.clip(confidence, 0.1, 0.9)
    found = smooth_calibration_error(confidence, correct)
    once = relplot.smECE(confidence, correct.astype(float))
    assert found != pytest.approx(once, abs=4 * RELPLOT_WIDTH)
    ends = (confidence == 0) | (confidence == 1)
    twice = [
        np.concatenate([column, column[ends]]) for column in (confidence, correct.astype(float))
    ]
    assert found == pytest.approx(relplot.smECE(*twice), abs=RELPLOT_WIDTH)
