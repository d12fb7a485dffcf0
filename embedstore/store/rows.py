"""Rows of stored embeddings as arithmetic takes them: float32, and finite.

Dimensions: N rows of the array, n of them, D embedding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.errors import NonFiniteError
from embedstore.kernels.half import widen
from embedstore.store.arrays import StoredArray

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


def finite_rows(stored: StoredArray, rows: I64, what: str) -> F32:
    """Return some rows in float32, none of a failed picture: (N, D), (n,) -> (n, D).

    Parameters
    ----------
    stored
        float16, widened here, or float32.
    rows
        Numbers of rows.
    what
        What a row is, its number in place of ``{}``, for the error's message.

    Raises
    ------
    NonFiniteError
        If one holds NaN or infinity.
    """
    taken = stored[rows]
    wide = widen(taken.view(np.uint16)) if taken.dtype == np.float16 else taken
    refuse_non_finite(wide, rows, what)
    return wide


def refuse_non_finite(embeddings: F32, rows: I64, what: str) -> None:
    """Raise where rows hold NaN or infinity and no picture failed: (n, D), (n,).

    Raises
    ------
    NonFiniteError
        It names the first such row.
    """
    finite = np.isfinite(embeddings)
    if not finite.all():
        row = rows[np.argmin(finite.all(axis=1))]
        raise NonFiniteError(
            f"the embedding of {what.format(row)} holds NaN or infinity; see what is damaged with "
            "embedstore verify, or encode or import it anew"
        )
