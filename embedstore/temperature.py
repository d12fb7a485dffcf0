"""Temperatures of stored heads: fitted on half of one data set, carried to all others.

The temperature divides logits *after* they are cut to a label space, so that no prediction changes:
where a space takes the mean over a class's members, dividing before it would change some.

Dimensions: N samples, M of them judged, C classes of the head, S classes of the space, B bins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.heads.held_out import SUFFIX
from embedstore.heads.logits import has_logits, logit_blocks
from embedstore.heads.splits import hashed
from embedstore.heads.stored import head_record
from embedstore.in_distribution import AUTO, NONE, ambiguous, id_candidates
from embedstore.kernels.classwise import classwise_error, classwise_gaps
from embedstore.kernels.temperature import TemperatureFit, fit_temperature, scaled
from embedstore.labels import ClassMap, Judgement, judgement, judgements
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun

Bool = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: Share of the in-distribution data set that temperatures are fitted on.
HALF = 0.5


@dataclass(frozen=True, slots=True)
class ScaledRun:
    """What one run says at the temperature of its head."""

    fit: TemperatureFit
    rows: I64  # (M,) of the data set, ascending: judged, and not fitted on
    confidence: F64  # (M,) probability
    nll: F64  # (M,) nats; NaN where a sample has several right classes


@dataclass(frozen=True, slots=True)
class NoTemperature:
    """Why a run has no temperature."""

    reason: str


class Temperatures:
    """The temperature of each model's head, fitted once on half of the in-distribution data set."""

    def __init__(self, store: Store, id_dataset: str = AUTO, seed: int = 0) -> None:
        self.store, self.seed = store, seed
        self.id_dataset = _id_dataset(store, id_dataset)
        self._fits: dict[tuple[str, str], TemperatureFit | NoTemperature] = {}

    @property
    def convention(self) -> str:
        """How temperatures came about."""
        if not self.id_dataset:
            return "no temperature"
        return (
            f"temperature after the cut to the space, fitted on half of {self.id_dataset} "
            f"(hash of sample ids, seed {self.seed}), measured on other samples"
        )

    def fit(self, model: str, head: str) -> TemperatureFit | NoTemperature:
        """Return the temperature of a head, or why there is none."""
        if (model, head) not in self._fits:
            self._fits[model, head] = self._fitted(model, head)
        return self._fits[model, head]

    def scaled(self, run: OutcomeRun, judged: Bool) -> ScaledRun | NoTemperature:
        """Return a run at its head's temperature, or why it cannot be.

        Parameters
        ----------
        run
            Whose outcomes.
        judged
            (N,) which samples are labelled and could be read.
        """
        if not self.id_dataset:
            return NoTemperature("no temperature was asked for")
        if not has_logits(self.store, run):
            return NoTemperature("only outcomes are stored, and no logits")
        fit = self.fit(run.model, run.head)
        if isinstance(fit, NoTemperature):
            return fit
        if fit.bound == "any":
            return NoTemperature(f"NLL on {self.id_dataset} is the same at every temperature")
        rows = judged
        if run.dataset == self.id_dataset:
            rows = judged & ~self._half(run.dataset)
        parts = [
            scaled(logits, labels, fit.temperature)
            for logits, labels in judged_logits(self.store, run, rows)
        ]
        if not parts:
            return NoTemperature("every judged sample is in the half that is fitted on")
        confidence, nll = (
            np.concatenate([getattr(part, c) for part in parts]) for c in ("confidence", "nll")
        )
        return ScaledRun(fit, np.flatnonzero(rows), confidence, nll)

    def _half(self, dataset: str) -> Bool:
        """Return which samples temperatures are fitted on: (N,)."""
        ids = self.store.samples(dataset)["sample_id"].to_list()
        return np.asarray(hashed(ids, self.seed, "temperature") < HALF, np.bool_)

    def _fitted(self, model: str, head: str) -> TemperatureFit | NoTemperature:
        dataset = self.id_dataset
        runs = [r for r in self.store.outcome_runs(model, dataset, head) if r.head == head]
        if not runs:
            return NoTemperature(
                f"nothing of this head is stored on {dataset}, where temperatures are fitted"
            )
        if not has_logits(self.store, runs[0]):
            return NoTemperature(
                f"no logits are stored on {dataset}, where temperatures are fitted"
            )
        run = _own(self.store, runs)
        outcomes = self.store.outcomes(model, dataset, run.space, heads=head)
        known = outcomes.select(pl.col("nll").is_not_null()).collect().to_series().to_numpy()
        parts = list(judged_logits(self.store, run, known & self._half(dataset)))
        if not parts:
            return NoTemperature(
                f"the half of {dataset} that is fitted on holds no sample with one label"
            )
        return fit_temperature(parts)


