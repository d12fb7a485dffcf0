"""Nearest points from tiles of scores, and how many points lie near others. No pictures here.

Dimensions: N points of the first picture, M of the second, D features; tiles of T x S scores; K
coordinates of a place, L limits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


@njit
def two_best_of_rows(
    scores: F32, n_columns: int, first_column: int, best: F32, places: I32
) -> None:
    """Keep the two largest scores of each row, and where they are; the first column of equals.

    Parameters
    ----------
    scores
        (T, S) of a tile, or more rows and columns, which are padding.
    n_columns
        S, which count.
    first_column
        Where the tile begins among the M columns.
    best, places
        (T, 2) scores, descending, and columns of the tiles before, of lower columns; updated.
    """
    for i in range(best.shape[0]):
        row = scores[i]
        first, second = best[i, 0], best[i, 1]
        at, after = places[i, 0], places[i, 1]
        for j in range(n_columns):
            if row[j] > second:
                if row[j] > first:
                    second, after = first, at
                    first, at = row[j], np.int32(first_column + j)
                else:
                    second, after = row[j], np.int32(first_column + j)
        best[i, 0], best[i, 1] = first, second
        places[i, 0], places[i, 1] = at, after


@njit
def best_of_columns(scores: F32, n_rows: int, first_row: int, best: F32, places: I32) -> None:
    """Keep the largest score of each column, and its row; the first row of equals.

    Parameters
    ----------
    scores
        (T, S) of a tile, or more rows and columns, which are padding.
    n_rows
        T, which count.
    first_row
        Where the tile begins among the N rows.
    best, places
        (S,) scores and rows; written.
    """
    best[:] = -np.inf
    for i in range(n_rows):
        row, number = scores[i], np.int32(first_row + i)
        for j in range(best.shape[0]):
            is_better = row[j] > best[j]
            best[j] = row[j] if is_better else best[j]
            places[j] = number if is_better else places[j]


@njit
def cosine_distances(a: F32, b: F32, places: I32, out: F64, start: int, stop: int) -> None:
    """1 - cosine of each point and two of the others: (N, D), (M, D), (N, 2) -> (N, 2).

    As half the squared distance of unit vectors, which is 0 for equal ones, where 1 less the
    product is some 1e-7. Zero vectors, of no direction, are at 1 from all.

    Parameters
    ----------
    a, b
        Of unit length, or zero.
    places
        Rows of `b`.
    out
        Rows `start` to `stop` are written.
    """
    for i in range(start, stop):
        for k in range(2):
            x, y = a[i], b[places[i, k]]
            squares = of_x = of_y = np.float32(0.0)
            for d in range(x.shape[0]):
                difference = x[d] - y[d]
                squares += difference * difference
                of_x += x[d] * x[d]
                of_y += y[d] * y[d]
            has_none = of_x == 0 or of_y == 0
            out[i, k] = 1.0 if has_none else 0.5 * np.float64(squares)


@njit
def count_within(
    centres: F64, places: F64, squared_limits: F64, counts: I64, start: int, stop: int
) -> None:
    """Count the places strictly within each limit of each centre: (N, K), (K, M), (L,) -> (N, L).

    Parameters
    ----------
    centres
        NaN is near nothing.
    places
        A coordinate a row.
    squared_limits
        Of the unit of the coordinates, squared.
    counts
        Rows `start` to `stop` are written.
    """
    squares = np.empty(places.shape[1])
    for i in range(start, stop):
        squares[:] = 0.0
        for k in range(places.shape[0]):
            coordinates, centre = places[k], centres[i, k]
            for j in range(squares.shape[0]):
                offset = coordinates[j] - centre
                squares[j] += offset * offset
        for m in range(squared_limits.shape[0]):
            limit, n_within = squared_limits[m], 0
            for j in range(squares.shape[0]):
                n_within += squares[j] < limit
            counts[i, m] = n_within


__all__ = ["best_of_columns", "cosine_distances", "count_within", "two_best_of_rows"]
