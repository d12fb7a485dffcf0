"""Many classes to one: reducing groups of logits. It knows arrays, not label spaces.

Dimensions: N samples, C classes, M members of S groups.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit, over_rows
from embedstore.errors import EmbedStoreError

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


def reduce_groups(logits: F32, columns: I64, offsets: I64, *, mean: bool) -> F32:
    """Reduce the members of each group to one logit: (N, C), (M,), (S + 1,) -> (N, S).

    Parameters
    ----------
    logits
        (N, C) float32.
    columns
        (M,) members, group by group; a column may belong to several groups.
    offsets
        (S + 1,) where each group's members begin, the last being M; no group is empty.
    mean
        ``log(mean(exp(z)))`` over a group's members rather than their largest.

    Raises
    ------
    EmbedStoreError
        If a column is not there, or a group is empty.
    """
    n_members, sizes = len(columns), np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != n_members or (sizes < 1).any():
        raise EmbedStoreError("a class of the label space has no member; give every class one")
    if n_members and not 0 <= columns.min() <= columns.max() < logits.shape[1]:
        raise EmbedStoreError(
            f"a label space of columns up to {columns.max()} does not fit logits of "
            f"{logits.shape[1]} classes; give the head that it was made for"
        )
    logits = np.ascontiguousarray(logits)
    out = np.empty((len(logits), len(sizes)), np.float32)

    def reduce(start: int, stop: int) -> None:
        _reduce(logits[start:stop], columns, offsets, mean, out[start:stop])

    over_rows(reduce, len(logits))
    return out


@njit
def _reduce(logits: F32, columns: I64, offsets: I64, mean: bool, out: F32) -> None:
    """Fill (N, S) from (N, C)."""
    for i in range(out.shape[0]):
        for s in range(out.shape[1]):
            first, stop = offsets[s], offsets[s + 1]
            top = logits[i, columns[first]]
            for m in range(first + 1, stop):
                top = max(top, logits[i, columns[m]])
            if mean and stop - first > 1:
                total = 0.0
                for m in range(first, stop):
                    total += math.exp(np.float64(logits[i, columns[m]]) - np.float64(top))
                top = np.float32(np.float64(top) + math.log(total / (stop - first)))
            out[i, s] = top
