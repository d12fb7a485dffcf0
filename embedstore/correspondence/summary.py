"""Recall over pairs: all of them, by rotation, by class, with bounds that draw pairs.

Dimensions: P pairs, L limits, S strata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.limits import Protocol
from embedstore.correspondence.measuring import Judged
from embedstore.correspondence.pairs import Truth
from embedstore.stats.bootstrap import bootstrap_means, percentile_interval

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]

#: Name of the class of pairs that have none, beside others that do.
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Stratum:
    """Some of the pairs."""

    members: Bool  # (P,)
    bin: str | None = None
    group: str | None = None


def summarize(
    judged: Sequence[Judged], truth: Truth, protocol: Protocol, *, n_left_out: int, seed: int
) -> list[dict[str, Any]]:
    """Return columns of the table, a row a limit and stratum, the one of all pairs first.

    Those that were left out before count as excluded there, whatever they were.

    Recall is of all matches of a stratum together; where keypoint pairs have classes, that of all
    pairs is the mean over the classes that have matches. A stratum without matches has none: NaN.
    """
    strata = _strata(judged, truth, protocol)
    is_macro = any(stratum.group for stratum in strata)
    members = np.array([stratum.members for stratum in strata])  # (S, P)
    correct, expected = (
        np.array([getattr(pair, name) for pair in judged], np.float64).T
        for name in ("correct", "expected")
    )  # (L, P)
    matches = np.array([pair.n_matches for pair in judged], np.float64)
    counts = np.array([members * of_pair for of_pair in (matches, *correct)])  # (1 + L, S, P)
    used = ~np.array([pair.excluded for pair in judged])
    low, high = _bounds(counts[:, :, used], seed, is_macro=is_macro)
    totals = counts.sum(axis=2)
    recalls = _ratios(totals, is_macro=is_macro)
    chances = _ratios(np.stack([totals[0], *(expected @ members.T)]), is_macro=is_macro)
    shared = [_described(stratum, judged, truth) for stratum in strata]
    shared[0]["n_excluded"] += n_left_out
    return [
        shared[s]
        | {
            "threshold": limit.threshold,
            "unit": limit.unit,
            "n_matches": int(totals[0, s]),
            "n_correct": int(totals[k + 1, s]),
            "recall": float(recalls[k, s]),
            "recall_low": float(low[k, s]),
            "recall_high": float(high[k, s]),
            "chance": float(chances[k, s]),
        }
        for k, limit in enumerate(protocol.limits)
        for s in range(len(strata))
    ]


def _strata(judged: Sequence[Judged], truth: Truth, protocol: Protocol) -> list[Stratum]:
    """Return all pairs, then those of each bin, or of each class."""
    strata = [Stratum(np.ones(len(judged), np.bool_))]
    if truth == "depth":
        angles = np.array([np.nan if p.angle is None else p.angle for p in judged], np.float64)
        for start, stop in pairwise(protocol.bins):
            name = f"{start:g}-{stop:g}"
            strata.append(Stratum((angles >= start) & (angles < stop), bin=name))
    if truth == "keypoints" and any(pair.group for pair in judged):
        groups = np.array([pair.group or OTHER for pair in judged])
        strata += [Stratum(groups == name, group=str(name)) for name in np.unique(groups)]
    return strata


def _ratios(sums: F64, *, is_macro: bool) -> F64:
    """Return recalls of sums, of which the first are of matches: (..., 1 + L, S) -> (..., L, S).

    The first stratum is all pairs: the mean over the others if `is_macro`.
    """
    matches, right = sums[..., :1, :], sums[..., 1:, :]
    ratios: F64 = np.full(right.shape, np.nan)
    np.divide(right, matches, out=ratios, where=matches > 0)
    if is_macro:
        known = ~np.isnan(ratios[..., 1:])
        totals, n_known = np.where(known, ratios[..., 1:], 0).sum(axis=-1), known.sum(axis=-1)
        ratios[..., 0] = np.nan
        np.divide(totals, n_known, out=ratios[..., 0], where=n_known > 0)
    return ratios


def _bounds(counts: F64, seed: int, *, is_macro: bool) -> tuple[F64, F64]:
    """Return 95 % bounds of each limit and stratum: (1 + L, S, P) -> (L, S) each.

    Means over the same resamples have the ratio of the sums.
    """
    n_sums, n_strata, n_pairs = counts.shape
    if n_pairs < 2:
        nothing = np.full((n_sums - 1, n_strata), np.nan)
        return nothing, nothing
    means = bootstrap_means(counts.reshape(-1, n_pairs), seed=seed)
    replicates: F64 = means.reshape(-1, n_sums, n_strata)
    low, high = percentile_interval(_ratios(replicates, is_macro=is_macro))
    return low, high


def _described(stratum: Stratum, judged: Sequence[Judged], truth: Truth) -> dict[str, Any]:
    of_stratum = [pair for pair, inside in zip(judged, stratum.members, strict=True) if inside]
    n_excluded = sum(pair.excluded for pair in of_stratum)
    n_unseen = sum(pair.n_unseen for pair in of_stratum)
    return {
        "bin": stratum.bin,
        "group": stratum.group,
        "n_pairs": len(of_stratum) - n_excluded,
        "n_excluded": n_excluded,
        "n_unseen": n_unseen if truth == "keypoints" else None,
    }


__all__ = ["Stratum", "summarize"]
