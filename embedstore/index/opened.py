"""An index at hand: FAISS's own, over rows without NaN, and the embeddings that it is over.

Dimensions: Q queries, D embedding, K neighbours, R candidates of a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.index import library
from embedstore.index.exact import (
    Found,
    Metric,
    Neighbours,
    by_row,
    check_k,
    check_queries,
    nearest,
)
from embedstore.index.kinds import Kind
from embedstore.index.rows import Floats, prepared
from embedstore.index.subject import Subject

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
#: Candidates a neighbour that ivfpq's codes are asked for, and the embeddings themselves then sort:
#: recall@10 is .81 by codes of 64 bytes alone and .998 so (50,000 x 512).
CANDIDATES = 4
QUERY_ROWS = 1_024
#: Of all queries that are answered at once: 128 MiB of float32 rows where D = 512.
HELD_CANDIDATES = 2**16
#: Queries from which on copying an index to a GPU pays.
GPU_QUERIES = 1_024


@dataclass(frozen=True, slots=True)
class Index:
    """An index that can be asked."""

    subject: Subject
    kind: Kind
    metric: Metric
    faiss: Any
    rows: I64  # (n,) which row lies at each of its places
    facts: Mapping[str, Any]  # of its manifest: settings, recall

    @property
    def how(self) -> str:
        """Its kind, and its recall where that was measured."""
        recall = self.facts["recall_at_10"]
        return self.kind if recall is None else f"{self.kind}, recall@10 {recall:.3f}"

    def nearest(self, queries: Floats, k: int) -> Neighbours:
        """Find the k nearest rows of each query, as `exact.nearest` does: (Q, D) -> (Q, K), (Q, K).

        A query of which the index finds fewer than k is answered by the embeddings themselves.

        Raises
        ------
        EmbedStoreError, NonFiniteError
            As in :func:`embedstore.index.exact.nearest`.
        """
        check_k(k, len(self.rows))
        found = self.found(queries, k)
        short = np.flatnonzero((found.rows < 0).any(axis=1))
        if len(short):
            exact = exactly(self.subject, queries[short], k, self.metric)
            found.scores[short], found.rows[short] = exact.scores, exact.rows
        return found

    def found(self, queries: Floats, k: int) -> Neighbours:
        """Find as :meth:`nearest` does, by the index alone: row -1 where it finds too few."""
        check_queries(queries)
        if queries.shape[1] != self.subject.dim:
            raise EmbedStoreError(
                f"queries have {queries.shape[1]} dimensions, the index of {self.subject.name!r} "
                f"has {self.subject.dim}; give embeddings of model {self.subject.model!r}"
            )
        searched = self._on_gpu() if len(queries) >= GPU_QUERIES else self.faiss
        rows = np.append(self.rows, -1)  # FAISS says -1 where it has none, and so do we
        parts = [(np.zeros((0, k), np.float32), np.zeros((0, k), np.int64))]
        n_asked, step = k, QUERY_ROWS
        if self.kind == "ivfpq":
            n_asked = min(k * CANDIDATES, len(self.rows))
            step = max(1, min(QUERY_ROWS, HELD_CANDIDATES // n_asked))
        for start in range(0, len(queries), step):
            part = prepared(queries[start : start + step], normalize=self.metric == "ip")
            scores, places = searched.search(part, n_asked)
            found = scores, rows[places]
            parts.append(self._by_embeddings(part, found[1], k) if self.kind == "ivfpq" else found)
            by_row(*parts[-1], self.metric)
        return Neighbours(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _by_embeddings(self, queries: F32, candidates: I64, k: int) -> Found:
        """Sort candidates by their embeddings: (Q, D), (Q, R) -> (Q, K), (Q, K)."""
        unique, inverse = np.unique(np.maximum(candidates, 0), return_inverse=True)
        wide = prepared(self.subject.embeddings[unique], normalize=self.metric == "ip")
        keys = np.empty(candidates.shape, np.float32)  # less is nearer
        for i, places in enumerate(inverse.reshape(candidates.shape)):
            if self.metric == "ip":
                keys[i] = -(wide[places] @ queries[i])
            else:
                keys[i] = np.square(wide[places] - queries[i]).sum(axis=1)
        keys[candidates < 0] = np.inf
        order = np.argsort(keys, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(keys, order, axis=1)
        return -scores if self.metric == "ip" else scores, np.take_along_axis(candidates, order, 1)

    def _on_gpu(self) -> Any:
        """Return a copy of the index on the first GPU, or the index where there is none for it."""
        faiss = library.faiss()
        if self.kind == "hnsw" or faiss.get_num_gpus() == 0:
            return self.faiss
        try:
            return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self.faiss)
        except RuntimeError:  # too large for it, or codes of a length that it does not know
            return self.faiss


def exactly(subject: Subject, queries: Floats, k: int, metric: Metric) -> Neighbours:
    """Find the k nearest rows by the embeddings alone, without an index: (Q, D) -> (Q, K)."""
    blocks = subject.embeddings.blocks()
    return nearest(queries, blocks, k, metric=metric, normalize=metric == "ip")
