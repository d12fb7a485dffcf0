"""Areas and false positives against scikit-learn and the code of those who set the conventions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from embedstore.errors import EmbedStoreError, NonFiniteError, UnknownNameError
from embedstore.kernels.detection import areas, auroc_variance, levels, precision_variance
from embedstore.stats.delong import delong
from embedstore.stats.detection import detection, detection_by_group
from embedstore.stats.false_positives import false_positives

ROOT = Path(__file__).parents[2]
CONVENTIONS = ("id-recall", "id-quantile", "ood-recall")
RECALLS = (0.05, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
N_CASES = 3_000


def cases(n_cases=N_CASES, seed=0):
    """Sides of 1 to 60 samples whose scores tie heavily, seldom or never, of one or both types."""
    random = np.random.default_rng(seed)
    for case in range(n_cases):
        n_id, n_ood = random.integers(1, 60, 2)
        both = random.normal(size=n_id + n_ood) + np.repeat(
            [random.uniform(0, 2), 0], [n_id, n_ood]
        )
        steps = random.choice([1, 2, 5, 20, 0])
        both = np.round(both * steps) / steps if steps else both
        kinds = random.choice([np.float64, np.float32], 2)
        yield both[:n_id].astype(kinds[0]), both[n_id:].astype(kinds[1]), RECALLS[case % 7]


def together(id_scores, ood_scores):
    """Labels, 1 for ID, and scores."""
    labels = np.repeat([1, 0], [len(id_scores), len(ood_scores)])
    return labels, np.concatenate([id_scores, ood_scores]).astype(np.float64)


def auroc_of(found):
    return areas(found)[0]


def precision_of(found):
    return areas(found)[1]


def mcm_false_positives(id_scores, ood_scores, recall_level):
    """Ming et al.'s own steps (their `fpr_and_fdr_at_recall`), in their order."""
    labels, scores = together(id_scores, ood_scores)
    order = np.argsort(scores, kind="mergesort")[::-1]
    scores, positive = scores[order], labels[order] == 1
    ends = np.r_[np.where(np.diff(scores))[0], positive.size - 1]
    tps = np.cumsum(positive, dtype=np.float64)[ends]
    fps = 1 + ends - tps
    recall = tps / tps[-1]
    backwards = slice(tps.searchsorted(tps[-1]), None, -1)
    recall, fps = np.r_[recall[backwards], 1], np.r_[fps[backwards], 0]
    return fps[np.argmin(np.abs(recall - recall_level))] / np.sum(~positive)


def ninco_false_positives(id_scores, ood_scores, recall_level):
    threshold = np.quantile(id_scores.astype(np.float64), 1 - recall_level)
    return (ood_scores.astype(np.float64) >= threshold).mean()


def openood_false_positives(id_scores, ood_scores, recall_level):
    """As OpenOOD v1.5 calls scikit-learn."""
    labels, scores = together(id_scores, ood_scores)
    fpr, tpr, _ = roc_curve(1 - labels, -scores)
    return fpr[np.argmax(tpr >= recall_level)]


def test_areas_are_those_of_sklearn():
    for id_scores, ood_scores, _ in cases(600):
        found = detection(id_scores, ood_scores, intervals=False)
        joined = detection(id_scores, ood_scores, area="trapezoid", intervals=False)
        labels, scores = together(id_scores, ood_scores)
        expected = [roc_auc_score(labels, scores)]
        values = [found.auroc.value]
        for name, side, sign in (("aupr_in", labels, 1), ("aupr_out", 1 - labels, -1)):
            precision, recall, _ = precision_recall_curve(side, sign * scores)
            expected += [average_precision_score(side, sign * scores), auc(recall, precision)]
            values += [getattr(found, name).value, getattr(joined, name).value]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("convention", "literal"),
    [
        ("id-recall", mcm_false_positives),
        ("id-quantile", ninco_false_positives),
        ("ood-recall", openood_false_positives),
    ],
)
def test_false_positives_are_those_of_the_authors(convention, literal):
    for id_scores, ood_scores, recall in cases(seed=2):
        found = false_positives(levels(id_scores, ood_scores), convention=convention, recall=recall)
        assert found.rate == literal(id_scores, ood_scores, recall)


