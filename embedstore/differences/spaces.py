"""Label spaces of runs that both stores hold."""

from __future__ import annotations

from embedstore.differences.causes import (
    BY_LABELS,
    BY_SPACE,
    Cause,
    Level,
    against,
    fields_that_differ,
)
from embedstore.differences.datasets import DatasetDifference
from embedstore.differences.findings import Finding, place, unlike
from embedstore.differences.pair import Pair
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.records import Record

Spaces = tuple[Record, Record]


def compare_space(
    pair: Pair, run: OutcomeRun, dataset: DatasetDifference
) -> tuple[Spaces, list[Cause], list[Finding]]:
    """Compare the label space of a run's outcomes.

    Returns
    -------
    tuple
        The space as each store records it, what of it can move the outcomes, and findings.
    """
    a, b = pair.both(Store.space, run)
    where = place(run.dataset, run.space)
    findings, words, labels_alone = [], [], True
    for field, x, y in fields_that_differ(a, b):
        if field == "class_ids" and not dataset.same_classes:
            continue  # it follows from the data set's classes
        if field in ("class_ids", "members"):
            left, right = list(x or ()), list(y or ())  # type: ignore[call-overload]
            because = unlike(left, right) if set(left) != set(right) else "of the same classes"
            sizes = len(left), len(right)
            findings.append(Finding.of("space", where, field, *sizes, None, because))
            words.append(f"{'classes' if field == 'class_ids' else 'members'} differ")
        else:
            findings.append(Finding.of("space", where, field, x, y))
            words.append(against(field, x, y))
        labels_alone &= field == "labels"
    causes = []
    if words:
        reason = f"label space differs: {', '.join(words)}"
        moves = BY_LABELS if labels_alone else BY_SPACE
        causes.append(Cause(Level.SPACE, where, reason, moves))
    column = a.get("labels", "label")
    if column in dataset.beside:
        reason = f"right labels differ: annotation {column}"
        causes.append(Cause(Level.DATASET, dataset.name, reason, BY_LABELS))
    return (a, b), causes, findings