def classwise(store: Store, run: OutcomeRun, judged: Bool, n_bins: int) -> float | None:
    """Return a run's classwise calibration error; null without logits or single labels."""
    if not has_logits(store, run):
        return None
    gaps, n_samples = np.zeros(0), 0
    for logits, labels in judged_logits(store, run, judged):
        if (labels < 0).any():  # several right classes
            return None
        part = classwise_gaps(logits, labels, n_bins)
        gaps, n_samples = (gaps + part if n_samples else part), n_samples + len(labels)
    return classwise_error(gaps, n_samples) if n_samples else None


def judged_logits(store: Store, run: OutcomeRun, rows: Bool) -> Iterator[tuple[F32, I64]]:
    """Yield the logits of some rows, cut to the run's label space, a shard at a time.

    Parameters
    ----------
    store, run
        Whose logits: stored, or made of its embeddings.
    rows
        (N,) which samples; pictures that failed are not among them.

    Yields
    ------
    tuple
        (M, S) float32, and the right class of each, (M,), -1 where there is not exactly one.
    """
    judged = stored_judgement(store, run)
    labels = judged.labels.classes
    if judged.labels.offsets is not None:
        labels = np.full(len(judged.labels), -1, np.int64)
    start = 0
    for block in logit_blocks(store, run):
        chosen = rows[start : start + len(block)]
        kept = block if chosen.all() else block[chosen]
        if len(kept):
            yield judged.space.cut(kept), labels[start : start + len(block)][chosen]
        start += len(block)


def stored_judgement(store: Store, run: OutcomeRun) -> Judgement:
    """Return the label space of stored outcomes, and what is right in it for each sample.

    Samples that a fitted head has seen are labelled here: their outcomes are null.
    """
    name = run.space.removesuffix(SUFFIX)
    class_ids = head_record(store, run.model, run.head)["class_ids"]
    record, samples = store.dataset(run.dataset), store.samples(run.dataset)
    for found in judgements(class_ids, record, samples):
        if found.space.name == name:
            return found
    space = store.space(run)
    members = {class_id: tuple(ids) for class_id, ids in space["members"].items()}
    mapped = ClassMap(name, members, space["rule"], space["labels"])
    return judgement(mapped, class_ids, record, samples)


def _own(store: Store, runs: list[OutcomeRun]) -> OutcomeRun:
    """Return the run in the data set's own label space, which comes first among judgements."""
    class_ids = head_record(store, runs[0].model, runs[0].head)["class_ids"]
    record, samples = store.dataset(runs[0].dataset), store.samples(runs[0].dataset)
    own = judgements(class_ids, record, samples)[0].space.name
    return next((r for r in runs if r.space.removesuffix(SUFFIX) == own), runs[0])


def _id_dataset(store: Store, wanted: str) -> str:
    """Return the in-distribution data set; "" where no temperature is to be fitted."""
    if wanted == NONE:
        return ""
    candidates = id_candidates(store, wanted)
    if len(candidates) == 1:
        return candidates[0]
    if not any(has_logits(store, run) for run in store.outcome_runs()):
        return ""  # nothing to scale, so nothing to choose
    raise ambiguous(candidates, "temperatures are fitted on", needed=False)


__all__ = [
    "NoTemperature", "ScaledRun", "Temperatures", "classwise", "judged_logits", "stored_judgement",
]  # fmt: skip
