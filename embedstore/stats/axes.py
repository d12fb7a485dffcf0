"""The scales that trends are drawn on: probit, logit, linear. They know proportions, not models.

Dimensions: N proportions.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError, UnknownNameError

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Axis = Literal["probit", "logit", "linear"]
AXES: tuple[str, ...] = get_args(Axis)


def to_axis(
    values: npt.ArrayLike, axis: str, *, n_samples: npt.ArrayLike | None = None
) -> tuple[F64, Bool]:
    """Place values on a scale: (N,) -> (N,) positions, (N,) which values were clipped.

    On the probit (Φ⁻¹) and logit scales a proportion nearer to 0 or 1 than half a sample,
    1 / (2 n), is brought there, since 0 and 1 themselves lie at infinity. The linear scale clips
    nothing. NaN stays NaN.

    Parameters
    ----------
    values
        Proportions from 0 to 1; on the linear scale any number.
    axis
        ``probit``, ``logit`` or ``linear``.
    n_samples
        Of how many samples each is a proportion; broadcast against `values`. Without it, a 0 or 1
        is an error.

    Raises
    ------
    UnknownNameError
        If there is no such axis.
    EmbedStoreError
        If a value is no proportion, or is 0 or 1 and `n_samples` is unknown.
    """
    _check_axis(axis)
    proportions = np.asarray(values, np.float64)
    if axis == "linear":
        return proportions, np.zeros(proportions.shape, bool)
    _check_proportions(proportions, axis, known=n_samples is not None)
    inside = proportions
    if n_samples is not None:
        margin = _half_a_sample(n_samples)
        inside = np.clip(proportions, margin, 1 - margin)
    clipped = (inside != proportions) & ~np.isnan(proportions)
    return _forward(inside, axis), clipped


def from_axis(positions: npt.ArrayLike, axis: str) -> F64:
    """Return the values at positions on a scale: the inverse of :func:`to_axis`, (N,) -> (N,)."""
    _check_axis(axis)
    places = np.asarray(positions, np.float64)
    if axis == "linear":
        return places
    from scipy.special import expit, ndtr  # 0.2 s to import

    return np.asarray(ndtr(places) if axis == "probit" else expit(places), np.float64)


def _forward(proportions: F64, axis: str) -> F64:
    from scipy.special import logit, ndtri

    return np.asarray(ndtri(proportions) if axis == "probit" else logit(proportions), np.float64)


def _half_a_sample(n_samples: npt.ArrayLike) -> F64:
    n = np.asarray(n_samples, np.float64)
    if (n < 1).any():
        raise EmbedStoreError(
            f"a proportion of {n[n < 1].flat[0]:g} samples cannot be placed; leave out what has no "
            "sample"
        )
    return 1 / (2 * n)


def _check_axis(axis: str) -> None:
    if axis not in AXES:
        raise UnknownNameError("axis", axis, AXES)


def _check_proportions(values: F64, axis: str, *, known: bool) -> None:
    wrong = values[(values < 0) | (values > 1)]
    if wrong.size:
        raise EmbedStoreError(
            f"{wrong.flat[0]:g} is not a proportion; give values from 0 to 1 (not per cent), or "
            "use the linear axis"
        )
    if not known and ((values == 0) | (values == 1)).any():
        raise EmbedStoreError(
            f"0 and 1 lie at infinity on the {axis} axis; give the number of samples, so that they "
            "are clipped to half a sample, or use the linear axis"
        )