def test_steps_of_equal_width_leave_no_corner_to_stop_at():
    """One sample of each side at every level: roc_curve drops all points but the ends."""
    scores = np.arange(40.0)
    assert openood_false_positives(scores, scores, 0.5) == 1
    assert false_positives(levels(scores, scores), convention="ood-recall", recall=0.5).rate == 1
    assert false_positives(levels(scores, scores), recall=0.5).rate == 0.5


@pytest.mark.parametrize("bend", [1, 150, 260, 451, 498])
def test_a_corner_may_be_far(bend):
    id_scores = np.sort(np.append(np.arange(500.0), 500.0 - bend))
    for recall in RECALLS:
        found = false_positives(
            levels(id_scores, np.arange(500.0)), convention="ood-recall", recall=recall
        )
        assert found.rate == openood_false_positives(id_scores, np.arange(500.0), recall)


def test_of_two_levels_as_near_the_lower_is_taken():
    # recalls .25, .5, .75 and 1: .5 and .75 lie as near to .625, exactly so in binary
    found = false_positives(levels([4, 3, 2, 1], [3.5, 2.5, 0]), recall=0.625)
    assert (found.n_found, found.n_accepted) == (3, 2)
    # OOD samples below the third ID one and above the fourth are accepted at that recall too
    found = false_positives(levels([4, 3, 2, 1], [3.5, 2.5, 1.7, 1.5]), recall=0.75)
    assert (found.n_found, found.n_accepted) == (3, 4)
    # but none below the level that accepts every ID sample
    found = false_positives(levels([4, 3, 2, 1], [3.5, 0.5, 0.2]), recall=1)
    assert (found.n_found, found.n_accepted) == (4, 1)


def test_the_three_conventions_differ_as_they_are_worded():
    id_scores, ood_scores = np.arange(20.0), np.array([-1, 0.0, 0.9, 0.96, 1.0, 12])
    found = levels(id_scores, ood_scores)
    rates = [false_positives(found, convention=name).rate for name in CONVENTIONS]
    # .9 is the lowest level with 19 of 20 ID; the quantile is .95; at 12 all OOD are caught
    assert rates == [4 / 6, 3 / 6, 13 / 20]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_constant_scores_tell_nothing_apart(convention):
    found = detection([0.5] * 7, [0.5] * 3, convention=convention)
    assert found.auroc.value == 0.5
    assert found.auroc == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)
    assert found.aupr_in.value == pytest.approx(0.7)
    assert found.aupr_out.value == pytest.approx(0.3)
    assert found.fpr.value == 1


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_separate_sides(convention):
    found = detection([3, 4, 5], [0, 1], convention=convention)
    assert [e.value for e in (found.auroc, found.aupr_in, found.aupr_out, found.fpr)] == [
        1,
        1,
        1,
        0,
    ]
    assert (found.n_id, found.n_ood) == (3, 2)
    assert found.fpr.low == 0
    assert 0.5 < found.fpr.high < 1  # two samples say little


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_one_sample_on_a_side(convention):
    found = detection([1.0], [0.0, 1.0, 2.0], convention=convention)
    assert found.auroc.value == 0.5
    assert np.isnan([found.auroc.low, found.aupr_in.high, found.aupr_out.low]).all()
    expected = {"id-recall": 2 / 3, "id-quantile": 2 / 3, "ood-recall": 1.0}[convention]
    assert found.fpr.value == expected
    assert detection([0.0, 1.0, 2.0], [1.0], convention=convention).auroc.value == 0.5


@settings(deadline=None)
@given(st.data())
def test_infinities_are_scores_like_others(data):
    """Ranks stand for them in scikit-learn, which refuses them."""
    scores = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 2.5, np.inf]), min_size=1, max_size=12)
    sides = data.draw(scores), data.draw(scores)
    values = np.array([-np.inf, -1.0, 0.0, 2.5, np.inf])
    ranks = [np.searchsorted(values, side).astype(float) for side in sides]
    for convention in CONVENTIONS[::2]:
        found, ranked = (
            detection(*pair, convention=convention, intervals=False) for pair in (sides, ranks)
        )
        for name in ("auroc", "aupr_in", "aupr_out", "fpr"):
            assert getattr(found, name).value == getattr(ranked, name).value


def test_a_quantile_beside_an_infinity_is_the_lower_score():
    low = [-np.inf, *range(10)]
    assert false_positives(levels(low, [-5, 0]), convention="id-quantile").rate == 1
    high = [*[0.0] * 3, *[np.inf] * 57]
    assert false_positives(levels(high, [-1, 1, np.inf]), convention="id-quantile").rate == 2 / 3
    assert false_positives(levels([-1, 1], [np.inf, -np.inf]), convention="id-quantile").rate == 0.5


