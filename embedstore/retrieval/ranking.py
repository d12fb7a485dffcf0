"""What queries find, from counts of the candidates that score above their positives.

The positives of a query that share a score are one block. It knows counts, not embeddings.
Dimensions: E pairs of a query and something positive, B blocks, Q queries, K cut-offs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedstore.kernels.ranks import first_of_ties

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Ties = Literal["pessimistic", "expected"]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Positives of a query that share a score; query by query, the highest score first."""

    first: I64  # (Q,) the first block of each query
    query: I64  # (B,) 0 to Q - 1, ascending
    before: I64  # (B,) candidates of higher score
    found: I64  # (B,) positives among them
    positives: I64  # (B,) of this score
    others: I64  # (B,) candidates of this score that are not positive


@dataclass(frozen=True, slots=True)
class Found:
    """How well each query finds its positives; expectations over orders where ties are random."""

    recalls: F64  # (K, Q) whether a positive is among the first k
    rank: F64  # (Q,) of the first positive, from 1; infinite beyond what was looked at
    reciprocal_rank: F64  # (Q,) NaN where some ranks are not known
    average_precision: F64  # (Q,) over the first R ranks, R the query's positives; NaN likewise

    def of(self, queries: I64) -> Found:
        """Return what some queries find, which may repeat."""
        return Found(
            self.recalls[:, queries],
            self.rank[queries],
            self.reciprocal_rank[queries],
            self.average_precision[queries],
        )


def blocks_of(query: I64, scores: F32, above: I64, reaching: I64, positives: I64) -> Blocks:
    """Gather the positives of each query into blocks.

    Parameters
    ----------
    query
        (E,) 0 to Q - 1, each there, in any order.
    scores
        (E,) of the positives.
    above, reaching
        (E,) candidates of a higher score, and of at least this one, of all kinds.
    positives
        (E,) how many of the query's positives a pair stands for: equal texts are several.
    """
    order = np.lexsort((-scores, query))
    query, scores = query[order], scores[order]
    first = np.flatnonzero(np.diff(query, prepend=-1))
    starts = np.flatnonzero((np.diff(query, prepend=-1) != 0) | (np.diff(scores, prepend=0) != 0))
    many = np.add.reduceat(positives[order], starts)
    total = np.cumsum(many) - many
    begins = np.searchsorted(starts, first)
    before = above[order][starts]
    return Blocks(
        first=begins,
        query=query[starts],
        before=before,
        found=total - total[begins][query[starts]],
        positives=many,
        others=reaching[order][starts] - before - many,
    )


def found(blocks: Blocks, ks: tuple[int, ...], ties: Ties) -> Found:
    """Return recall at each k, rank, reciprocal rank and average precision of each query.

    Parameters
    ----------
    blocks
        Positives of Q queries.
    ks
        (K,) cut-offs.
    ties
        `pessimistic`: candidates that equal a positive come before it; `expected`: expectations
        where all orders of equals are as likely.
    """
    if ties == "pessimistic":
        before, none = blocks.before + blocks.others, np.zeros_like(blocks.others)
        blocks = replace(blocks, before=before, others=none)
    before, positives, others = (
        column[blocks.first] for column in (blocks.before, blocks.positives, blocks.others)
    )
    recalls = np.empty((len(ks), len(before)))
    reciprocal = np.empty(len(before))
    first_of_ties(before, positives, others, np.array(ks, np.int64), recalls, reciprocal)
    # the first of p marked places among n, in random order, is expected at (n + 1) / (p + 1)
    rank = before + (positives + others + 1) / (positives + 1)
    return Found(recalls, rank, reciprocal, _average_precision(blocks))


def _average_precision(blocks: Blocks) -> F64:
    """Average precision over the first R ranks, R a query's positives (Musgrave et al., 2020).

    Of n equals at ranks h + 1 to h + n, p of them positive and in random order, after f positives:
    the l-th is positive with probability p / n, and then expects f + 1 + (l - 1)(p - 1)/(n - 1)
    positives up to itself. Precision summed over l is linear in l over h + l: harmonic numbers.
    """
    n_positives = np.add.reduceat(blocks.positives, blocks.first)  # (Q,) R
    h, f, p = blocks.before, blocks.found, blocks.positives
    n = p + blocks.others
    places = np.clip(n_positives[blocks.query] - h, 0, n)  # of the block, within the first R
    slope = (p - 1) / np.maximum(n - 1, 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n_positives.max() + 1))])
    last = len(harmonic) - 1
    sums = harmonic[np.minimum(h + places, last)] - harmonic[np.minimum(h, last)]
    sums = np.where(places == 1, 1 / (h + 1), sums)  # the last digit too
    precision = p / n * (slope * places + (f + 1 - slope * (h + 1)) * sums)
    return np.add.reduceat(precision, blocks.first) / n_positives


__all__ = ["Blocks", "Found", "Ties", "blocks_of", "found"]
