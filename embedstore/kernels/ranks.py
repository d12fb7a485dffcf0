"""Ranks from scores: how many candidates come before those that belong to a query.

Equal scores are told from higher ones, so that ties can be broken afterwards. It knows arrays, not
pictures or captions. Dimensions: T x S scores of a tile, M columns in all, each of which belongs to
one row; Q queries, K cut-offs.
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
def count_in_tile(
    scores: F32, first_column: int, owned: I64, own: F32, in_row: I64, in_column: I32
) -> None:
    """Count the scores of a tile that reach a column's own score, along its row and its column.

    Parameters
    ----------
    scores
        (T, S) of a tile, or more rows and columns, which are padding.
    first_column
        Where the tile begins among the M columns.
    owned
        (T + 1,) columns that belong to each row of the tile: from one entry to the next.
    own
        (M,) score of each column with the row that it belongs to.
    in_row
        (2, M) that are above it, and that are at least it, in its row; added to, for columns of
        these rows.
    in_column
        (2, S) likewise, in each column of the tile; added to.
    """
    n_columns = in_column.shape[1]
    limits = own[first_column : first_column + n_columns]
    column_above, column_reaching = in_column[0], in_column[1]
    for i in range(owned.shape[0] - 1):
        row = scores[i, :n_columns]
        for m in range(owned[i], owned[i + 1]):
            above, reaching = count_from(row, own[m])
            in_row[0, m] += above
            in_row[1, m] += reaching
        for j in range(n_columns):
            column_above[j] += np.int32(row[j] > limits[j])
            column_reaching[j] += np.int32(row[j] >= limits[j])


@njit
def count_from(row: F32, limit: np.float32) -> tuple[np.int32, np.int32]:
    """Return how many scores are above a limit, and how many at least it: (S,) -> two counts."""
    above = reaching = np.int32(0)
    for j in range(row.shape[0]):
        above = np.int32(above + np.int32(row[j] > limit))
        reaching = np.int32(reaching + np.int32(row[j] >= limit))
    return above, reaching


@njit
def first_of_ties(
    before: I64, positives: I64, others: I64, ks: I64, within: F64, reciprocal: F64
) -> None:
    """Expect the rank of the first positive over all orders of the candidates tied with it.

    Parameters
    ----------
    before
        (Q,) candidates above the ties.
    positives, others
        (Q,) among the ties, which are in random order.
    ks
        (K,) cut-offs.
    within
        (K, Q) probability that the rank is at most k; filled.
    reciprocal
        (Q,) expectation of 1 / rank; filled.
    """
    for i in range(before.shape[0]):
        n_tied = positives[i] + others[i]
        missed = 1.0  # probability that no positive has come yet
        reciprocal[i] = 0.0
        within[:, i] = 0.0
        for q in range(others[i] + 1):
            rank, left = before[i] + q + 1, n_tied - q
            reciprocal[i] += missed * positives[i] / left / rank
            missed *= (others[i] - q) / left
            for k in range(ks.shape[0]):
                if rank <= ks[k]:
                    within[k, i] = 1.0 - missed