def test_signed_zeros_tie():
    assert auroc_of(levels([0.0], [-0.0])) == auroc_of(levels([-0.0], [0.0])) == 0.5


def test_float32_ties_stay_ties_and_float64_ones_are_not_made():
    third = np.float32(1 / 3)
    assert auroc_of(levels(np.array([third]), np.array([third]))) == 0.5
    assert auroc_of(levels(np.array([third]), np.array([np.float64(third)]))) == 0.5
    assert auroc_of(levels(np.array([1 / 3]), np.array([third]))) == (np.float64(third) < 1 / 3)
    assert levels(np.ones(1, np.float32), np.zeros(1, np.float32)).id_scores.dtype == np.float32
    assert auroc_of(levels(np.array([2, 1], np.float16), np.array([1], np.int8))) == 0.75


def test_a_quantile_is_not_rounded_to_a_tie():
    """Between two neighbours of float32 it lies above the lower one, and not at it."""
    low = np.float32(1)
    id_scores = np.array([low, np.nextafter(low, np.float32(2))])
    found = levels(id_scores, np.array([low], np.float32))
    assert false_positives(found, convention="id-quantile", recall=0.9).rate == 0


def test_variances_are_those_of_delong_and_of_the_leave_one_out_jackknife():
    random = np.random.default_rng(3)
    id_scores = np.round(random.normal(1, 1, 800), 1)
    ood_scores = np.round(random.normal(size=500), 1)
    found = levels(id_scores, ood_scores)
    expected = delong(id_scores, ood_scores).covariance[0, 0]
    assert auroc_variance(found, areas(found)[0]) == pytest.approx(expected, rel=1e-10)

    def spread(parts):
        return (len(parts) - 1) / len(parts) * np.square(parts - np.mean(parts)).sum()

    without_id = [
        precision_of(levels(np.delete(id_scores, i), ood_scores)) for i in range(len(id_scores))
    ]
    without_ood = [
        precision_of(levels(id_scores, np.delete(ood_scores, i))) for i in range(len(ood_scores))
    ]
    # the jackknife counts fewer samples of a side, and so shifts the share of ID samples a little
    jackknife = spread(np.array(without_id)) + spread(np.array(without_ood))
    assert precision_variance(found) == pytest.approx(jackknife, rel=0.2)


def influences(id_scores, ood_scores):
    """Derivatives of average precision by each sample's weight within its side, numerically."""
    n_id, n_ood, step = len(id_scores), len(ood_scores), 1e-6

    def area(id_weights, ood_weights):
        id_weights = id_weights / id_weights.sum() * n_id
        ood_weights = ood_weights / ood_weights.sum() * n_ood
        hits = [(id_weights * (id_scores >= s)).sum() for s in id_scores]
        misses = [(ood_weights * (ood_scores >= s)).sum() for s in id_scores]
        precision = np.array(hits) / (np.array(hits) + np.array(misses))
        return (id_weights * precision).sum() / n_id

    base = np.ones(n_id), np.ones(n_ood)
    for side in (0, 1):
        moved = []
        for i in range(len(base[side])):
            weights = [base[0].copy(), base[1].copy()]
            weights[side][i] += step
            moved.append((area(*weights) - area(*base)) / step * len(base[side]))
        yield np.array(moved)


