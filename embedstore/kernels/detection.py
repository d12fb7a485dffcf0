"""How many samples of two sides score at or above each score, and the areas that follow from it.

It knows scores, not what they detect; a higher score means more in-distribution. Each side is
sorted once and the two are merged, so that equal scores meet whatever side they are of.

Dimensions: P samples in distribution (ID), N out of it (OOD), L levels: distinct scores of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import njit
from embedstore.errors import EmbedStoreError, NonFiniteError

Counts = npt.NDArray[np.signedinteger]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Levels:
    """Both sides in order, and how many of each score at or above each level."""

    id_scores: Floats  # (P,) ascending
    ood_scores: Floats  # (N,) ascending, of the same type
    id_above: Counts  # (L,) 0 to P, the highest level first
    ood_above: Counts  # (L,) 0 to N

    def mirrored(self) -> Levels:
        """Return the same with sides exchanged and scores negated, so that OOD ones are found."""
        below = []
        for above in (self.ood_above, self.id_above):
            counts = np.full_like(above, above[-1])
            counts[:-1] -= above[-2::-1]
            below.append(counts)
        return Levels(-self.ood_scores[::-1], -self.id_scores[::-1], *below)


def levels(id_scores: npt.ArrayLike, ood_scores: npt.ArrayLike) -> Levels:
    """Sort and merge two sides: (P,), (N,) -> L levels.

    Parameters
    ----------
    id_scores, ood_scores
        Any numbers; infinities are scores like others. Two float32 sides are compared as they are,
        all else as float64: equal scores stay equal.

    Raises
    ------
    NonFiniteError
        If a score is NaN; names the first such sample.
    EmbedStoreError
        If a side is empty, or not of one dimension.
    """
    return merged(ascending(id_scores, "in-distribution"), ascending(ood_scores, "OOD"))


def ascending(scores: npt.ArrayLike, side: str) -> Floats:
    """Sort one side, which errors call `side`: (N,) -> (N,) float32 if it was that, else float64.

    Raises
    ------
    NonFiniteError, EmbedStoreError
        As :func:`levels`.
    """
    given = np.asarray(scores)
    if given.ndim != 1 or not given.size:
        raise EmbedStoreError(
            f"{side} scores are of shape {given.shape}; give one a sample, and at least one sample"
        )
    ordered: Floats = np.sort(given if given.dtype == np.float32 else given.astype(np.float64))
    if np.isnan(ordered[-1]):  # NaN sorts last
        raise NonFiniteError(
            f"the {side} score of sample {np.flatnonzero(np.isnan(given))[0]} is NaN; leave out "
            "samples that could not be read, and check the score"
        )
    return ordered


def merged(id_ascending: Floats, ood_ascending: Floats) -> Levels:
    """Merge two sides that :func:`ascending` sorted: (P,), (N,) -> L levels."""
    kind = np.result_type(id_ascending, ood_ascending)
    sides = [side.astype(kind, copy=False) for side in (id_ascending, ood_ascending)]
    n_samples = len(id_ascending) + len(ood_ascending)
    above = np.empty((2, n_samples), np.int32 if n_samples < 2**31 else np.int64)
    n_levels = _merge(sides[0], sides[1], above)
    return Levels(sides[0], sides[1], above[0, :n_levels], above[1, :n_levels])


def areas(found: Levels, *, trapezoid: bool = False) -> tuple[float, float, float]:
    """Return AUROC, and the areas under the two precision-recall curves.

    AUROC is how often an ID sample scores above an OOD one, ties counted half. Of the precision
    areas, the first is of ID samples to be found among high scores, the second of OOD samples among
    low ones.

    Parameters
    ----------
    found
        The levels.
    trapezoid
        Join the points of a precision curve by lines, from recall 0 at precision 1 on; without it,
        average precision: the mean over the samples to be found of the precision at their level.
    """
    n_id, n_ood = len(found.id_scores), len(found.ood_scores)
    twice_pairs, inside, outside = _areas(found.id_above, found.ood_above, trapezoid)
    return twice_pairs / (2 * n_id * n_ood), inside / n_id, outside / n_ood


def auroc_variance(found: Levels, area: float) -> float:
    """Return DeLong's variance of an AUROC, NaN with fewer than two samples on a side."""
    if min(len(found.id_scores), len(found.ood_scores)) < 2:
        return np.nan
    return float(_placement_variance(found.id_above, found.ood_above, area))


def precision_variance(found: Levels) -> float:
    """Return the variance of average precision, NaN with fewer than two samples on a side.

    The infinitesimal jackknife (Jaeckel, 1972): each sample's influence on the average precision,
    through its own precision and through that at every level below it, squared and added a side at
    a time, as DeLong's variance is made of placements.
    """
    if min(len(found.id_scores), len(found.ood_scores)) < 2:
        return np.nan
    return float(_influence_variance(found.id_above, found.ood_above))


