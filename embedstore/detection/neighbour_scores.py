"""Scores by the nearest neighbours of an embedding among a reference's.

Dimensions: N samples of the reference, B of a block, M of the bank, D embedding, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.detection.linear import energy
from embedstore.detection.moments import of_unit_length
from embedstore.detection.score import UndefinedScoreError, score
from embedstore.detection.subject import Block, Subject
from embedstore.errors import EmbedStoreError
from embedstore.index.exact import QUERY_ROWS, check_k, nearest
from embedstore.store.arrays import StoredArray

Bool = npt.NDArray[np.bool_]
F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: Samples of NNGuide's bank at most: 1 % of ImageNet's 1,281,167 training pictures.
BANK = 12_812
_STEP = 1_024  # rows whose distances are taken in float64 at once


@dataclass(frozen=True, slots=True)
class KthDistance:
    """Minus the distance to the k-th nearest sample of the reference, all of unit length.

    The reference is read where it is stored, and again for each block.
    """

    stored: StoredArray  # float16
    chosen: Bool  # which rows of it
    k: int

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        found = nearest(block.embeddings, self._shards(), self.k, normalize=True)
        rows = np.flatnonzero(self.chosen)[found.rows[:, -1]]
        distances = np.empty(len(block))
        for start in range(0, len(block), _STEP):
            some = slice(start, start + _STEP)
            # a cosine near 1 has few digits of the distance left: the difference has all of them
            distances[some] = _distances(block.embeddings[some], self.stored[rows[some]])
        return -distances

    def _shards(self) -> Iterator[F16]:
        start = 0
        for shard in self.stored.blocks():
            chosen = self.chosen[start : start + len(shard)]
            start += len(shard)
            yield shard if chosen.all() else shard[chosen]


@dataclass(frozen=True, slots=True)
class Guided:
    """The energy times the mean product with the k nearest of a bank."""

    bank: F32  # (M, D) of unit length times their energy
    k: int
    alpha: float  # M / N

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        found = nearest(block.unit_embeddings, [self.bank], self.k)
        return np.asarray(found.scores.mean(axis=1, dtype=np.float64) * energy(block.logits))


@score("knn", "reference", block_rows=QUERY_ROWS)
def knn(subject: Subject, *, k: int | None = None) -> KthDistance:
    """Minus the distance to the k-th nearest reference sample (Sun et al., 2022).

    Embeddings are brought to unit length.

    Parameters
    ----------
    subject
        Any with embeddings.
    k
        Of neighbours; None: N / 1,000, rounded, at least 1: 50 of 50,000, and 1,281 of ImageNet's
        training set, for which the paper has 1,000 (10 of 1 % of it).

    Raises
    ------
    EmbedStoreError
        If the reference has fewer than k samples.
    UndefinedScoreError
        If it has none that could be read.
    """
    assert subject.reference is not None, "asked for by scores that need it alone"
    stored = subject.store.embeddings(subject.model, subject.reference.dataset)
    shards = [~np.isnan(shard[:, 0]) for shard in stored.blocks()]
    chosen = np.concatenate(shards) if shards else np.zeros(0, np.bool_)
    if subject.reference.rows is not None:
        chosen &= subject.reference.rows
    n_samples = int(chosen.sum())
    if n_samples == 0:
        raise UndefinedScoreError(f"no sample of {subject.reference.dataset!r} could be read")
    k = max(1, round(n_samples / 1_000)) if k is None else k
    check_k(k, n_samples)
    return KthDistance(stored, chosen, k)


@score("nnguide", "head", "reference")
def nnguide(subject: Subject, *, k: int | None = None, alpha: float | None = None) -> Guided:
    """Energy times the mean product with the nearest of a bank (Park et al., 2023).

    The bank holds embeddings of a random part of the reference (seed 0), each of unit length times
    its own energy; the k largest products with the sample's unit embedding are averaged.

    Parameters
    ----------
    subject
        Any head.
    k
        Of neighbours; None: 10 as in the authors' code (OpenOOD: 100), or all of a smaller bank.
    alpha
        Share of the reference in the bank; None: `BANK` samples, the paper's 1 % of ImageNet's
        training set, or all where there are fewer.

    Raises
    ------
    EmbedStoreError
        If the bank has fewer than k samples.
    UndefinedScoreError
        If its energies are not above 0 on average.
    """
    if alpha is not None and not 0 < alpha <= 1:
        raise EmbedStoreError(f"alpha={alpha} is not above 0 and up to 1; try alpha=0.01")
    n_samples = sum(len(block) for block in subject.reference_blocks())
    n_bank = min(n_samples, BANK) if alpha is None else max(1, round(alpha * n_samples))
    k = min(10, n_bank) if k is None else k
    check_k(k, n_bank)
    drawn = np.zeros(n_samples, np.bool_)
    drawn[np.random.default_rng(0).permutation(n_samples)[:n_bank]] = True
    bank, start, total = [], 0, 0.0
    for block in subject.reference_blocks():
        chosen = drawn[start : start + len(block)]
        start += len(block)
        if not chosen.any():
            continue
        lengths = energy(block.logits[chosen])[:, None]
        total += float(lengths.sum())
        bank.append(np.asarray(block.unit_embeddings[chosen] * lengths, np.float32))
    if total <= 0:  # a bias as SigLIP's makes them so, and a product of two turns their order
        raise UndefinedScoreError(
            "the bank's energies are not above 0 on average: they are no measure of confidence to "
            "multiply by"
        )
    return Guided(np.concatenate(bank), k, n_bank / n_samples)


def _distances(embeddings: F32, others: F16) -> F64:
    """Between rows brought to unit length: (B, D) twice -> (B,)."""
    return np.asarray(np.linalg.norm(of_unit_length(embeddings) - of_unit_length(others), axis=1))
