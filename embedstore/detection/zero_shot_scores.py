"""Scores of zero-shot heads: cosines of a picture with the texts of classes.

Dimensions: B samples of a block, C classes, W words that may be negative labels, M negative labels,
D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.detection.logit_scores import check_positive
from embedstore.detection.score import Scorer, UndefinedScoreError, score
from embedstore.detection.subject import Block, Subject
from embedstore.errors import EmbedStoreError
from embedstore.heads.head import zero_shot_weights
from embedstore.kernels.log_odds import mean_share, top_log_odds

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_COSINES = 2**22  # with negative labels that are held at once: 16 MiB
_WORDS = 1_000  # whose cosines with all classes are held at once


@score("mcm", "head")
def mcm(subject: Subject, *, temperature: float = 1.0, scaled: bool = False) -> Scorer:
    """Maximum concept matching: largest softmax of cosines / τ (Ming et al., 2022, eq. 1).

    Parameters
    ----------
    subject
        A zero-shot head.
    temperature
        τ; 1 is the paper's.
    scaled
        Multiply the cosines by the head's logit scale first, as logits have them.

    Raises
    ------
    UndefinedScoreError
        If the head is not zero-shot.
    """
    check_positive("temperature", temperature)
    _check_zero_shot(subject)
    beta = (subject.head.scale if scaled else 1.0) / temperature

    def probability(block: Block) -> F64:
        from scipy.special import expit

        log_odds = top_log_odds(block.cosines, inverse_temperature=beta)
        return np.asarray(expit(log_odds), np.float64)

    return probability


@score("neglabel", "head")
def neglabel(
    subject: Subject,
    *,
    temperature: float = 0.01,
    n_negatives: int = 10_000,
    quantile: float = 0.95,
    n_groups: int = 100,
    seed: int = 0,
) -> NegativeLabels:
    """Share of the classes beside negative labels, mean over groups of these (Jiang et al., 2024).

    Negative labels are the words of the subject's text set that lie farthest from the classes: the
    `n_negatives` of least `quantile` of their cosines with all classes (NegMining). They are
    shuffled and cut into equal groups, what is left over being dropped; the score is the mean over
    groups of the softmax of cosines / τ, summed over the classes.

    The authors' code mines nouns and adjectives apart, 15 % of each (some 10,000 words in all), and
    shuffles on a GPU, which another machine cannot repeat: groups differ.

    Parameters
    ----------
    subject
        A zero-shot head, and the name of a text set over words.
    temperature
        τ; 0.01 is theirs.
    n_negatives
        M; all words where there are fewer.
    quantile
        0 to 1, linear.
    n_groups
        1 to M.
    seed
        Of the shuffle.

    Raises
    ------
    UndefinedScoreError
        If the head is not zero-shot, the model has no such text set, or it has too few words.
    EmbedStoreError
        If a hyper-parameter is out of range, or the texts are captions.
    """
    for name, value in (("temperature", temperature), ("n_groups", n_groups)):
        check_positive(name, value)
    if not 0 <= quantile <= 1:
        raise EmbedStoreError(f"quantile is {quantile}; give a number from 0 to 1")
    _check_zero_shot(subject)
    words = _word_embeddings(subject)
    chosen = mined(words, subject.weights, n_negatives, quantile)
    if n_groups > len(chosen):
        raise UndefinedScoreError(
            f"{len(chosen)} negative labels make no {n_groups} groups; give n_groups from 1 to "
            f"{len(chosen)}, or a text set of more words"
        )
    kept = chosen[: len(chosen) - len(chosen) % n_groups]
    shuffled = np.random.default_rng(seed).permutation(kept)
    return NegativeLabels(words[shuffled], n_groups, 1 / temperature)


@dataclass(frozen=True, slots=True)
class NegativeLabels:
    """Share of the classes beside groups of negative labels."""

    embeddings: F32  # (M, D) of unit length, group by group
    n_groups: int
    inverse_temperature: float

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,) probabilities."""
        shares = np.empty(len(block))
        step = max(1, _COSINES // len(self.embeddings))
        for start in range(0, len(block), step):
            some = slice(start, start + step)
            shares[some] = mean_share(
                block.cosines[some],
                block.unit_embeddings[some] @ self.embeddings.T,
                self.n_groups,
                inverse_temperature=self.inverse_temperature,
            )
        return shares


def mined(words: F32, classes: F32, n_negatives: int, quantile: float) -> I64:
    """Return the words farthest from all classes, farthest first: (W, D), (C, D) -> (M,).

    Parameters
    ----------
    words, classes
        Of unit length.
    n_negatives
        M at most.
    quantile
        Of a word's cosines with the classes: how near it is. Ties to the earlier word.
    """
    check_positive("n_negatives", n_negatives)
    nearness = np.concatenate(
        [
            np.quantile(words[start : start + _WORDS] @ classes.T, quantile, axis=1)
            for start in range(0, len(words), _WORDS)
        ]
    )
    return np.argsort(nearness, kind="stable")[:n_negatives]


def _check_zero_shot(subject: Subject) -> None:
    if not subject.zero_shot:
        raise UndefinedScoreError(
            f"head {subject.head_name!r} is not zero-shot: its logits are no cosines with texts"
        )


def _word_embeddings(subject: Subject) -> F32:
    """Return an embedding of unit length for each word of the negatives: (W, D)."""
    name = subject.negatives
    if not name:
        raise UndefinedScoreError("no text set of negative labels is named; give --negatives")
    if name not in subject.store.text_sets(subject.model):
        raise UndefinedScoreError(
            f"no text set {name!r} is encoded with {subject.model!r}; add it with: embedstore "
            "prompts encode"
        )
    record, texts = subject.store.texts(name)
    if not record.class_ids:
        raise EmbedStoreError(
            f"text set {name!r} holds captions; give --negatives prompts over words"
        )
    embeddings = np.asarray(subject.store.text_embeddings(subject.model, name), np.float32)
    return zero_shot_weights(embeddings, texts["class_index"].to_numpy(), len(record.class_ids))
