"""Outcomes of samples that have several right classes, or none.

Dimensions: N samples, C classes, M right classes of all samples together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit
from embedstore.errors import EmbedStoreError
from embedstore.kernels.outcomes import Outcomes, outcomes

Bool = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]


def outcomes_of_several(
    logits: F32, classes: I64, offsets: I64, *, failed: Bool, first_row: int = 0
) -> Outcomes:
    """Compute outcomes where several classes are right: (N, C), (M,), (N + 1,) -> columns of (N,).

    `correct` says whether the prediction is one of the right classes, `label_rank` is the rank of
    the best of them; `nll` and `brier`, which ask for one label, are NaN. Else as
    :func:`embedstore.kernels.outcomes.outcomes`.

    Parameters
    ----------
    logits
        (N, C) float32.
    classes, offsets
        Right classes, sample by sample, and where each sample's begin; a sample without any counts
        as not labelled.
    failed, first_row
        As there.

    Raises
    ------
    EmbedStoreError
        As there, and if a right class is not one of the C, or offsets do not fit.
    """
    counts = np.diff(offsets)
    if offsets.shape != (len(logits) + 1,) or offsets[0] or (counts < 0).any():
        raise EmbedStoreError(
            f"offsets of shape {offsets.shape} do not fit {len(logits)} samples; give where the "
            "right classes of each begin, from 0 on, and their count last"
        )
    if offsets[-1] != len(classes):
        raise EmbedStoreError(
            f"offsets end in {offsets[-1]}, and there are {len(classes)} right classes; give both "
            "of the same samples"
        )
    if len(classes) and not 0 <= classes.min() <= classes.max() < logits.shape[1]:
        raise EmbedStoreError(
            f"a right class is not among the {logits.shape[1]} of the label space; give 0 to "
            f"{logits.shape[1] - 1}"
        )
    said = outcomes(logits, np.full(len(logits), -1, np.int64), failed=failed, first_row=first_row)
    ranks = np.zeros(len(logits), np.uint16)
    labelled = said.valid & (counts > 0)
    _best_ranks(np.ascontiguousarray(logits), classes, offsets, labelled, ranks)
    return replace(said, correct=labelled & (ranks == 0), label_rank=ranks, labelled=labelled)


@njit
def _best_ranks(logits: F32, classes: I64, offsets: I64, labelled: Bool, ranks: U16) -> None:
    """Fill (N,) with how many classes come before the best right one, ties to the lower index."""
    for i in range(logits.shape[0]):
        if not labelled[i]:
            continue
        best = classes[offsets[i]]
        for m in range(offsets[i] + 1, offsets[i + 1]):
            other = classes[m]
            value, top = logits[i, other], logits[i, best]
            if value > top or (value == top and other < best):
                best = other
        value, rank = logits[i, best], 0
        for j in range(logits.shape[1]):
            rank += (logits[i, j] > value) | ((logits[i, j] == value) & (j < best))
        ranks[i] = rank