@njit
def _merge(id_scores: Any, ood_scores: Any, above: Counts) -> int:
    """Fill the columns of (2, P + N) from (P,), (N,) ascending; return how many: L."""
    n_id, n_ood = id_scores.shape[0], ood_scores.shape[0]
    i, j, level = n_id, n_ood, 0
    while i > 0 or j > 0:
        of_ood = i == 0 or (j > 0 and ood_scores[j - 1] > id_scores[i - 1])
        score = ood_scores[j - 1] if of_ood else id_scores[i - 1]
        while i > 0 and id_scores[i - 1] == score:
            i -= 1
        while j > 0 and ood_scores[j - 1] == score:
            j -= 1
        above[0, level] = n_id - i
        above[1, level] = n_ood - j
        level += 1
    return level


@njit
def _areas(id_above: Counts, ood_above: Counts, trapezoid: bool) -> tuple[int, float, float]:
    """(L,), (L,) -> twice the pairs in order, precisions summed over ID and over OOD samples."""
    n_id, n_all = id_above[-1], id_above[-1] + ood_above[-1]
    id_before, ood_before, precision_before = 0, 0, 1.0
    pairs, inside, outside, ood_precision = 0, 0.0, 0.0, 1.0 - n_id / n_all
    for level in range(id_above.shape[0]):
        hits, misses = id_above[level], ood_above[level]
        id_here, ood_here, n_above = hits - id_before, misses - ood_before, hits + misses
        precision = hits / n_above
        below = 1.0 - (n_id - hits) / (n_all - n_above) if n_above < n_all else 1.0
        pairs += ood_here * (id_before + hits)
        inside += id_here * (0.5 * (precision_before + precision) if trapezoid else precision)
        outside += ood_here * (0.5 * (ood_precision + below) if trapezoid else ood_precision)
        id_before, ood_before, precision_before, ood_precision = hits, misses, precision, below
    return pairs, inside, outside


@njit
def _placement_variance(id_above: Counts, ood_above: Counts, area: float) -> float:
    """Sum squares of placements less their mean, a side at a time: (L,), (L,) -> scalar."""
    n_id, n_ood = id_above[-1], ood_above[-1]
    of_id, of_ood, id_before, ood_before = 0.0, 0.0, 0, 0
    for level in range(id_above.shape[0]):
        ood_below = 1.0 - 0.5 * (ood_before + ood_above[level]) / n_ood
        above = 0.5 * (id_before + id_above[level]) / n_id
        of_id += (id_above[level] - id_before) * (ood_below - area) ** 2
        of_ood += (ood_above[level] - ood_before) * (above - area) ** 2
        id_before, ood_before = id_above[level], ood_above[level]
    return float(of_id / (n_id * (n_id - 1.0)) + of_ood / (n_ood * (n_ood - 1.0)))


@njit
def _influence_variance(id_above: Counts, ood_above: Counts) -> float:
    """Sum squared influences on the average precision: (L,), (L,) -> scalar.

    From the lowest level up, since a sample moves the precision at all levels at or below it.
    """
    n_id, n_ood = id_above[-1], ood_above[-1]
    sums = np.zeros(4)  # of ID influences, their squares, and the same of OOD ones
    by_id, by_ood = 0.0, 0.0  # what one more sample adds to the levels passed so far
    for level in range(id_above.shape[0] - 1, -1, -1):
        hits, misses = id_above[level], ood_above[level]
        n_at_id = hits - (id_above[level - 1] if level > 0 else 0)
        n_at_ood = misses - (ood_above[level - 1] if level > 0 else 0)
        total = float(hits + misses)
        by_id += n_at_id * misses / (total * total)
        by_ood -= n_at_id * hits / (total * total)
        influence = hits / total + by_id
        sums[0] += n_at_id * influence
        sums[1] += n_at_id * influence * influence
        sums[2] += n_at_ood * by_ood
        sums[3] += n_at_ood * by_ood * by_ood
    of_id = (sums[1] - sums[0] * sums[0] / n_id) / (n_id * (n_id - 1.0))
    # an OOD sample weighs 1 / N of its side, and its influence is counted in ID samples
    of_ood = (sums[3] - sums[2] * sums[2] / n_ood) * n_ood / (n_ood - 1.0) / (n_id * n_id)
    return float(max(of_id, 0.0) + max(of_ood, 0.0))


__all__ = [
    "Levels",
    "areas",
    "ascending",
    "auroc_variance",
    "levels",
    "merged",
    "precision_variance",
]
