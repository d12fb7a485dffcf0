"""Outcomes of a class that others say for each sample, without logits.

Dimensions: N samples, C classes of the data set, S classes of a label space, M right classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.labels import Judgement

I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
_LOGITS = "no logits were imported"


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of each of N samples."""

    classes: I64  # (N,) of the data set; -1 where none
    no_class: Bool  # (N,) answered, and named no class
    confidences: pl.Series | None  # (N,)


def followed(judged: Judgement, n_classes: int) -> I64 | None:
    """Return the class of a space that each of C classes becomes: (C,); None where logits decide.

    The winner among all classes wins in a space too that keeps them all, renamed or merged by their
    largest logit; not in one that leaves out classes, or averages.
    """
    space = judged.space
    if space.columns is None:
        return np.arange(n_classes)
    whole = len(space.columns) == len(np.unique(space.columns)) == n_classes
    if not whole or (space.offsets is not None and space.reduction != "max"):
        return None
    sizes = np.ones(n_classes, np.int64) if space.offsets is None else np.diff(space.offsets)
    place = np.empty(n_classes, np.int64)
    place[space.columns] = np.repeat(np.arange(len(sizes)), sizes)
    return place


def right(judged: Judgement, predictions: I64) -> tuple[Bool, Bool]:
    """Return whether each prediction is right, and whether that is known: (N,) -> (N,), (N,)."""
    classes, offsets = judged.labels.classes, judged.labels.offsets
    if offsets is None:
        return predictions == classes, classes >= 0
    counts = np.diff(offsets)
    rows = np.repeat(np.arange(len(counts)), counts)
    found = np.zeros(len(counts), bool)
    found[rows[classes == predictions[rows]]] = True
    return found, counts > 0


def said_outcomes(judged: Judgement, place: I64, said: Said) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the table of outcomes: N rows; and why a column is null where it is."""
    there = said.classes >= 0
    predictions = np.where(there, place[said.classes], -1)
    hit, labelled = right(judged, predictions)
    # Who answers and names no class is wrong; who was not asked is not known.
    known = labelled & (there | said.no_class)
    nulls = dict.fromkeys(("max_logit", "energy", "entropy", "margin", "nll", "brier"), _LOGITS)
    nulls["label_rank"] = "no logits were imported: known only where the prediction is right, as 0"
    columns = {
        "prediction": pl.Series(predictions).set(pl.Series(~there), None),
        "correct": pl.Series(hit).set(pl.Series(~known), None),
        "label_rank": pl.Series(np.zeros(len(hit), np.int64)).set(pl.Series(~(hit & known)), None),
    }
    merged = judged.space.offsets is not None
    if said.confidences is None or merged:
        nulls["confidence"] = _LOGITS if merged else "the file has no confidences"
    else:
        columns["confidence"] = said.confidences
    empty = pl.Series([None] * len(hit))
    frame = pl.DataFrame(
        {n: columns.get(n, empty).cast(dtype) for n, dtype in schema.OUTCOMES.items()}
    )
    return frame, nulls
