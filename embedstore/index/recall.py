"""How many of the nearest neighbours an index finds, and how widely it must look for it.

Dimensions: N rows of the embeddings, Q queries, D embedding, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedstore.heads.splits import hashed
from embedstore.index.exact import Metric, Neighbours, nearest
from embedstore.index.kinds import Size, apply_settings, ladder
from embedstore.index.opened import Index
from embedstore.index.rows import F32, Floats, prepared
from embedstore.index.subject import Subject

I64 = npt.NDArray[np.int64]
#: What is aimed at: recall@10.
AIM, K = 0.95, 10
#: Queries: at most so many, and at most a tenth of the rows.
N_QUERIES, SHARE = 1_000, 10
#: By how much a neighbour may seem farther, rounding alone parting it from an equal one; of the
#: query's squared length.
SLACK = 1e-5


class Measured(NamedTuple):
    """How an index does at its settings."""

    settings: dict[str, int]
    recall: float | None  # @10, or of all rows where there are fewer; None without a query
    queries: I64  # (Q,) rows that served as such


def sampled(subject: Subject) -> I64:
    """Return the rows that serve as queries, by a hash of their ids, ascending: (Q,)."""
    rows = subject.rows
    numbers = hashed(subject.ids, 0, "index")[rows]
    n_queries = min(N_QUERIES, len(rows) // SHARE)
    return np.sort(rows[np.argsort(numbers, kind="stable")[:n_queries]])


def without(subject: Subject, rows: I64) -> Iterator[Floats]:
    """Yield the blocks of the embeddings with NaN in place of some rows: (B, D)."""
    start = 0
    for block in subject.embeddings.blocks():
        first, last = np.searchsorted(rows, [start, start + len(block)])
        if first < last:
            block = block.copy()
            block[rows[first:last] - start] = np.nan
        yield block
        start += len(block)


def tune(index: Index, queries: I64) -> Measured:
    """Set the index to look as little as recall@10 of .95 allows, or as widely as it can.

    Its queries are rows that it does not hold yet: it finds the neighbours of those that it holds
    with less looking (hnsw over 3,000 normal vectors: .999 of theirs, .968 of new ones'). As in
    ANN-Benchmarks (Aumüller et al., 2020), whatever is as near as the tenth neighbour counts as
    found. Queries of another kind, such as texts in an index of pictures, lie apart from its rows,
    and may fare worse.
    """
    subject = index.subject
    steps = ladder(index.kind, Size(len(index.rows), subject.dim))
    if not len(queries):
        apply_settings(index.faiss, steps[-1])
        return Measured(steps[-1], None, queries)
    k, unit = min(K, len(index.rows)), index.metric == "ip"
    embeddings = subject.embeddings[queries]
    squares = np.square(prepared(embeddings, normalize=unit)).sum(axis=1)
    blocks = without(subject, queries)
    truth = nearest(embeddings, blocks, k, metric=index.metric, normalize=unit)
    for settings in steps:
        apply_settings(index.faiss, settings)
        recall = recall_of(index.found(embeddings, k), truth, index.metric, squares)
        if recall >= AIM:
            break
    return Measured(settings, recall, queries)


def recall_of(found: Neighbours, truth: Neighbours, metric: Metric, squares: F32) -> float:
    """Return the share of what was found that is as near as the farthest true neighbour.

    `squares`, (Q,), are the squared lengths of the queries, which scores are rounded by.
    """
    edge = truth.scores[:, -1:]
    slack = SLACK * np.maximum(np.abs(edge), squares[:, None])
    near = found.scores >= edge - slack if metric == "ip" else found.scores <= edge + slack
    return float((near & (found.rows >= 0)).mean())
