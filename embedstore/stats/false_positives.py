"""The false positive rate where a given share of the samples to find is found.

Three conventions are in use, which ties and small samples tell apart. They know levels of scores,
not what these detect.

Dimensions: P samples in distribution (ID), N out of it (OOD), L levels.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.kernels.detection import Floats, Levels
from embedstore.stats.intervals import clopper_pearson

#: `id-recall`: MCM's code; `id-quantile`: NINCO's; `ood-recall`: OpenOOD v1.5's.
Convention = Literal["id-recall", "id-quantile", "ood-recall"]


@dataclass(frozen=True, slots=True)
class FalsePositives:
    """What is accepted at the threshold of one convention.

    Positive samples are ID ones and negative OOD ones, but for `ood-recall`, where the sides change
    places and accepted ID samples are those that pass for OOD.
    """

    levels: Levels  # mirrored for `ood-recall`: its ID side are the positives
    n_found: int  # positives at or above the threshold, 0 to P
    n_accepted: int  # negatives at or above the threshold, 0 to N

    @property
    def rate(self) -> float:
        """Share of the negatives that is accepted."""
        return self.n_accepted / len(self.levels.ood_scores)

    def interval(self, *, confidence: float = 0.95) -> tuple[float, float]:
        """Return bounds that allow for the negatives' sampling and for the threshold's.

        An approximation: Clopper-Pearson's bounds at this threshold, and the rates at the
        thresholds where Clopper-Pearson's bounds of the share found are reached, as distances from
        the rate squared and added (Zou & Donner, 2008).
        """
        positives, negatives = self.levels.id_scores, self.levels.ood_scores
        low, high = clopper_pearson(self.n_accepted, len(negatives), confidence=confidence)
        fewer, more = clopper_pearson(self.n_found, len(positives), confidence=confidence)
        at_fewer, at_more = (
            _accepted_with(self.levels, int(count))
            for count in (np.floor(fewer * len(positives)), np.ceil(more * len(positives)))
        )
        below = np.hypot(self.rate - low, max(self.rate - at_fewer, 0.0))
        above = np.hypot(high - self.rate, max(at_more - self.rate, 0.0))
        return max(self.rate - float(below), 0.0), min(self.rate + float(above), 1.0)


def false_positives(
    levels: Levels, *, convention: Convention = "id-recall", recall: float = 0.95
) -> FalsePositives:
    """Count the false positives where `recall` of the samples to find is found.

    Parameters
    ----------
    levels
        Of both sides' scores.
    convention
        ``id-recall``: of all levels from the highest one that accepts every ID sample upwards, that
        whose share of accepted ID samples is nearest to `recall`, of two as near the lower (the
        code of Ming et al., 2022); ``id-quantile``: the quantile 1 - `recall` of the ID scores,
        interpolated in float64 (of Bitterwolf et al., 2023); ``ood-recall``: share of ID samples
        that is rejected at the highest point where at least `recall` of the OOD samples is, among
        those that scikit-learn's `roc_curve` keeps with ``drop_intermediate=True`` (OpenOOD v1.5;
        Zhang et al., 2023).
    recall
        Above 0, at most 1.

    Raises
    ------
    EmbedStoreError
        If `recall` is out of range or the convention unknown.
    """
    if not 0 < recall <= 1:
        raise EmbedStoreError(
            f"recall is {recall}; give a share above 0 and at most 1, such as .95"
        )
    if convention not in get_args(Convention):
        raise UnknownNameError("convention", convention, get_args(Convention))
    if convention == "id-quantile":
        threshold = _quantile(levels.id_scores, 1 - recall)
        counts = (_at_or_above(s, threshold) for s in (levels.id_scores, levels.ood_scores))
        return FalsePositives(levels, *counts)
    if convention == "ood-recall":
        levels = levels.mirrored()
        place = _next_corner(levels, _first_to_reach(levels, recall))
    else:
        place = _nearest(levels, recall)
    return FalsePositives(levels, int(levels.id_above[place]), int(levels.ood_above[place]))


def _first_to_reach(levels: Levels, recall: float) -> int:
    """Return the highest level that finds `recall`, divided as the authors' codes divide."""
    n_positive = len(levels.id_scores)
    return bisect_left(levels.id_above, recall, key=lambda found: int(found) / n_positive)


def _nearest(levels: Levels, recall: float) -> int:
    """Return the level whose recall is nearest, of several the lowest that finds not yet all."""
    n_positive, first = len(levels.id_scores), _first_to_reach(levels, recall)
    found = int(levels.id_above[first])
    last = first
    if found < n_positive:
        last = int(np.searchsorted(levels.id_above, found, "right")) - 1
    if first == 0:
        return last
    fewer = int(levels.id_above[first - 1])
    nearer = abs(fewer / n_positive - recall) < abs(found / n_positive - recall)
    return first - 1 if nearer else last


def _next_corner(levels: Levels, first: int) -> int:
    """Return the first level from `first` on where the steps on either side differ, or the last."""
    last, width = len(levels.id_above) - 1, 64  # a corner is seldom far
    if first == 0:
        return first
    while first < last:
        steps = slice(first - 1, first + width + 1)
        counts = np.stack([levels.id_above[steps], levels.ood_above[steps]])
        corners = np.flatnonzero(np.diff(counts, 2).any(axis=0))
        if corners.size:
            return first + int(corners[0])
        first, width = first + width, 2 * width
    return last


def _quantile(ascending: Floats, share: float) -> float:
    """Return NumPy's linear quantile of scores in order; beside an infinity, the lower score."""
    place = (len(ascending) - 1) * share
    low = int(place)
    pair = ascending[low : low + 2].astype(np.float64)
    if place == low or not np.isfinite(pair).all():
        return float(pair[0])
    return float(np.quantile(pair, place - low))


def _at_or_above(ascending: Floats, threshold: float) -> int:
    # NumPy compares float32 scores with a float64 threshold in float64: none becomes a tie
    return len(ascending) - int(np.searchsorted(ascending, np.float64(threshold), "left"))


def _accepted_with(levels: Levels, n_found: int) -> float:
    """Return the share of negatives at or above the score of the n-th highest positive."""
    if n_found == 0:
        return 0.0
    threshold = float(levels.id_scores[len(levels.id_scores) - n_found])
    return _at_or_above(levels.ood_scores, threshold) / len(levels.ood_scores)


__all__ = ["Convention", "FalsePositives", "false_positives"]
