"""How well a score tells samples in distribution from those out of it.

It knows scores, a higher one meaning more in-distribution, not what they were computed from.

Dimensions: P samples in distribution (ID), N out of it (OOD), G groups of OOD samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.kernels.detection import (
    areas,
    ascending,
    auroc_variance,
    levels,
    merged,
    precision_variance,
)
from embedstore.stats.delong import Areas
from embedstore.stats.false_positives import Convention, false_positives

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
#: How precision is summed over recall: scikit-learn's step function, or OpenOOD's lines.
AreaRule = Literal["average-precision", "trapezoid"]


class Estimate(NamedTuple):
    """A number with 95 % bounds, which are NaN where there are none."""

    value: float
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True, slots=True)
class Detection:
    """What one score makes of two sides; see :func:`detection`."""

    n_id: int  # P
    n_ood: int  # N
    auroc: Estimate  # 0 to 1
    aupr_in: Estimate  # 0 to 1, ID samples to be found
    aupr_out: Estimate  # 0 to 1, OOD samples to be found
    fpr: Estimate  # 0 to 1, of OOD accepted, of ID rejected in `ood-recall`


@dataclass(frozen=True, slots=True)
class GroupDetection:
    """What one score makes of each group of OOD samples; see :func:`detection_by_group`."""

    groups: I64  # (G,) ascending
    n_ood: I64  # (G,)
    auroc: F64  # (G,) 0 to 1
    fpr: F64  # (G,) 0 to 1

    @property
    def mean_auroc(self) -> float:
        """Mean over groups, small ones counting as much as large ones."""
        return float(self.auroc.mean())

    @property
    def mean_fpr(self) -> float:
        """Mean over groups, small ones counting as much as large ones."""
        return float(self.fpr.mean())


def detection(
    id_scores: npt.ArrayLike,
    ood_scores: npt.ArrayLike,
    *,
    convention: Convention = "id-recall",
    recall: float = 0.95,
    area: AreaRule = "average-precision",
    intervals: bool = True,
) -> Detection:
    """Return AUROC, both AUPR and FPR@`recall`: (P,), (N,) -> four estimates.

    Parameters
    ----------
    id_scores, ood_scores
        Higher means more in-distribution; infinities are scores like others.
    convention, recall
        Of the false positive rate: see :func:`embedstore.stats.false_positives.false_positives`.
    area
        ``average-precision``, or ``trapezoid``, whose areas have no bounds.
    intervals
        Whether to compute bounds: DeLong's of AUROC, normal ones from the infinitesimal jackknife
        of average precision, both cut to [0, 1] and NaN where a side has one sample; of the false
        positive rate as :meth:`embedstore.stats.false_positives.FalsePositives.interval` says.

    Raises
    ------
    EmbedStoreError
        If a side is empty, a score is NaN, `recall` is out of range or a name unknown.
    """
    if area not in get_args(AreaRule):
        raise UnknownNameError("area", area, get_args(AreaRule))
    found = levels(id_scores, ood_scores)
    positives = false_positives(found, convention=convention, recall=recall)
    auroc, aupr_in, aupr_out = areas(found, trapezoid=area == "trapezoid")
    variances = [np.nan] * 3
    if intervals:
        variances[0] = auroc_variance(found, auroc)
    if intervals and area == "average-precision":
        variances[1:] = precision_variance(found), precision_variance(found.mirrored())
    return Detection(
        n_id=len(found.id_scores),
        n_ood=len(found.ood_scores),
        auroc=_bounded(auroc, variances[0]),
        aupr_in=_bounded(aupr_in, variances[1]),
        aupr_out=_bounded(aupr_out, variances[2]),
        fpr=Estimate(positives.rate, *(positives.interval() if intervals else ())),
    )


def detection_by_group(
    id_scores: npt.ArrayLike,
    ood_scores: npt.ArrayLike,
    groups: npt.NDArray[np.integer],
    *,
    convention: Convention = "id-recall",
    recall: float = 0.95,
) -> GroupDetection:
    """Return AUROC and FPR@`recall` of each group of OOD samples against all ID ones.

    NINCO's authors report the means over its classes (Bitterwolf et al., 2023).

    Parameters
    ----------
    id_scores, ood_scores, convention, recall
        As :func:`detection`: (P,), (N,).
    groups
        (N,) the class, say, of each OOD sample.

    Raises
    ------
    EmbedStoreError
        As :func:`detection`, and if `groups` are not one integer a sample.
    """
    scores, group_of = np.asarray(ood_scores), np.asarray(groups)
    if group_of.shape != scores.shape or group_of.dtype.kind not in "iu":
        raise EmbedStoreError(
            f"groups are {group_of.dtype} of shape {group_of.shape}; give integers of shape "
            f"{scores.shape}"
        )
    id_ascending = ascending(id_scores, "in-distribution")
    ascending(scores, "OOD")  # errors count samples of all groups
    names, counts = np.unique(group_of, return_counts=True)
    aurocs, rates = np.empty(len(names)), np.empty(len(names))
    for i, name in enumerate(names):
        found = merged(id_ascending, ascending(scores[group_of == name], "OOD"))
        aurocs[i] = areas(found)[0]
        rates[i] = false_positives(found, convention=convention, recall=recall).rate
    return GroupDetection(names.astype(np.int64), counts.astype(np.int64), aurocs, rates)


def _bounded(value: float, variance: float) -> Estimate:
    """Return an area with normal bounds, cut to [0, 1]."""
    if np.isnan(variance):
        return Estimate(value)
    low, high = Areas(np.array([value]), np.array([[variance]])).interval()
    return Estimate(value, float(low[0]), float(high[0]))


__all__ = ["AreaRule", "Detection", "Estimate", "GroupDetection", "detection", "detection_by_group"]
