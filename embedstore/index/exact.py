"""Exact nearest neighbours over blocks of rows, by FAISS where it is installed, else by NumPy.

Nothing of size Q x N is held. Both ways find the same rows, but for scores that rounding parts; of
equal scores the lower row is nearer. It knows arrays, not stores.

Dimensions: Q queries, N rows to search, B rows of a block, D embedding, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from embedstore.errors import EmbedStoreError, NonFiniteError, UnknownNameError
from embedstore.index import library
from embedstore.index.rows import F32, I64, Floats, gathered, prepared

Metric = Literal["ip", "l2"]
Found = tuple[F32, I64]  # (Q, K) scores and rows, the nearest first

QUERY_ROWS = 16_384  # queries that are widened and brought to unit length at once
TILE_SCORES = 2**22  # that NumPy holds at once: 16 MiB, and half as much again to sort them
TILE_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest rows of each query, nearest first; of equal scores the lower row first."""

    scores: F32  # (Q, K) inner products, descending; or squared distances, ascending
    rows: I64  # (Q, K) numbered over all blocks, those left out too


def nearest(
    queries: Floats,
    blocks: Iterable[Floats],
    k: int,
    *,
    metric: Metric = "ip",
    normalize: bool = False,
) -> Neighbours:
    """Find the k nearest rows of each query: (Q, D), blocks of (B, D) -> (Q, K), (Q, K).

    Parameters
    ----------
    queries
        (Q, D) float16 or float32.
    blocks
        (B, D) each, float16 or float32, gone through once. Rows that hold NaN, those of failed
        pictures, are nobody's neighbours; rows are numbered as though they were.
    k
        Count of neighbours.
    metric
        `ip`, the largest inner products, or `l2`, the least squared Euclidean distances.
    normalize
        Whether queries and rows are brought to unit length first: then `ip` gives cosines. A row of
        zeros stays.

    Raises
    ------
    EmbedStoreError
        If there are fewer than k rows without NaN, or shapes or types do not fit.
    NonFiniteError
        If a query holds NaN or infinity, or a row infinity.
    """
    check_metric(metric)
    check_k(k)
    check_queries(queries)
    search = _faiss_nearest if library.installed() else numpy_nearest
    starts = range(0, len(queries), QUERY_ROWS)
    best: list[list[Found]] = [[] for _ in starts]
    n_rows = 0
    for rows, numbers in gathered(blocks, queries.shape[1], normalize=normalize):
        n_rows += len(rows)
        for found, start in zip(best, starts, strict=True):
            part = prepared(queries[start : start + QUERY_ROWS], normalize=normalize)
            scores, places = search(part, rows, min(k, len(rows)), metric)
            found[:] = [merged([*found, (scores, numbers[places])], k, metric)]
    check_k(k, n_rows)
    parts = [found[0] for found in best] or [(np.zeros((0, k), np.float32), np.zeros((0, k), int))]
    return Neighbours(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def check_k(k: int, n_rows: int | None = None) -> None:
    """Refuse more neighbours than there are: FAISS fills up with -1, in NumPy the last row.

    Raises
    ------
    EmbedStoreError
        If k is not among 1 to `n_rows`, the rows without NaN; None where these are not counted yet.
    """
    if k < 1:
        raise EmbedStoreError(f"k = {k} neighbours: choose a k from 1 on")
    if n_rows is None:
        return
    if n_rows == 0:
        raise EmbedStoreError(
            "there is nothing to search: no row without NaN; choose a data set with pictures that "
            "could be read"
        )
    if k > n_rows:
        raise EmbedStoreError(
            f"k = {k} neighbours of {n_rows} rows: there are not as many; choose a k from 1 to "
            f"{n_rows}"
        )


def check_metric(metric: str) -> None:
    """Refuse what is no metric.

    Raises
    ------
    UnknownNameError
        If it is neither `ip` nor `l2`.
    """
    if metric not in get_args(Metric):
        raise UnknownNameError("metric", metric, get_args(Metric))


def check_queries(queries: Floats) -> None:
    """Refuse queries of a wrong type or shape, or that hold NaN or infinity: (Q, D).

    Raises
    ------
    EmbedStoreError, NonFiniteError
        As said.
    """
    if queries.ndim != 2 or queries.dtype not in (np.float16, np.float32):
        raise EmbedStoreError(
            f"queries are {queries.dtype} of shape {queries.shape}; give float16 or float32 of "
            "shape (queries, dimensions)"
        )
    for start in range(0, len(queries), QUERY_ROWS):
        finite = np.isfinite(queries[start : start + QUERY_ROWS]).all(axis=1)
        if not finite.all():
            raise NonFiniteError(
                f"query {start + int(np.argmin(finite))} holds NaN or infinity, as the embedding "
                "of a failed picture does; leave it out"
            )


def others(found: Neighbours, own: I64) -> Neighbours:
    """Leave each query's own row out, else its farthest neighbour: (Q, K), (Q,) -> (Q, K - 1)."""
    kept = found.rows != own[:, None]
    kept[kept.all(axis=1), -1] = False
    shape = (len(own), found.rows.shape[1] - 1)
    return Neighbours(found.scores[kept].reshape(shape), found.rows[kept].reshape(shape))


def merged(found: list[Found], k: int, metric: Metric) -> Found:
    """Return the k nearest of what was found, rows of the earlier parts being the lower ones."""
    if len(found) == 1:
        return found[0]
    scores = np.concatenate([scores for scores, _ in found], axis=1)
    rows = np.concatenate([rows for _, rows in found], axis=1)
    order = np.argsort(-scores if metric == "ip" else scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def numpy_nearest(queries: F32, rows: F32, k: int, metric: Metric) -> Found:
    """Find the k <= B nearest, a tile of scores at a time: (Q, D), (B, D) -> (Q, K), (Q, K)."""
    squares = np.einsum("ij,ij->i", rows, rows) if metric == "l2" else np.zeros(0, np.float32)
    step = max(1, TILE_SCORES // min(TILE_ROWS, len(rows)))
    parts = []
    for first in range(0, len(queries), step):
        some = queries[first : first + step]
        found: list[Found] = []
        for start in range(0, len(rows), TILE_ROWS):
            tile = slice(start, start + TILE_ROWS)
            scores = some @ rows[tile].T
            if metric == "l2":
                scores = _squared_distances(some, scores, squares[tile])
            best, places = _best(scores, min(k, scores.shape[1]), metric)
            found = [merged([*found, (best, places + start)], k, metric)]
        parts += found
    return np.concatenate([s for s, _ in parts]), np.concatenate([r for _, r in parts])


def _faiss_nearest(queries: F32, rows: F32, k: int, metric: Metric) -> Found:
    """Find as :func:`numpy_nearest` does; FAISS leaves open which of equal scores it takes."""
    faiss = library.faiss()
    kind = faiss.METRIC_INNER_PRODUCT if metric == "ip" else faiss.METRIC_L2
    scores, found = faiss.knn(queries, rows, min(k + 1, len(rows)), metric=kind)
    by_row(scores, found, metric)
    if k < len(rows):
        cut = np.flatnonzero(scores[:, k - 1] == scores[:, k])  # some were left out by chance
        scores, found = scores[:, :k], found[:, :k]
        if len(cut):
            scores[cut], found[cut] = numpy_nearest(queries[cut], rows, k, metric)
    return scores, found


def by_row(scores: F32, rows: I64, metric: Metric) -> None:
    """Put equal scores in the order of their rows, in place: (Q, K), (Q, K)."""
    tied = np.flatnonzero((scores[:, 1:] == scores[:, :-1]).any(axis=1))
    keys = -scores[tied] if metric == "ip" else scores[tied]
    order = np.lexsort((rows[tied], keys), axis=-1)
    rows[tied] = np.take_along_axis(rows[tied], order, axis=1)


def _best(scores: F32, k: int, metric: Metric) -> Found:
    """Return the k best of each row, of equal ones the leftmost: (Q, B) -> (Q, K), (Q, K)."""
    keys = -scores if metric == "ip" else scores
    edge = np.partition(keys, k - 1, axis=1)[:, k - 1 : k]
    query, place = np.nonzero(keys <= edge)  # more than k where equal ones lie on the edge
    order = np.lexsort((place, keys[query, place], query))
    query, place = query[order], place[order]
    rank = np.arange(len(query)) - np.searchsorted(query, query)
    places = place[rank < k].reshape(len(scores), k)
    return np.take_along_axis(scores, places, axis=1), places


def _squared_distances(queries: F32, products: F32, squares: F32) -> F32:
    """|q|² + |x|² - 2 q x, none below zero: (Q, D), (Q, B), (B,) -> (Q, B)."""
    of_queries = np.einsum("ij,ij->i", queries, queries)
    distances: F32 = np.maximum(of_queries[:, None] + squares - 2 * products, 0)
    return distances
