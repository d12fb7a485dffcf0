"""Scores from logits over the ID data set's classes.

Those that outcomes hold are rounded to float32 as these are: samples whose confidences lie within
6e-8 of 1 tie, as in published code that takes the softmax in float32. GEN and KL matching are
computed in log space and float64; GEN tells such samples apart.

Dimensions: N samples of the reference, B of a block, C classes, K predicted for some sample of the
reference, M classes kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import over_rows
from embedstore.detection.score import Scorer, UndefinedScoreError, score
from embedstore.detection.subject import Block, Subject
from embedstore.errors import EmbedStoreError
from embedstore.kernels.log_odds import top_log_odds
from embedstore.kernels.outcomes import Outcomes, outcomes

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@score("msp", "head", outcome="confidence")
def msp(subject: Subject) -> Scorer:  # noqa: ARG001
    """Largest probability of the softmax (Hendrycks & Gimpel, 2017)."""
    return lambda block: _of(block.logits).confidence.astype(np.float64)


@score("max-logit", "head", outcome="max_logit")
def max_logit(subject: Subject) -> Scorer:  # noqa: ARG001
    """Largest logit (Hendrycks et al., 2022)."""
    return lambda block: _of(block.logits).max_logit.astype(np.float64)


@score("energy", "head", outcome="energy")
def energy(subject: Subject, *, temperature: float = 1.0) -> Scorer:  # noqa: ARG001
    """Negative free energy, T log sum exp(z / T) (Liu et al., 2020, eq. 4).

    Parameters
    ----------
    subject
        A head.
    temperature
        T; 1 is the paper's.
    """
    check_positive("temperature", temperature)
    t = np.float32(temperature)
    return lambda block: temperature * _of(block.logits / t).energy.astype(np.float64)


@score("entropy", "head", outcome="-entropy")
def entropy(subject: Subject) -> Scorer:  # noqa: ARG001
    """Minus the entropy of the softmax, sum p log p."""
    return lambda block: -_of(block.logits).entropy.astype(np.float64)


@score("margin", "head", outcome="margin")
def margin(subject: Subject) -> Scorer:  # noqa: ARG001
    """Largest probability of the softmax less the second largest."""
    return lambda block: _of(block.logits).margin.astype(np.float64)


@score("gen", "head")
def gen(subject: Subject, *, gamma: float = 0.1, top_m: int = 100) -> Scorer:  # noqa: ARG001
    """Minus the generalised entropy, sum (p (1 - p))^γ (Liu et al., 2023, eq. 4 and 5).

    Parameters
    ----------
    subject
        A head.
    gamma
        γ, above 0; 0.1 is the paper's.
    top_m
        How many of the largest probabilities are summed; all where there are fewer classes. 100 is
        the paper's for ImageNet.
    """
    check_positive("gamma", gamma)
    check_positive("top_m", top_m)
    return lambda block: -generalised_entropy(block.logits, gamma, top_m)


@score("kl-matching", "head", "reference")
def kl_matching(subject: Subject) -> Matching:
    """Minus the least divergence from a typical posterior (Hendrycks et al., 2022).

    The typical posterior d_k is the mean softmax of the reference samples that are predicted as
    class k, whatever their label; the score is -min over k of KL(p || d_k), p the sample's softmax,
    over the classes that are predicted for some sample.

    Raises
    ------
    UndefinedScoreError
        If no reference sample could be read.
    """
    from scipy.special import softmax

    sums = np.zeros((subject.n_classes, subject.n_classes))
    counts = np.zeros(subject.n_classes, np.int64)
    for block in subject.reference_blocks():
        predictions = block.logits.argmax(axis=1)
        order = np.argsort(predictions, kind="stable")
        found, starts = np.unique(predictions[order], return_index=True)
        p = softmax(block.logits[order].astype(np.float64), axis=1)
        sums[found] += np.add.reduceat(p, starts, axis=0)
        counts += np.bincount(predictions, minlength=len(counts))
    predicted = counts > 0
    if not predicted.any():
        raise UndefinedScoreError("no reference sample could be read")
    typical = sums[predicted] / counts[predicted, None]
    # 0 where all of a class's probabilities underflow: log 0 times a probability of 0 is no number
    return Matching(np.log(np.maximum(typical, np.finfo(np.float64).tiny)))


@dataclass(frozen=True, slots=True)
class Matching:
    """Minus the divergence from the typical posterior that is nearest."""

    log_typical: F64  # (K, C) nats

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,), nats, at most 0."""
        from scipy.special import log_softmax

        log_p = log_softmax(block.logits.astype(np.float64), axis=1)
        p = np.exp(log_p)
        # float32 tells which is nearest in a third of the time, and float64 how near
        nearest = (p.astype(np.float32) @ self.log_typical.astype(np.float32).T).argmax(axis=1)
        return np.asarray((p * (self.log_typical[nearest] - log_p)).sum(axis=1), np.float64)


def generalised_entropy(logits: F32, gamma: float, top_m: int) -> F64:
    """Sum (p (1 - p))^γ over the M largest probabilities: (B, C) -> (B,).

    In log space: at γ = 0.1 a probability of 1e-40 still counts, and one that differs from 1 by
    less than float64 tells.
    """
    parts = over_rows(lambda start, stop: _sums(logits[start:stop], gamma, top_m), len(logits))
    return np.concatenate(parts)


def _sums(logits: F32, gamma: float, top_m: int) -> F64:
    n_classes, kept = logits.shape[1], logits
    if top_m < n_classes:
        kept = np.partition(logits, n_classes - top_m, axis=1)[:, n_classes - top_m :]
    log_odds = top_log_odds(logits)[:, None]
    below = kept.astype(np.float64) - kept.max(axis=1, keepdims=True)
    log_p = below - np.logaddexp(0, -log_odds)
    # but for the largest, whose rest is known, no probability is above one half
    log_rest = np.log1p(-np.exp(np.minimum(log_p, -np.log(2))))
    log_rest = np.where(below == 0, -np.logaddexp(0, log_odds), log_rest)
    return np.asarray(np.exp(gamma * (log_p + log_rest)).sum(axis=1), np.float64)


def check_positive(name: str, value: Any) -> None:
    """Raise unless a hyper-parameter is above 0 and finite."""
    if not 0 < value < np.inf:
        raise EmbedStoreError(f"{name} is {value}; give a number above 0")


def _of(logits: F32) -> Outcomes:
    return outcomes(logits, np.full(len(logits), -1))