def test_the_variance_of_average_precision_is_that_of_its_influences():
    random = np.random.default_rng(4)
    id_scores = np.round(random.normal(1, 1, 40), 1)
    ood_scores = np.round(random.normal(size=30), 1)
    expected = sum(part.var(ddof=1) / len(part) for part in influences(id_scores, ood_scores))
    found = precision_variance(levels(id_scores, ood_scores))
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("separation", "convention"), [(0.5, "id-recall"), (2.0, "id-quantile"), (1.0, "ood-recall")]
)
def test_nineteen_in_twenty_intervals_hold_the_truth(separation, convention):
    random, size = np.random.default_rng(5), (200, 300)
    truth = detection(
        random.normal(separation, 1, 100_000),
        random.normal(size=150_000),
        convention=convention,
        intervals=False,
    )
    names, n_draws = ("auroc", "aupr_in", "aupr_out", "fpr"), 400
    held = dict.fromkeys(names, 0)
    for _ in range(n_draws):
        found = detection(
            random.normal(separation, 1, size[0]),
            random.normal(size=size[1]),
            convention=convention,
        )
        for name in names:
            estimate = getattr(found, name)
            held[name] += estimate.low <= getattr(truth, name).value <= estimate.high
    for name in names:
        assert 0.91 < held[name] / n_draws < (0.99 if name == "fpr" else 0.975), held


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_groups_are_measured_one_by_one(convention):
    random = np.random.default_rng(6)
    id_scores = np.round(random.normal(1, 1, 90), 1).astype(np.float32)
    ood_scores = np.round(random.normal(size=70), 1).astype(np.float32)
    groups = random.choice([7, -1, 3], 70, p=[0.7, 0.2, 0.1])
    found = detection_by_group(id_scores, ood_scores, groups, convention=convention)
    np.testing.assert_array_equal(found.groups, [-1, 3, 7])
    parts = [
        detection(id_scores, ood_scores[groups == g], convention=convention) for g in found.groups
    ]
    np.testing.assert_array_equal(found.n_ood, [part.n_ood for part in parts])
    np.testing.assert_array_equal(found.auroc, [part.auroc.value for part in parts])
    np.testing.assert_array_equal(found.fpr, [part.fpr.value for part in parts])
    assert found.mean_fpr == pytest.approx(np.mean([part.fpr.value for part in parts]))
    assert found.mean_auroc == pytest.approx(np.mean([part.auroc.value for part in parts]))


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(EmbedStoreError, match="OOD scores are of shape .0,.; give one a sample"):
        detection([1.0], [])
    with pytest.raises(EmbedStoreError, match="in-distribution scores are of shape .0,."):
        detection([], [1.0])
    with pytest.raises(EmbedStoreError, match="in-distribution scores are of shape .2, 1."):
        levels(np.ones((2, 1)), [1.0])
    with pytest.raises(NonFiniteError, match="OOD score of sample 2 is NaN; leave out"):
        detection([1.0], [np.inf, 0, np.nan, np.nan])
    with pytest.raises(NonFiniteError, match="OOD score of sample 2 is NaN"):
        detection_by_group([1.0], [np.inf, 0, np.nan], np.array([5, 5, 9]))
    for recall in (0, -0.1, 1.01, np.nan, 95):
        with pytest.raises(EmbedStoreError, match="recall is .*; give a share above 0"):
            detection([1.0], [0.0], recall=recall)
    with pytest.raises(UnknownNameError, match="unknown convention 'openood'; choose one of: id-q"):
        detection([1.0], [0.0], convention="openood")
    with pytest.raises(UnknownNameError, match="unknown area 'auc'; choose one of: average-pre"):
        detection([1.0], [0.0], area="auc")
    for groups in (np.array([0.0, 1.0]), np.array([1])):
        with pytest.raises(EmbedStoreError, match=r"give integers of shape \(2,\)"):
            detection_by_group([1.0], [0.0, 1.0], groups)


def test_scores_are_left_as_they_are():
    id_scores, ood_scores = np.array([3.0, 1.0]), np.array([2.0, 0.0])
    for scores in (id_scores, ood_scores):
        scores.flags.writeable = False
    detection(id_scores[::-1], ood_scores, convention="ood-recall")
    np.testing.assert_array_equal(id_scores, [3, 1])


UNCOMPILED = """
import sys
import numpy as np
from embedstore.stats.detection import detection
given = np.load(sys.argv[1])
for area in ("average-precision", "trapezoid"):
    found = detection(given["id"], given["ood"], area=area)
    print(*found.auroc, *found.aupr_in, *found.aupr_out, *found.fpr)
"""


def test_uncompiled_it_says_the_same(tmp_path):
    id_scores, ood_scores, _ = next(cases(1, seed=8))
    np.savez(tmp_path / "given.npz", id=id_scores, ood=ood_scores)
    printed = subprocess.run(
        [sys.executable, "-c", UNCOMPILED, tmp_path / "given.npz"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    expected = [
        [*found.auroc, *found.aupr_in, *found.aupr_out, *found.fpr]
        for area in ("average-precision", "trapezoid")
        for found in [detection(id_scores, ood_scores, area=area)]
    ]
    np.testing.assert_allclose(np.array(printed.stdout.split(), float), np.ravel(expected))
