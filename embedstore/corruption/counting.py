"""What heads get right under each corruption: counts over the outcomes of a store.

Dimensions: N samples of a data set, M pictures of a folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from embedstore.accelerate import n_threads
from embedstore.corruption.folders import Folder
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
        Of one benchmark.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.corruption.UNDER_CORRUPTION`, one row a model, head, space and folder.
        Each data set's own classes are one label space, named after the benchmark.
    """
    by_dataset: defaultdict[str, list[Folder]] = defaultdict(list)
    for folder in folders:
        by_dataset[folder.dataset].append(folder)
    by_subject: defaultdict[Subject, list[OutcomeRun]] = defaultdict(list)
    for run in runs:
        if run.dataset in by_dataset:
            space = shared_space(run, by_dataset[run.dataset][0].benchmark)
            by_subject[run.model, run.head, space].append(run)
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
    own = run.space.removesuffix(SUFFIX) == run.dataset
    return run.space.replace(run.dataset, benchmark, 1) if own else run.space


def _counted(
    store: Store, runs: Sequence[OutcomeRun], folders: Mapping[str, Sequence[Folder]]
) -> list[dict[str, Any]]:
    """Count what one head gets right in each folder."""
    with ThreadPoolExecutor(n_threads()) as pool:
        paths = list(pool.map(lambda run: checked_table(store.files, run), runs))
    tables = pl.read_parquet(paths, columns=["correct"])["correct"]  # at once: a third of the time
    rows, start = [], 0
    for run in runs:
        of_dataset = folders[run.dataset]
        right = tables.slice(start, of_dataset[0].n_samples)
        rows += [_row(run, folder, right) for folder in of_dataset]
        start += len(right)
    return rows


def _row(run: OutcomeRun, folder: Folder, right: pl.Series) -> dict[str, Any]:
    """Count over the pictures of a folder; `right` is of the whole data set: (N,)."""
    chosen = right if folder.rows is None else right.gather(folder.rows)
    n_samples, n_correct = chosen.count(), int(chosen.sum() or 0)
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
