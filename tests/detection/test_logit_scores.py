"""Scores from logits against their papers' formulas in float64, and against pytorch-ood."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp, softmax

from embedstore.detection import Subject, UndefinedScoreError
from embedstore.detection.logit_scores import (
    energy,
    entropy,
    gen,
    generalised_entropy,
    kl_matching,
    margin,
    max_logit,
    msp,
)
from embedstore.detection.score import SCORES
from embedstore.detection.subject import Part
from embedstore.errors import EmbedStoreError
from embedstore.kernels.log_odds import top_log_odds
from embedstore.store.outcomes import checked_table
from embedstore.testing.stores import random_store

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch's, on being imported
    from pytorch_ood.detector import GEN, EnergyBased, Entropy, KLMatching, MaxLogit, MaxSoftmax

N_CLASSES = 12


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    path = tmp_path_factory.mktemp("scores") / "s"
    sizes = {"n_samples": 70, "n_classes": N_CLASSES, "dim": 16, "failed": (5,)}
    store = random_store(path, datasets=("data", "reference"), **sizes)
    return Subject(store, "model", "own", "data", Part("reference"))


def logits_of(subject, dataset="data"):
    return np.concatenate([b.logits for b in subject.blocks(Part(dataset))]).astype(np.float64)


def scored(scorer, subject, dataset="data"):
    return np.concatenate([scorer(block) for block in subject.blocks(Part(dataset))])


def gen_as_written(z, gamma, m):
    """Liu et al. (2023): p sorted, the m largest, minus sum of p^γ (1 - p)^γ."""
    p = -np.sort(-softmax(z, axis=1), axis=1)[:, :m]
    return -(p**gamma * (1 - p) ** gamma).sum(axis=1)


def kl_as_written(z, reference):
    """Hendrycks et al. (2022), sec. 3.2: -min_k KL(p || d_k), a class and a sample at a time."""
    p, q = softmax(z, axis=1), softmax(reference, axis=1)
    typical = [
        q[q.argmax(axis=1) == k].mean(axis=0)
        for k in range(z.shape[1])
        if (q.argmax(axis=1) == k).any()
    ]
    return np.array([-min((row * np.log(row / d)).sum() for d in typical) for row in p])


def test_each_is_its_papers_formula(subject):
    z, reference = logits_of(subject), logits_of(subject, "reference")
    ordered = np.sort(softmax(z, axis=1), axis=1)
    expected = [
        (msp(subject), ordered[:, -1]),
        (max_logit(subject), z.max(axis=1)),
        (energy(subject), logsumexp(z, axis=1)),
        (energy(subject, temperature=2.5), 2.5 * logsumexp(z / 2.5, axis=1)),
        (entropy(subject), (softmax(z, axis=1) * log_softmax(z, axis=1)).sum(axis=1)),
        (margin(subject), ordered[:, -1] - ordered[:, -2]),
        (gen(subject), gen_as_written(z, 0.1, 100)),
        (gen(subject, gamma=0.5, top_m=4), gen_as_written(z, 0.5, 4)),
        (kl_matching(subject), kl_as_written(z, reference)),
    ]
    assert len(z) == 69
    for scorer, values in expected:
        np.testing.assert_allclose(scored(scorer, subject), values, rtol=1e-6, atol=1e-6)


def test_each_is_minus_pytorch_oods(subject):
    z = torch.from_numpy(logits_of(subject))
    reference = torch.from_numpy(logits_of(subject, "reference"))
    theirs = [
        (msp(subject), MaxSoftmax.score(z)),
        (max_logit(subject), MaxLogit.score(z)),
        (energy(subject), EnergyBased.score(z)),
        (energy(subject, temperature=0.7), EnergyBased.score(z, t=0.7)),
        (entropy(subject), Entropy.score(z)),
        # theirs is the mean over the classes that are kept
        (gen(subject), N_CLASSES * GEN.score(z, gamma=0.1)),
        (gen(subject, gamma=0.3, top_m=5), 5 * GEN.score(z, gamma=0.3, M=5)),
        (kl_matching(subject), KLMatching(None).fit_logits(reference).predict_logits(z).detach()),
    ]
    for scorer, values in theirs:
        np.testing.assert_allclose(scored(scorer, subject), -values.numpy(), rtol=1e-6, atol=1e-6)


def test_those_that_outcomes_hold_are_the_same_to_the_last_bit(subject):
    store = subject.store
    (run,) = store.outcome_runs("model", "data", "own")
    table = pl.read_parquet(checked_table(store.files, run)).filter(
        pl.col("prediction").is_not_null()
    )
    for name, scorer in (
        ("msp", msp(subject)),
        ("max-logit", max_logit(subject)),
        ("energy", energy(subject)),
        ("entropy", entropy(subject)),
        ("margin", margin(subject)),
    ):
        column = SCORES[name].outcome
        sign = -1 if column.startswith("-") else 1
        stored = sign * table[column.removeprefix("-")].to_numpy().astype(np.float64)
        np.testing.assert_array_equal(scored(scorer, subject), stored, err_msg=name)


@pytest.mark.parametrize("n_classes", [1, 2, 3, 100, 101, 1_000])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_gen_sums_the_most_likely_classes(n_classes, spread):
    random = np.random.default_rng(n_classes)
    z = (spread * random.normal(size=(300, n_classes))).astype(np.float32)
    z[:5] = np.round(z[:5])  # ties
    for top_m in (1, 100):
        found = -generalised_entropy(z, 0.1, top_m)
        expected = gen_as_written(z.astype(np.float64), 0.1, top_m)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_gen_tells_samples_apart_whose_probabilities_round_to_1():
    gaps = np.array([30.0, 100, 300, 3_000])
    z = np.stack([np.zeros(4), -gaps, -gaps], axis=1)
    found = generalised_entropy(z.astype(np.float32), 0.1, 100)
    # p (1 - p) is 2 exp(-gap) of the largest, and exp(-gap) of the two others
    expected = np.exp(0.1 * (np.log(2) - gaps)) + 2 * np.exp(-0.1 * gaps)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (np.diff(found) < 0).all()


@settings(deadline=None)
@given(
    st.lists(st.integers(-40, 40), min_size=2, max_size=30), st.sampled_from([0.1, 1.0, 7.0, 100.0])
)
def test_log_odds_of_the_largest(eighths, beta):
    z = np.array([eighths], np.float32) / 8
    ordered = np.sort(beta * z.astype(np.float64)[0])
    expected = ordered[-1] - logsumexp(ordered[:-1])
    assert top_log_odds(z, inverse_temperature=beta)[0] == pytest.approx(expected, abs=2e-6)


def test_log_odds_at_their_ends():
    assert top_log_odds(np.zeros((2, 1), np.float32)).tolist() == [np.inf, np.inf]
    far = np.array([[1e4, -1e4, -2e4], [-5e3, -5e3, -9e9]], np.float32)
    np.testing.assert_allclose(top_log_odds(far), [2e4, 0], atol=1e-6)
    assert top_log_odds(np.zeros((0, 5), np.float32)).shape == (0,)
    strided = np.random.default_rng(0).normal(size=(7, 20)).astype(np.float32)
    np.testing.assert_array_equal(
        top_log_odds(strided[:, ::2]), top_log_odds(strided[:, ::2].copy())
    )


class Given:
    """A subject and blocks of given logits."""

    def __init__(self, *logits):
        self.blocks = [Block(np.asarray(z, np.float32)) for z in logits]
        self.n_classes = self.blocks[0].logits.shape[1] if logits else 3

    def reference_blocks(self):
        return iter(self.blocks)


class Block:
    def __init__(self, logits):
        self.logits = logits

    def __len__(self):
        return len(self.logits)


def test_kl_goes_from_the_sample_to_the_typical_posterior():
    typical, sample = np.array([0.5, 0.25, 0.25]), np.array([0.2, 0.7, 0.1])
    scorer = kl_matching(Given(np.log([typical])))
    forwards = (sample * np.log(sample / typical)).sum()
    backwards = (typical * np.log(typical / sample)).sum()
    score = scorer(Block(np.log([sample]).astype(np.float32)))[0]
    assert score == pytest.approx(-forwards, abs=1e-6)
    assert abs(forwards - backwards) > 0.01
    assert scorer(Block(np.log([typical]).astype(np.float32)))[0] == pytest.approx(0, abs=1e-12)


def test_typical_posteriors_are_means_over_blocks_of_what_is_predicted():
    p = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.4, 0.35, 0.25]])
    scorer = kl_matching(Given(np.log(p[:2]), np.log(p[2:])))
    expected = [p[[0, 2, 3]].mean(axis=0), p[1]]  # the third class is predicted for none
    np.testing.assert_allclose(np.exp(scorer.log_typical), expected, rtol=1e-6)


def test_kl_of_probabilities_that_underflow_is_a_number():
    scorer = kl_matching(Given([[0, -2_000, -2_000], [-2_000, 0, -2_000]]))
    near, far = scorer(Block(np.array([[0, -2_000, -2_000], [-2_000, -2_000, 0]], np.float32)))
    assert near == 0
    assert -np.inf < far < -700


def test_what_cannot_be_scored_is_refused(subject):
    with pytest.raises(UndefinedScoreError, match="no reference sample could be read"):
        kl_matching(Given())
    for score, asked in (
        (energy, {"temperature": 0}),
        (energy, {"temperature": np.nan}),
        (gen, {"gamma": -0.1}),
        (gen, {"top_m": 0}),
    ):
        with pytest.raises(
            EmbedStoreError, match=f"{next(iter(asked))} is .*; give a number above"
        ):
            score(subject, **asked)
