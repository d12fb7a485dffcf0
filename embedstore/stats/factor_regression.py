"""How much each group of columns explains: a robust regression, and what is lost without each.

It knows numbers and groups of columns, not models. Weights are Huber's at the fit of all columns;
R² and all that is lost of it are of least squares with those weights, so that leaving columns out
never raises it.

Dimensions: N rows, P columns, G groups, R resamples, B of them in a block.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.stats.bootstrap import N_RESAMPLES, percentile_interval, resample_counts
from embedstore.stats.lines import HUBER_C, PERFECT

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: Relative to the mean of a Gram matrix's diagonal: columns that depend on others have no solution.
RIDGE = 1e-10


@dataclass(frozen=True, slots=True)
class Effects:
    """Coefficients of a robust regression; NaN for columns that depend on earlier ones."""

    effect: F64  # (P,) per unit of the column
    low: F64  # (P,) 95 %, normal, by the covariance of the robust fit
    high: F64  # (P,)
    p_value: F64  # (P,)


@dataclass(frozen=True, slots=True)
class Explained:
    """What groups of columns explain of the values."""

    r2: float  # of all columns, weighted; NaN where the values are constant
    drop: F64  # (G,) R² lost without each group
    low: F64  # (G,) percentiles over resamples of rows: biased upwards, as R² itself
    high: F64  # (G,)
    p_value: F64  # (G,) of the partial F test; NaN without degrees of freedom
    freedom: I64  # (G,) columns that a group adds to the others' rank; 0: they tell all it does
    weights: F64  # (N,) Huber's, 1 for rows near the fit


def explain(
    columns: F64,
    groups: I64,
    values: F64,
    *,
    clusters: npt.ArrayLike | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Explained:
    """Return how much each group of columns explains of values: (N, P), (P,), (N,) -> G.

    Parameters
    ----------
    columns
        (N, P) without an intercept, which every fit has.
    groups
        (P,) which group each column is of, 0 to G - 1.
    values
        (N,)
    clusters
        (N,) rows that are drawn together; each row alone where it is None.
    n_resamples, seed
        Of the bounds.

    Raises
    ------
    EmbedStoreError
        If there are fewer than three rows.
    """
    _check_rows(values)
    n_groups = int(groups.max(initial=-1)) + 1
    scaled = _standard(columns)
    weights = huber_weights(scaled, values)
    total, whole, without = _squares(scaled, groups, values, weights[None])
    rank = np.linalg.matrix_rank(scaled) if scaled.size else 0
    freedom = np.array(
        [rank - np.linalg.matrix_rank(scaled[:, groups != g]) for g in range(n_groups)], np.int64
    )
    drop = _share((without - whole[:, None]), total)[0]
    drop[freedom == 0] = 0.0  # but for rounding
    blocks = resample_counts(len(values), n_resamples=n_resamples, seed=seed, clusters=clusters)
    drawn = [_squares(scaled, groups, values, counts * weights) for counts in blocks]
    replicates = np.concatenate([_share(w - a[:, None], t) for t, a, w in drawn])
    low, high = percentile_interval(replicates)
    return Explained(
        r2=float(1 - _share(whole[:, None], total)[0, 0]),
        drop=drop,
        low=np.where(freedom > 0, low, np.nan),
        high=np.where(freedom > 0, high, np.nan),
        p_value=_partial_f(whole[0], without[0], freedom, len(values) - 1 - int(rank)),
        freedom=freedom,
        weights=weights,
    )


def effects(columns: F64, values: F64) -> Effects:
    """Return the coefficients of columns in a robust regression: (N, P), (N,) -> P.

    Huber's T with c = 1.345 and the MAD as scale, fitted by statsmodels; p-values are two-sided.

    Raises
    ------
    EmbedStoreError
        If there are no more rows than independent columns.
    """
    _check_rows(values)
    kept = independent(columns)
    if len(values) <= len(kept) + 1:
        raise EmbedStoreError(
            f"{len(values)} models cannot tell {len(kept)} terms apart; choose more models, or a "
            "metric that more of them have"
        )
    import statsmodels.api as sm  # 1.4 s to import

    design = np.column_stack([np.ones(len(values)), columns[:, kept]])
    model = sm.RLM(values, design, M=sm.robust.norms.HuberT(HUBER_C))
    with warnings.catch_warnings():  # of a scale of 0: most rows fit perfectly
        warnings.simplefilter("ignore")
        fit = model.fit(scale_est="mad", maxiter=200)
        bounds, p_values = fit.conf_int(), fit.pvalues
    found = np.full((4, columns.shape[1]), np.nan)
    found[:, kept] = fit.params[1:], bounds[1:, 0], bounds[1:, 1], p_values[1:]
    return Effects(*found)


def _check_rows(values: F64) -> None:
    if len(values) < 3:
        raise EmbedStoreError(
            f"models that have the value and all factors: {len(values)}, too few for a regression; "
            "choose at least 3"
        )


def independent(columns: F64) -> I64:
    """Return the columns that no earlier ones and no constant add up to: (N, P) -> (K,)."""
    scaled, kept = _standard(columns), list[int]()
    for j in range(scaled.shape[1]):
        if np.linalg.matrix_rank(scaled[:, [*kept, j]]) > len(kept):
            kept.append(j)
    return np.array(kept, np.int64)


def huber_weights(columns: F64, values: F64) -> F64:
    """Return the weights of a robust regression: (N, P), (N,) -> (N,); Huber's T, c = 1.345, MAD.

    All 1 where the columns fit the values perfectly.
    """
    design = np.column_stack([np.ones(len(values)), columns])
    plain = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    if np.abs(plain).max() <= PERFECT * max(np.ptp(values), np.abs(values).max()):
        return np.ones(len(values))
    import statsmodels.api as sm  # 1.4 s to import

    model = sm.RLM(values, design, M=sm.robust.norms.HuberT(HUBER_C))
    with warnings.catch_warnings():  # of a scale of 0: most rows fit perfectly
        warnings.simplefilter("ignore")
        fit = model.fit(scale_est="mad", maxiter=200)
    return np.asarray(np.nan_to_num(fit.weights, nan=1.0), np.float64)


def _standard(columns: F64) -> F64:
    """Centre columns and bring them to unit length; constant ones stay 0."""
    centred = columns - columns.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    return np.asarray(centred / np.where(length > 0, length, 1.0), np.float64)


def _squares(columns: F64, groups: I64, values: F64, weights: F64) -> tuple[F64, F64, F64]:
    """Squares that weighted fits leave: (B, N) -> total (B,), all (B,), without each (B, G).

    One product gives every resample's Gram matrix of columns, intercept and values.
    """
    n, p = columns.shape
    joined = np.column_stack([columns, np.ones(n), values - values.mean()])
    products = (joined[:, :, None] * joined[:, None, :]).reshape(n, -1)
    gram = (weights.astype(np.float64) @ products).reshape(-1, p + 2, p + 2)
    every, constant = np.arange(p + 1), np.array([p])
    total, whole = _left(gram, constant), _left(gram, every)
    kept = [
        np.append(np.flatnonzero(groups != g), p) for g in range(int(groups.max(initial=-1)) + 1)
    ]
    without = [_left(gram, columns_) for columns_ in kept]
    shape = (len(gram), 0)
    return total, whole, np.stack(without, axis=1) if without else np.empty(shape)


def _left(gram: F64, kept: I64) -> F64:
    """Sum of squares that some columns leave of the values, the last of each matrix: (B,)."""
    inner = gram[:, kept[:, None], kept]
    cross, own = gram[:, kept, -1], gram[:, -1, -1]
    scale = np.trace(inner, axis1=1, axis2=2) / len(kept)
    ridged = inner + (RIDGE * scale)[:, None, None] * np.eye(len(kept))
    solved = np.linalg.solve(ridged, cross[:, :, None])[:, :, 0]
    return np.asarray(np.maximum(own - (cross * solved).sum(axis=1), 0.0), np.float64)


def _share(part: F64, total: F64) -> F64:
    """(B, G), (B,) -> (B, G), NaN where the values are constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total[:, None] > 0, part / total[:, None], np.nan)


def _partial_f(whole: float, without: F64, freedom: I64, left: int) -> F64:
    from scipy.special import fdtrc

    if left < 1:
        return np.full(len(without), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(without - whole, 0) / freedom / (whole / left)
        return np.where(freedom > 0, fdtrc(np.maximum(freedom, 1), left, ratio), np.nan)


__all__ = ["Effects", "Explained", "effects", "explain", "huber_weights", "independent"]
