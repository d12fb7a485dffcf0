"""The in-distribution (ID) data set: which it is, and what heads get right of it.

It is named by the user, known by its name, or the only one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.held_out import fair_judgements
from embedstore.heads.logits import has_logits, logit_blocks
from embedstore.heads.stored import head_record
from embedstore.labels import ClassMap, judgement
from embedstore.labels.judging import obstacle
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun, checked_table

#: In place of a name: find it; there is none.
AUTO, NONE = "auto", "none"
#: What an in-distribution data set is called.
ID_NAMES = frozenset({"imagenet", "imagenet-1k", "imagenet-val", "imagenet-validation"})


def id_candidates(store: Store, wanted: str, *, needed: bool = False) -> list[str]:
    """Return the data sets that could be the in-distribution one: one where that is clear.

    Parameters
    ----------
    store
        Where the outcomes are.
    wanted
        A name, or `AUTO`.
    needed
        Whether the caller cannot do without one: `NONE` is then no choice.

    Raises
    ------
    UnknownNameError
        If a name is given that has no outcomes.
    """
    datasets = sorted({run.dataset for run in store.outcome_runs()})
    if wanted != AUTO:
        if wanted not in datasets:
            choices = datasets if needed else [*datasets, NONE]
            raise UnknownNameError("in-distribution data set", wanted, choices)
        return [wanted]
    return [d for d in datasets if d.lower() in ID_NAMES] or datasets


def ambiguous(candidates: list[str], purpose: str, *, needed: bool = False) -> EmbedStoreError:
    """Return the error that several data sets could be it; `purpose` says what is done on one."""
    without = "" if needed else f", or give --id-dataset {NONE}"
    return EmbedStoreError(
        f"{purpose} one in-distribution data set, and any of {', '.join(candidates)} could be it; "
        f"name it with --id-dataset (in a metric: id_dataset=NAME){without}"
    )


def on_same_classes(store: Store, run: OutcomeRun, dataset: str) -> tuple[int, int] | None:
    """Return how many samples of an ID data set a run's head judges, and how many rightly.

    The head chooses among the same classes as in the run, over the samples of these classes.
    Outcomes in a label space of those classes are taken where they are stored; else the head's
    logits are judged in it. None where there are neither.
    """
    wanted = _class_map(store, run)
    for other in store.outcome_runs(run.model, dataset, run.head):
        if other.head == run.head and _alike(_class_map(store, other), wanted):
            correct = pl.read_parquet(checked_table(store.files, other), columns=["correct"])
            counts = correct.select(n=pl.col("correct").count(), k=pl.col("correct").sum())
            n_samples, n_correct = counts.row(0)
            return int(n_samples), int(n_correct)
    if not has_logits(store, replace(run, dataset=dataset)):
        return None
    return _judged(store, run, dataset, wanted)


def _class_map(store: Store, run: OutcomeRun) -> ClassMap:
    """Return a run's label space as a map from its classes to their members."""
    space = store.space(run)
    named = space["members"] if space["rule"] == "allowed" else space["class_ids"]
    members = {c: tuple(space["members"].get(c, (c,))) for c in named}
    return ClassMap(run.space, members, space["rule"], space["labels"] or "label")


def _alike(first: ClassMap, second: ClassMap) -> bool:
    """Whether two label spaces judge alike: rules differ only over classes of several members."""
    alone = all(names == (c,) for c, names in first.members.items())
    return (
        first.members == second.members
        and first.labels == second.labels
        and (alone or first.rule == second.rule)
    )


def _judged(
    store: Store, run: OutcomeRun, dataset: str, mapped: ClassMap
) -> tuple[int, int] | None:
    """Judge a head's logits of an in-distribution data set in the label space of another run."""
    record, samples = store.dataset(dataset), store.samples(dataset)
    head = head_record(store, run.model, run.head)
    if obstacle(mapped, head["class_ids"], record, samples.columns):
        return None
    own = [judgement(mapped, head["class_ids"], record, samples)]
    (judged,) = fair_judgements(store, run.model, run.head, dataset, own)
    start = n_samples = n_correct = 0
    for block in logit_blocks(store, replace(run, dataset=dataset)):
        failed = np.isnan(block[:, 0])
        said = judged(block, start, failed)
        n_samples += int(said.labelled.sum())
        n_correct += int((said.labelled & said.correct).sum())
        start += len(block)
    return n_samples, n_correct
