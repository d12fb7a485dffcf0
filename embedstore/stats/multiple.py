"""Many tests at once: the false discovery rate. It knows p-values, not what was tested.

Dimensions: N tests.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError

F64 = npt.NDArray[np.float64]


def benjamini_hochberg(p_values: npt.ArrayLike) -> F64:
    """Return p-values adjusted for the number of tests: (N,) -> (N,).

    Rejecting those at most q keeps the expected share of false discoveries at most q, for
    independent or positively dependent tests (Benjamini & Hochberg, 1995).

    Parameters
    ----------
    p_values
        From 0 to 1. NaN, a test that could not be made, stays NaN and is not counted.

    Raises
    ------
    EmbedStoreError
        If a p-value lies outside.
    """
    p = np.asarray(p_values, np.float64)
    wrong = p[(p < 0) | (p > 1)]
    if p.ndim != 1 or wrong.size:
        what = f"a p-value is {wrong.flat[0]:g}" if wrong.size else f"p-values have shape {p.shape}"
        raise EmbedStoreError(f"{what}; give one column of numbers from 0 to 1")
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    falling = made[np.argsort(p[made])[::-1]]
    n = len(made)
    scaled = p[falling] * n / np.arange(n, 0, -1)
    adjusted[falling] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return adjusted
