"""Scores of all samples of a subject's data sets, from outcomes where these hold them.

Dimensions: N samples that were scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.detection.score import Asked, Scorer, UndefinedScoreError
from embedstore.detection.subject import Block, Part, Subject
from embedstore.errors import EmbedStoreError
from embedstore.store.outcomes import OutcomeRun, checked_table

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """What one score says of some samples of a data set."""

    values: F64  # (N,) higher: more ID
    labels: I64  # (N,) of the data set's own classes, -1 where there is none


@dataclass(slots=True)
class Measured:
    """What a subject's scores say, or why they say nothing."""

    scores: dict[tuple[int, str], Scores] = field(default_factory=dict)  # score's place, data set
    reasons: dict[tuple[int, str], str] = field(default_factory=dict)
    used: dict[int, dict[str, Any]] = field(default_factory=dict)  # hyper-parameters that were used


def measure(subject: Subject, asked: Sequence[Asked], parts: Sequence[Part]) -> Measured:
    """Score every sample of some data sets, each read once for all scores of equal blocks.

    Parameters
    ----------
    subject
        A model, perhaps under a head.
    asked
        Scores, each known below by its place.
    parts
        ID samples first; of a data set without embeddings and logits, only scores that its
        outcomes hold are there.
    """
    measured = Measured()
    stored = {i for i, a in enumerate(asked) if _from_outcomes(subject, a, i, parts, measured)}
    scorers: dict[int, Scorer] = {}
    for i, score in enumerate(asked):
        if i not in stored:
            scorers |= _fitted(subject, score, i, parts, measured)
    for part in parts:
        if not subject.known(part.dataset):
            reason = _obstacle(subject, part.dataset)
            measured.reasons |= {(place, part.dataset): reason for place in scorers}
            continue
        for n_rows in sorted({asked[place].score.block_rows for place in scorers}):
            alike = {i: s for i, s in scorers.items() if asked[i].score.block_rows == n_rows}
            _stream(subject, alike, part, n_rows, measured)
    return measured


def _fitted(
    subject: Subject, asked: Asked, place: int, parts: Sequence[Part], measured: Measured
) -> dict[int, Scorer]:
    """Fit a score; keep the reason where it cannot be."""
    reason = _obstacle(subject, parts[0].dataset)
    if not reason and subject.reference and not subject.known(subject.reference.dataset):
        needed = "reference" in asked.score.needs
        reason = _obstacle(subject, subject.reference.dataset) if needed else ""
    try:
        if not reason:
            scorer = asked.fit(subject)
            measured.used[place] = asked.used(scorer)
            return {place: scorer}
    except UndefinedScoreError as error:
        reason = str(error)
    measured.reasons |= {(place, part.dataset): reason for part in parts}
    return {}


def _obstacle(subject: Subject, dataset: str) -> str:
    if subject.known(dataset):
        return ""
    if subject.head_name is None:
        return f"no embeddings of {dataset} are stored"
    return f"neither embeddings nor logits of {dataset} are stored under head {subject.head_name!r}"


def _stream(
    subject: Subject, scorers: dict[int, Scorer], part: Part, n_rows: int, measured: Measured
) -> None:
    """Go over a data set once, each block of up to `n_rows` samples through every score."""
    parts: dict[int, list[F64]] = {place: [] for place in scorers}
    labels: list[I64] = []
    for block in subject.blocks(part, n_rows):
        labels.append(block.labels)
        for place, scorer in list(scorers.items()):
            try:
                parts[place].append(_one_each(scorer(block), block))
            except UndefinedScoreError as error:
                measured.reasons[place, part.dataset] = str(error)
                parts[place].append(np.full(len(block), np.nan))
    for place, values in parts.items():
        if (place, part.dataset) not in measured.reasons:
            together = np.concatenate(values) if values else np.zeros(0)
            known = np.concatenate(labels) if labels else np.zeros(0, np.int64)
            measured.scores[place, part.dataset] = Scores(together, known)


def _one_each(values: Any, block: Block) -> F64:
    """Return what a scorer, perhaps a user's own, says of a block: (B,)."""
    found = np.asarray(values, np.float64)
    if found.shape != (len(block),):
        raise EmbedStoreError(
            f"a score gave numbers of shape {found.shape} for {len(block)} samples; return one a "
            "sample of the block"
        )
    return found


def _from_outcomes(
    subject: Subject, asked: Asked, place: int, parts: Sequence[Part], measured: Measured
) -> bool:
    """Take a score from the tables of outcomes; whether all data sets have it in the ID classes."""
    defaults = all(asked.hyperparameters[n] == p.default for n, p in asked.score.parameters.items())
    if not asked.score.outcome or not defaults:
        return False
    column, sign = asked.score.outcome.removeprefix("-"), -1 if "-" in asked.score.outcome else 1
    found = {}
    for part in parts:
        run = _outcome_run(subject, part.dataset)
        scores = None if run is None else _column(subject, run, part, column, sign)
        if scores is None:
            if subject.known(part.dataset):  # then all data sets are scored one way
                return False
            measured.reasons[place, part.dataset] = (
                f"no outcomes of {part.dataset} among the classes of {subject.id_dataset} are there"
            )
        else:
            found[place, part.dataset] = scores
    measured.scores |= found
    return True


def _outcome_run(subject: Subject, dataset: str) -> OutcomeRun | None:
    """Return outcomes of a data set that are among the ID data set's classes and no others."""
    store, wanted = subject.store, set(subject.class_ids)
    for run in store.outcome_runs(subject.model, dataset, subject.head_name or ""):
        space = store.space(run)
        plain = all(names == [c] for c, names in space["members"].items())
        if run.head == subject.head_name and plain and set(space["class_ids"]) == wanted:
            return run
    return None


def _column(subject: Subject, run: OutcomeRun, part: Part, column: str, sign: int) -> Scores | None:
    store = subject.store
    values = pl.read_parquet(checked_table(store.files, run), columns=[column])[column]
    kept = values.is_not_null().to_numpy()
    if not kept.any() and len(values):
        return None  # imported predictions without it
    if part.rows is not None:
        kept = kept & part.rows
    labels = store.samples(part.dataset)["label"].fill_null(-1).to_numpy().astype(np.int64)
    scores = sign * values.cast(pl.Float64).to_numpy()[kept]
    if np.isnan(scores).any():
        raise EmbedStoreError(f"{run.folder} holds NaN; make it anew with: embedstore head apply")
    return Scores(scores, labels[kept])
