"""Intervals of a proportion, exact and Wilson's. They know counts, not what was counted.

Dimensions: N proportions.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import EmbedStoreError

F64 = npt.NDArray[np.float64]
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def clopper_pearson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[F64, F64]:
    """Return the exact interval of binomial proportions: (N,), (N,) -> low (N,), high (N,).

    The bounds are quantiles of beta distributions (Clopper & Pearson, 1934): each of the two tails
    holds at most half of 1 - `confidence`. No success gives a low of 0, no failure a high of 1.

    Parameters
    ----------
    successes
        Counts, 0 to `trials`; the two broadcast against each other. NaN gives NaN.
    trials
        Counts; 0 gives NaN for both bounds.
    confidence
        Between 0 and 1, exclusive.

    Raises
    ------
    EmbedStoreError
        If a count is out of range, or `confidence` is.
    """
    from scipy.special import betaincinv  # 0.3 s to import, and few callers need it

    k, n = _checked(successes, trials, confidence)
    tail = (1 - confidence) / 2
    # betaincinv gives NaN where a parameter is 0: there the bound is the end of the scale
    low = np.where(k == 0, 0.0, betaincinv(k, n - k + 1, tail))
    high = np.where(k == n, 1.0, betaincinv(k + 1, n - k, 1 - tail))
    unknown = ~(n > 0) | np.isnan(k)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def wilson(
    successes: npt.ArrayLike, trials: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[F64, F64]:
    """Return the score interval of binomial proportions: (N,), (N,) -> low (N,), high (N,).

    The proportions that a normal test would not reject (Wilson, 1927): shorter than the exact
    interval, right on average rather than always.

    Parameters
    ----------
    successes, trials, confidence
        As in :func:`clopper_pearson`, NaN and no trials too.

    Raises
    ------
    EmbedStoreError
        If a count is out of range, or `confidence` is.
    """
    from scipy.special import ndtri

    k, n = _checked(successes, trials, confidence)
    z = float(ndtri((1 + confidence) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (k + z * z / 2) / (n + z * z)
        half = z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
    low = np.where(k == 0, 0.0, middle - half)  # exactly so, but for rounding
    high = np.where(k == n, 1.0, middle + half)
    unknown = ~(n > 0) | np.isnan(k)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def newcombe(
    successes: npt.ArrayLike,
    trials: npt.ArrayLike,
    other_successes: npt.ArrayLike,
    other_trials: npt.ArrayLike,
    *,
    confidence: float = 0.95,
) -> tuple[F64, F64]:
    """Return the interval of a difference of independent proportions: (N,) x 4 -> low, high (N,).

    The first proportion less the other; Wilson's bounds of the two, squared and added (method 10 of
    Newcombe, 1998). For proportions of the same samples see `stats.paired`.

    Parameters
    ----------
    successes, trials, other_successes, other_trials, confidence
        As in :func:`clopper_pearson`, NaN and no trials too.

    Raises
    ------
    EmbedStoreError
        If a count is out of range, or `confidence` is.
    """
    low, high = wilson(successes, trials, confidence=confidence)
    other_low, other_high = wilson(other_successes, other_trials, confidence=confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.divide(successes, trials, dtype=np.float64)
        q = np.divide(other_successes, other_trials, dtype=np.float64)
    below = np.sqrt((p - low) ** 2 + (other_high - q) ** 2)
    above = np.sqrt((high - p) ** 2 + (q - other_low) ** 2)
    return np.asarray(p - q - below, np.float64), np.asarray(p - q + above, np.float64)


def _checked(successes: npt.ArrayLike, trials: npt.ArrayLike, confidence: float) -> tuple[F64, F64]:
    if not 0 < confidence < 1:
        raise EmbedStoreError(f"confidence is {confidence}; give a number between 0 and 1")
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    wrong = np.flatnonzero((k < 0) | (n < 0) | (k > n))
    if wrong.size:
        i = wrong[0]
        raise EmbedStoreError(
            f"{k.flat[i]:g} successes in {n.flat[i]:g} trials at entry {i}; give counts from 0 to "
            "the trials"
        )
    return k, n


def with_clopper_pearson(
    frame: Frame, successes: str, trials: str, *, low: str, high: str, confidence: float = 0.95
) -> Frame:
    """Add the bounds of a proportion to a table, as columns `low` and `high` (Float64).

    Parameters
    ----------
    frame
        A table, eager or lazy; the result is of the same kind.
    successes, trials
        Names of columns of counts.
    low, high
        Names of the columns to add or replace; null where `trials` is 0 or a count is null.
    confidence
        As in :func:`clopper_pearson`.
    """

    def bounds(counts: pl.Series) -> pl.Series:
        k, n = (counts.struct.field(c).cast(pl.Float64).to_numpy() for c in ("successes", "trials"))
        ends = clopper_pearson(k, n, confidence=confidence)
        return pl.DataFrame(dict(zip((low, high), ends, strict=True))).fill_nan(None).to_struct()

    counts = pl.struct(successes=pl.col(successes), trials=pl.col(trials))
    ends = pl.Struct({low: pl.Float64, high: pl.Float64})
    interval = counts.map_batches(bounds, return_dtype=ends, is_elementwise=True)
    return frame.with_columns(interval.struct.field(low, high))
