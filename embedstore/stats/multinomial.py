"""Intervals of factor tables, from counts alone. They know four counts, not factors.

A sample is marked by a factor or not, and judged rightly or not: four cells, whose counts are
multinomial. Drawing them anew is the bootstrap over samples without the samples; the closed form
below is its limit.

Dimensions: N entries of a table (models x factors).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.stats.intervals import clopper_pearson

F64 = npt.NDArray[np.float64]


def error_ratio(
    errors: npt.ArrayLike,
    n_marked: npt.ArrayLike,
    all_errors: npt.ArrayLike,
    n_samples: npt.ArrayLike,
    *,
    confidence: float = 0.95,
) -> tuple[F64, F64, F64]:
    """Return error rate on the marked samples over error rate on all, with bounds: 3 x (N,).

    The interval is symmetric in the logarithm of the ratio, its variance the delta method's over
    the four multinomial cells, so the overlap of the marked with all is accounted for. Without an
    error among the marked, the ratio and the low are 0, and the high is the Clopper-Pearson bound
    of their error rate over the overall error rate.

    Parameters
    ----------
    errors, n_marked
        Wrong among the marked samples, and how many are marked; none gives NaN.
    all_errors, n_samples
        Wrong among all samples, and all; no error gives NaN. All four broadcast; NaN gives NaN.
    confidence
        Between 0 and 1, exclusive.

    Raises
    ------
    EmbedStoreError
        If counts contradict one another, or `confidence` is out of range.
    """
    from scipy.special import ndtri

    counts = (errors, n_marked, all_errors, n_samples)
    e, n, e_all, n_all = np.broadcast_arrays(*(np.asarray(c, np.float64) for c in counts))
    if ((e < 0) | (e > np.minimum(n, e_all)) | (n - e > n_all - e_all) | (n > n_all)).any():
        raise EmbedStoreError(
            "counts contradict one another; the marked samples and their errors are part of all"
        )
    # asked for where there is no error alone: the rest would be half the time of a factor table
    error_high = clopper_pearson(e, np.where(e == 0, n, np.nan), confidence=confidence)[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        overall = e_all / n_all
        ratio = np.where((n > 0) & (e_all > 0), (e / n) / overall, np.nan)
        half = float(ndtri((1 + confidence) / 2)) * np.sqrt(_log_variance(e, n, e_all, n_all))
        low, high = ratio * np.exp(-half), ratio * np.exp(half)
        empty = (e == 0) & ~np.isnan(ratio)
        return ratio, np.where(empty, 0.0, low), np.where(empty, error_high / overall, high)


def _log_variance(e: F64, n: F64, e_all: F64, n_all: F64) -> F64:
    """Variance of log(e / n) - log(e_all / n_all): the cells' gradient, squared and weighted."""
    marked_wrong = e * (1 / e - 1 / n - 1 / e_all) ** 2
    marked_right = (n - e) / n**2
    other_wrong = (e_all - e) / e_all**2
    # a fourth cell has no gradient; the mean gradient is -1; rounding may pass below 0
    return np.maximum(marked_wrong + marked_right + other_wrong - 1 / n_all, 0.0)
