"""Retrieval through an index: where the first positive lies among the k nearest of each query.

Queries are read and answered by block, so that neither embeddings nor scores are ever there as a
whole; of a query only its rank is kept, infinite where no positive is among the k nearest. Equals
stand in the order of their rows, but which of them are the last of the k is left to FAISS. An index
of captions holds all of them: those that do not count are dropped from its answers, and it is asked
for more in their place. Equal texts are found by their own embeddings each.

Dimensions: N pictures, D embedding, Q queries, B of a block, C candidates, K neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedstore.index.building import load
from embedstore.index.kinds import Size, choose
from embedstore.index.opened import Index
from embedstore.index.subject import Subject
from embedstore.retrieval.captioned import CaptionRun, Counted
from embedstore.retrieval.measuring import Direction, Positives, Queries
from embedstore.retrieval.ranking import Found
from embedstore.store import Store

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
#: The kinds that are asked for, `auto` by size.
IndexKind = Literal["auto", "flat", "hnsw", "ivf", "ivfpq"]
#: Queries that are read and answered at once: 32 MiB of float32 where D = 512.
QUERY_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asks whom; a candidate is right where its kind and the query's group make a pair."""

    embeddings: Callable[[I64], F32]  # of queries, by their numbers
    queries: I64  # (Q,) numbers of pictures, or of captions
    group: I64  # (Q,)
    rows: I64  # (C,) of the candidates, where the index has them
    kind: I64  # (C,)
    pairs: I64  # (E,) group * C + kind, ascending

    def first_right(self, some: slice, candidates: I64) -> F64:
        """Return the rank of the first that is right, else infinity: queries, (B, K) -> (B,)."""
        keys = self.group[some, None] * len(self.rows) + self.kind[candidates]
        near = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        right = self.pairs[near] == keys
        return np.where(right.any(axis=1), right.argmax(axis=1) + 1.0, np.inf)


def gallery_index(store: Store, run: CaptionRun, direction: Direction, kind: IndexKind) -> Index:
    """Open the index of what is searched: a data set's pictures, or its captions.

    Raises
    ------
    StoreError
        If none of this kind was built, or it is of embeddings that have changed.
    MissingExtraError
        If FAISS is not installed.
    """
    if direction == "image-to-text":
        subject = Subject.open(store, run.model, texts=run.texts)
    else:
        subject = Subject.open(store, run.model, dataset=run.dataset)
    return load(subject, choose(kind, Size(subject.n_rows, subject.dim)), "ip")


def ask_index(
    counted: Counted,
    index: Index,
    direction: Direction,
    positives: Positives,
    ks: tuple[int, ...],
) -> Queries:
    """Return what each picture with captions finds among its k nearest, or each caption.

    Parameters
    ----------
    counted
        The pictures and captions that count.
    index
        Of :func:`gallery_index`.
    direction, positives
        As in :func:`embedstore.retrieval.measuring.ask`.
    ks
        (K,) cut-offs, none larger than the gallery; the largest is how many neighbours are known.
    """
    to_text = direction == "image-to-text"
    asked = (_for_texts if to_text else _for_images)(counted, shared=positives == "same-text")
    number = np.full(len(index.subject.embeddings), -1)
    number[asked.rows] = np.arange(len(asked.rows))
    rank = np.empty(len(asked.queries))
    for start in range(0, len(rank), QUERY_ROWS):
        some = slice(start, start + QUERY_ROWS)
        embeddings = asked.embeddings(asked.queries[some])
        rank[some] = asked.first_right(some, nearest_counted(index, number, embeddings, max(ks)))
    unknown = np.full(len(rank), np.nan)
    recalls = (rank <= np.array(ks)[:, None]).astype(np.float64)
    return Queries(
        found=Found(recalls, rank, unknown, unknown),
        pictures=asked.queries if to_text else counted.picture_of,
        n_gallery=len(asked.rows),
        n_left_out=counted.n_pictures_left_out if to_text else counted.n_captions_left_out,
    )


def nearest_counted(index: Index, number: I64, queries: F32, k: int) -> I64:
    """Return the k nearest candidates that count: (n,), (Q, D) -> (Q, K).

    Parameters
    ----------
    index
        What is searched: n rows.
    number
        (n,) which candidate each row is; -1 where it does not count. k or more do.
    queries
        (Q, D)
    k
        Count of candidates.
    """
    found = np.empty((len(queries), k), np.int64)
    open_, n_asked = np.arange(len(queries)), k
    while len(open_):
        candidates = number[index.nearest(queries[open_], n_asked).rows]
        enough = (candidates >= 0).sum(axis=1) >= k
        first = np.argsort(candidates[enough] < 0, axis=1, kind="stable")[:, :k]
        found[open_[enough]] = np.take_along_axis(candidates[enough], first, axis=1)
        open_, n_asked = open_[~enough], min(2 * n_asked, len(index.rows))
    return found


def _for_texts(counted: Counted, *, shared: bool) -> _Asked:
    """Pictures ask among captions."""
    n_captions = len(counted.caption_rows)
    pictures = np.unique(counted.picture_of)
    kind = counted.text_of if shared else np.arange(n_captions)
    pairs = np.unique(counted.picture_of * n_captions + kind)
    return _Asked(counted.pictures, pictures, pictures, counted.caption_rows, kind, pairs)


def _for_images(counted: Counted, *, shared: bool) -> _Asked:
    """Captions ask among pictures."""
    n_pictures, captions = len(counted.picture_rows), np.arange(len(counted.caption_rows))
    group = counted.text_of if shared else captions
    pairs = np.unique(group * n_pictures + counted.picture_of)
    kind = np.arange(n_pictures)
    return _Asked(counted.captions, captions, group, counted.picture_rows, kind, pairs)


__all__ = ["IndexKind", "ask_index", "gallery_index", "nearest_counted"]
