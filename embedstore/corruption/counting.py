"""What heads get right under each corruption: counts over the outcomes of a store.

Dimensions: N samples of a data set, M pictures of a folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import and_
from typing import Any

import polars as pl

from embedstore.accelerate import n_threads
from embedstore.corruption.folders import Folder
from embedstore.errors import EmbedStoreError
from embedstore.heads.held_out import SUFFIX
from embedstore.schema.corruption import UNDER_CORRUPTION
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun, checked_table

#: Model, head and label space.
Subject = tuple[str, str, str]


def count(store: Store, runs: Iterable[OutcomeRun], folders: Sequence[Folder]) -> pl.DataFrame:
    """Return how many pictures of each folder each head gets right.

    Parameters
    ----------
    store
        Where the outcomes are.
    runs
        Which outcomes; those on data sets of no folder are passed over.
    folders
        Of one benchmark, the same pictures in the same order.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.corruption.UNDER_CORRUPTION`, one row a model, head, space and folder.
        Each data set's own classes are one label space, named after the benchmark. A picture that
        a head does not judge in one folder is left out of all others.

    Raises
    ------
    EmbedStoreError
        If data sets have other classes of their own.
    """
    by_dataset: defaultdict[str, list[Folder]] = defaultdict(list)
    for folder in folders:
        by_dataset[folder.dataset].append(folder)
    by_subject: defaultdict[Subject, list[OutcomeRun]] = defaultdict(list)
    for run in runs:
        if run.dataset in by_dataset:
            space = shared_space(run, by_dataset[run.dataset][0].benchmark)
            by_subject[run.model, run.head, space].append(run)
    for several in by_subject.values():
        _check_own_classes(store, several)
    rows = [
        row | {"space": space}
        for (_, _, space), several in by_subject.items()
        for row in _counted(store, several, by_dataset)
    ]
    return pl.DataFrame(rows, schema=dict(UNDER_CORRUPTION))


def shared_space(run: OutcomeRun, benchmark: str) -> str:
    """Return the name of a run's label space; `benchmark` where it is its data set's own classes.

    Those are named after the data set, and are the same ones of every corruption and severity.
    """
    return run.space.replace(run.dataset, benchmark, 1) if _of_own_classes(run) else run.space


def chosen_among(store: Store, runs: Iterable[OutcomeRun]) -> frozenset[str]:
    """Return the classes of the label spaces of `runs`."""
    one_each = {(run.dataset, run.space): run for run in runs}.values()
    return frozenset(c for run in one_each for c in store.space(run)["class_ids"])


def _of_own_classes(run: OutcomeRun) -> bool:
    return run.space.removesuffix(SUFFIX) == run.dataset


def _check_own_classes(store: Store, runs: Sequence[OutcomeRun]) -> None:
    """Refuse what one head is judged on to be of other classes in one data set than in another."""
    own = [run for run in runs if _of_own_classes(run)]
    classes = {run.dataset: chosen_among(store, [run]) for run in own}
    most = max(classes, key=lambda dataset: len(classes[dataset]), default="")
    for dataset, those in classes.items():
        if those != classes[most]:
            foreign = min(classes[most] - those)
            raise EmbedStoreError(
                f"class {foreign!r} is one of data set {most!r} and none of {dataset!r}, so that "
                "heads choose among others in each; name another label space with --space, or "
                "leave one of them out with --datasets (the clean one with --clean none)"
            )


def _counted(
    store: Store, runs: Sequence[OutcomeRun], folders: Mapping[str, Sequence[Folder]]
) -> list[dict[str, Any]]:
    """Count what one head gets right in each folder."""
    with ThreadPoolExecutor(n_threads()) as pool:
        paths = list(pool.map(lambda run: checked_table(store.files, run), runs))
    tables = pl.read_parquet(paths, columns=["correct"])["correct"]  # at once: a third of the time
    said: list[tuple[OutcomeRun, Folder, pl.Series]] = []
    start = 0
    for run in runs:
        n_samples = folders[run.dataset][0].n_samples
        right = tables.slice(start, n_samples)
        said += [
            (run, f, right if f.rows is None else right.gather(f.rows))
            for f in folders[run.dataset]
        ]
        start += n_samples
    in_all = _in_all([right for *_, right in said]) if tables.null_count() else None
    return [
        _row(run, f, right if in_all is None else right.filter(in_all)) for run, f, right in said
    ]


def _in_all(right: Sequence[pl.Series]) -> pl.Series:
    """Return which pictures are judged wherever any is: (M,) each -> (M,)."""
    judged = [r.is_not_null() for r in right if r.count()] or [right[0].is_not_null()]
    return reduce(and_, judged)


def _row(run: OutcomeRun, folder: Folder, right: pl.Series) -> dict[str, Any]:
    """Count over the pictures of a folder that are judged: at most (M,)."""
    n_samples, n_correct = right.count(), int(right.sum() or 0)
    return {
        "model": run.model,
        "head": run.head,
        "benchmark": folder.benchmark,
        "corruption": folder.corruption,
        "severity": folder.severity,
        "dataset": folder.dataset,
        "n_samples": n_samples,
        "n_correct": n_correct,
        "n_left_out": folder.n_pictures - n_samples,
        "accuracy": n_correct / n_samples if n_samples else None,
    }
