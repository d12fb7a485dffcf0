"""Matches of points by their features: nearest neighbour, ratio test, mutual check.

All scores of a tile are reduced while they are in the cache: the two best of each row and, for the
mutual check, the best of each column, so that one matrix product serves both directions, and the
matrix of all scores is never there. That takes 0.9 of FAISS's time for rows alone with k = 2, and
0.46 of it where columns are wanted too, for which FAISS needs a second product (measured: 4,096
points x 768 on two cores). It knows features, not where they are from.

Dimensions: N points of the first picture, M of the second, D features; tiles of T x S.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import blas_on_one_core, over_rows
from embedstore.kernels.matches import best_of_columns, cosine_distances, two_best_of_rows

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

#: T and S at most: a tile of 2 MiB a thread.
TILE = (512, 1024)
_GRAIN = 256  # points that outlast a thread's start


@dataclass(frozen=True, slots=True)
class Rules:
    """Which nearest neighbours are matches."""

    ratio_test: bool  # weighed by 1 - d1 / d2; else by similarity
    mutual: bool  # only those that are each other's nearest
    keep: int  # of the largest weight; 0: all


@dataclass(frozen=True, slots=True)
class Matches:
    """Points that were found to belong together, the largest weight first."""

    first: I64  # (n,) rows of the first picture's points
    second: I64  # (n,) rows of the second's
    weights: F64  # (n,) large is good


def match(a: F32, b: F32, rules: Rules, twins: Bool | None = None) -> Matches:
    """Give points of the first picture their nearest of the second: (N, D), (M, D) -> n matches.

    d = 1 - cosine to the nearest and second nearest. The ratio test weighs by 1 - d1 / d2 (Lowe,
    2004; El Banani et al., 2024): large where the nearest is distinct. Of two that are as near, no
    one is distinct: weight 0, and no match. Of equal weights the first point comes first.

    Parameters
    ----------
    a, b
        C-contiguous, of unit length or zero; M is 2 or more.
    rules
        Which are matches.
    twins
        (M,) which rows of `b` equal another, so that none of them is distinct, even if rounding
        puts a third between them.
    """
    places, of_columns = _nearest(a, b, columns=rules.mutual)
    distances = np.empty(places.shape)
    over_rows(partial(cosine_distances, a, b, places, distances), len(a), grain=_GRAIN)
    swapped = distances[:, 1] < distances[:, 0]  # equal but for the rounding of their products
    places[swapped] = places[swapped, ::-1]
    distances.sort(axis=1)
    weights = 1 - distances[:, 0]
    kept = np.ones(len(a), np.bool_)
    if rules.ratio_test:
        nearest, second = distances.T
        weights = 1 - np.divide(nearest, second, out=np.ones(len(a)), where=second > 0)
        kept = weights > 0
        if twins is not None:
            kept &= ~twins[places[:, 0]]
    if of_columns is not None:
        kept &= of_columns[places[:, 0]] == np.arange(len(a))
    chosen = np.flatnonzero(kept)
    order = chosen[np.argsort(-weights[chosen], kind="stable")][: rules.keep or None]
    return Matches(order, places[order, 0].astype(np.int64), weights[order])


def _nearest(a: F32, b: F32, *, columns: bool) -> tuple[I32, I32 | None]:
    """Return the two nearest rows of b for each of a, and the nearest of a for each of b.

    Tiles have one shape, the edges padded, and one thread each: equal features have equal scores
    wherever they stand, and results are the same on any thread count.

    Returns
    -------
    tuple
        (N, 2) the nearest first, (M,) or None where columns are not wanted.
    """
    n_rows, n_columns = len(a), len(b)
    rows_of_tile, columns_of_tile = min(TILE[0], n_rows), min(TILE[1], n_columns)
    best = np.full((n_rows, 2), -np.inf, np.float32)
    places = np.zeros((n_rows, 2), np.int32)
    of_columns = (np.full(n_columns, -np.inf, np.float32), np.full(n_columns, n_rows, np.int32))
    lock = Lock()

    def reduce_rows(start: int, stop: int) -> None:
        product = np.empty((rows_of_tile, columns_of_tile), np.float32)
        for row in range(start * rows_of_tile, stop * rows_of_tile, rows_of_tile):
            left, part = _padded(a, row, rows_of_tile), slice(row, row + rows_of_tile)
            for column in range(0, n_columns, columns_of_tile):
                np.matmul(left, _padded(b, column, columns_of_tile).T, out=product)
                width = min(columns_of_tile, n_columns - column)
                two_best_of_rows(product, width, column, best[part], places[part])
                if columns:
                    found = np.empty(width, np.float32), np.empty(width, np.int32)
                    best_of_columns(product, len(best[part]), row, *found)
                    with lock:
                        _merge(of_columns, found, column)

    with blas_on_one_core():  # threads of BLAS would wait while ours reduce
        over_rows(reduce_rows, -(-n_rows // rows_of_tile), grain=1)
    return places, of_columns[1] if columns else None


def _merge(kept: tuple[F32, I32], found: tuple[F32, I32], column: int) -> None:
    """Keep the larger score of each column, of equal ones the lower row, in place."""
    part = slice(column, column + len(found[0]))
    scores, rows = kept[0][part], kept[1][part]
    better = (found[0] > scores) | ((found[0] == scores) & (found[1] < rows))
    scores[better], rows[better] = found[0][better], found[1][better]


def _padded(features: F32, start: int, size: int) -> F32:
    """Return some rows, (size, D): zeros beyond the last."""
    rows = features[start : start + size]
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), rows.shape[1]), np.float32)])


__all__ = ["Matches", "Rules", "match"]
