"""Recall at k and its companions of one direction, with intervals that draw pictures whole.

Dimensions: N pictures, M captions, E pairs of a picture and a text, Q queries, K cut-offs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.retrieval.captioned import Counted
from embedstore.retrieval.ranking import Found, Ties, blocks_of, found
from embedstore.retrieval.streaming import PairCounts
from embedstore.stats.bootstrap import bootstrap_means, percentile_interval
from embedstore.stats.intervals import clopper_pearson

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Direction = Literal["image-to-text", "text-to-image"]
Positives = Literal["same-text", "own"]
DIRECTIONS: tuple[Direction, ...] = ("image-to-text", "text-to-image")


@dataclass(frozen=True, slots=True)
class Queries:
    """What the queries of one direction find."""

    found: Found  # of Q queries
    pictures: I64  # (Q,) that each belongs to
    n_gallery: int  # candidates of each query
    n_left_out: int  # that could have asked


def check_cut_offs(
    ks: tuple[int, ...], counted: Counted, direction: Direction, datasets: Iterable[str]
) -> None:
    """Refuse more candidates than there are, `datasets` being all that retrieval is asked of.

    Raises
    ------
    EmbedStoreError
        If a k is larger than the gallery.
    """
    run, n_gallery = counted.run, _n_gallery(counted, direction)
    if max(ks) <= n_gallery:
        return
    fitting = ",".join(str(k) for k in ks if k <= n_gallery) or str(n_gallery)
    others = sorted({*datasets} - {run.dataset})
    instead = f", or leave {run.dataset!r} out, such as --datasets {others[0]}" if others else ""
    raise EmbedStoreError(
        f"k = {max(ks)} is more than the {n_gallery} candidates {direction} of model "
        f"{run.model!r} in data set {run.dataset!r} with {run.texts!r}; give --k {fitting}{instead}"
    )


def ask(
    counted: Counted,
    counts: PairCounts,
    direction: Direction,
    positives: Positives,
    ks: tuple[int, ...],
    ties: Ties,
) -> Queries:
    """Return what each picture with captions finds, or each caption.

    Parameters
    ----------
    counted, counts
        Pictures and captions, and what scores above each pair.
    direction
        Who asks whom.
    positives
        `same-text`: a caption belongs to all pictures that have a caption of its text; `own`: to
        the picture alone that it was written for.
    ks, ties
        (K,) cut-offs, none larger than the gallery, and how ties are broken.
    """
    to_text, shared = direction == "image-to-text", positives == "same-text"
    n_gallery = _n_gallery(counted, direction)
    pairs = _distinct_pairs(counted) if shared else np.arange(len(counted.caption_rows))
    text_of, scores, many = counted.text_of[pairs], counts.scores[pairs], np.ones_like(pairs)
    if to_text:
        pictures, query = np.unique(counted.picture_of[pairs], return_inverse=True)
        if shared:
            many = np.bincount(counted.text_of)[text_of]
        above, reaching = counts.captions_above[pairs], counts.captions_reaching[pairs]
        answers = found(blocks_of(query, scores, above, reaching, many), ks, ties)
        return Queries(answers, pictures, n_gallery, counted.n_pictures_left_out)
    above, reaching = counts.pictures_above[pairs], counts.pictures_reaching[pairs]
    query = text_of if shared else pairs
    answers = found(blocks_of(query, scores, above, reaching, many), ks, ties)
    if shared:  # equal texts ask the same
        answers = answers.of(counted.text_of)
    return Queries(answers, counted.picture_of, n_gallery, counted.n_captions_left_out)


def summary(queries: Queries, ks: tuple[int, ...], seed: int) -> list[dict[str, float | int]]:
    """Return columns of the table for each k: means over queries, and their 95 % bounds.

    Pictures are drawn whole: percentile bootstrap. Where each picture asks once and recalls are 0
    or 1, their bounds are Clopper-Pearson. What ranks that are not known leave open is NaN.
    """
    answers = queries.found
    median = float(np.median(answers.rank))
    table = np.vstack([answers.recalls, answers.reciprocal_rank, answers.average_precision])
    low, high = percentile_interval(bootstrap_means(table, seed=seed, clusters=queries.pictures))
    n_queries, n_ks = len(queries.pictures), len(ks)
    single = len(np.unique(queries.pictures)) == n_queries
    if single and np.isin(answers.recalls, (0, 1)).all():
        low[:n_ks], high[:n_ks] = clopper_pearson(answers.recalls.sum(axis=1), n_queries)
    means = table.mean(axis=1)
    shared: Mapping[str, float | int] = {
        "n_queries": n_queries,
        "n_gallery": queries.n_gallery,
        "n_left_out": queries.n_left_out,
        "median_rank": median if math.isfinite(median) else math.nan,
        **{
            f"{name}{end}": float(values[n_ks + i])
            for i, name in enumerate(("mrr", "map"))
            for end, values in (("", means), ("_low", low), ("_high", high))
        },
    }
    return [
        {
            "k": k,
            "recall": float(means[i]),
            "recall_low": float(low[i]),
            "recall_high": float(high[i]),
            **shared,
        }
        for i, k in enumerate(ks)
    ]


def _n_gallery(counted: Counted, direction: Direction) -> int:
    to_text = direction == "image-to-text"
    return len(counted.caption_rows if to_text else counted.picture_rows)


def _distinct_pairs(counted: Counted) -> I64:
    """Return the first caption of each pair of a picture and a text: (E,)."""
    n_texts = int(counted.text_of.max()) + 1
    keys = counted.picture_of * n_texts + counted.text_of
    firsts: I64 = np.unique(keys, return_index=True)[1]
    return firsts


__all__ = ["DIRECTIONS", "Direction", "Positives", "Queries", "ask", "check_cut_offs", "summary"]
