"""What models get right under the corruptions of each benchmark, and whose errors divide theirs.

The same from the outcomes of a store and from a published table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl

from embedstore.corruption.counting import count, shared_space
from embedstore.corruption.folders import (
    Folder,
    Rows,
    clean_dataset,
    clean_folder,
    folders_of,
    same_pictures,
)
from embedstore.corruption.normaliser import ALEXNET, Measured, Normaliser, is_alexnet, normalisers
from embedstore.corruption.tabled import read_accuracies
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun

_NO_BENCHMARK = (
    "no data set here is of corrupted pictures; encode a benchmark with --data "
    "imagenet-3dcc:FOLDER, or corrupt pictures as they are read with --corrupt fog:3"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Globs over names; a label space, or None for all."""

    benchmark: str = "*"
    models: str = "*"
    datasets: str = "*"
    heads: str = "*"
    space: str | None = None

    def runs(self, there: Sequence[OutcomeRun], benchmark: str) -> list[OutcomeRun]:
        """Return the runs of these models, heads and label space, on whatever data set."""
        return [
            run for run in there if self._has(run.model, run.head, shared_space(run, benchmark))
        ]

    def rows(self, accuracies: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of these models, heads and label space; a table may name no head."""
        names = accuracies.select("model", "head", "space").rows()
        kept = [self._has(model, head or "", space) for model, head, space in names]
        return accuracies.filter(pl.Series(kept, dtype=pl.Boolean))

    def _has(self, model: str, head: str, space: str | None) -> bool:
        named = fnmatchcase(model, self.models) and fnmatchcase(head, self.heads)
        return named and self.space in (None, space)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured on one benchmark."""

    benchmark: str
    accuracies: pl.DataFrame  # rows `schema.corruption.UNDER_CORRUPTION`
    there: pl.DataFrame  # `corruption` and `severity` that any model was measured under
    normalisers: Mapping[str | None, Normaliser]  # by label space
    no_clean: str  # what to note where no accuracy on clean pictures is there
    note: str | None = None  # on all of it


def in_store(
    store: Store, selection: Selection, normaliser: str | None, clean: str, rows: Rows
) -> Iterator[Measurement]:
    """Measure what a store has, benchmark by benchmark.

    Parameters
    ----------
    store
        Where the outcomes are.
    selection
        Of what.
    normaliser
        MODEL or MODEL@HEAD, or AlexNet as published; that too where it is None.
    clean
        Data set of the clean pictures, `AUTO` or `NONE`.
    rows
        What to do where data sets hold different pictures.

    Raises
    ------
    UnknownNameError
        If there is no such benchmark, normaliser or clean data set.
    EmbedStoreError
        If no data set is of corrupted pictures, or two hold different ones.
    """
    runs = store.outcome_runs()
    there = {run.dataset for run in runs}
    folders = folders_of(store, [d for d in there if fnmatchcase(d, selection.datasets)])
    if there and not folders:
        raise EmbedStoreError(_NO_BENCHMARK)
    for benchmark in _chosen(selection, {folder.benchmark for folder in folders}):
        own = [folder for folder in folders if folder.benchmark == benchmark]
        cells = _cells([(folder.corruption, folder.severity) for folder in own])
        dataset = clean_dataset(benchmark, clean, there - {folder.dataset for folder in folders})
        if dataset is not None:
            own.insert(0, clean_folder(store, benchmark, dataset))
        own, note = same_pictures(own, rows)
        accuracies = count(store, selection.runs(runs, benchmark), own)
        measured = _measured(store, runs, normaliser, own)
        divisors = normalisers(benchmark, cells, accuracies["space"], normaliser, measured)
        lacking = (
            "the clean pictures are not here" if dataset is None else f"not run on {dataset!r}"
        )
        lacking += ": encode them, or name their data set with --clean"
        yield Measurement(benchmark, accuracies, cells, divisors, lacking, note)


def in_table(path: str, selection: Selection, normaliser: str | None) -> Iterator[Measurement]:
    """Return what a published table has, benchmark by benchmark.

    Parameters
    ----------
    path
        Of the table.
    selection
        Of what; names of data sets are not in it.
    normaliser
        A model of the table; where it is None AlexNet, as it stands there or else as published.

    Raises
    ------
    UnknownNameError
        If there is no such benchmark or normaliser.
    EmbedStoreError
        If the file is no such table.
    """
    whole = read_accuracies(path)
    for benchmark in _chosen(selection, set(whole["benchmark"])):
        accuracies = whole.filter(benchmark=benchmark)
        cells = _cells(accuracies.filter(pl.col("severity") > 0)["corruption", "severity"].rows())
        measured = _tabled(accuracies, normaliser, Path(path).name)
        divisors = normalisers(benchmark, cells, accuracies["space"], normaliser, measured)
        no_clean = "the table has no accuracy on clean pictures, at severity 0"
        yield Measurement(benchmark, selection.rows(accuracies), cells, divisors, no_clean)


def _cells(named: Sequence[tuple[str | None, int]]) -> pl.DataFrame:
    schema = {"corruption": pl.String, "severity": pl.Int64}
    return pl.DataFrame(named, schema=schema, orient="row").unique(maintain_order=True)


def _chosen(selection: Selection, there: Collection[str]) -> list[str]:
    chosen = sorted(name for name in there if fnmatchcase(name, selection.benchmark))
    if there and not chosen:
        raise UnknownNameError("benchmark of corruptions", selection.benchmark, there)
    return chosen


def _measured(
    store: Store, there: Sequence[OutcomeRun], wanted: str | None, folders: Sequence[Folder]
) -> Measured | None:
    """Measure the model of the store that is meant; None where AlexNet's published errors are."""
    if wanted is None:
        return None
    models = store.models
    model, _, head = (wanted, "@", "") if wanted in models else wanted.rpartition("@")
    if model not in models:
        if is_alexnet(wanted):
            return None
        raise UnknownNameError("normaliser", wanted, [*models, ALEXNET])
    own = [run for run in there if run.model == model]
    if head and head not in {run.head for run in own}:
        raise UnknownNameError(f"head of model {model!r}", head, {run.head for run in own})
    accuracies = count(store, [run for run in own if head in ("", run.head)], folders)
    return _of_one_head(wanted, "store", accuracies, folders[-1].benchmark)


def _tabled(accuracies: pl.DataFrame, wanted: str | None, file: str) -> Measured | None:
    """Return the model of a table that is meant; None where AlexNet's published errors are."""
    models = accuracies["model"].unique().to_list()
    name = wanted if wanted in models else next(filter(is_alexnet, models), None)
    if name is None or not (wanted in (None, name) or is_alexnet(wanted)):
        if wanted is None or is_alexnet(wanted):
            return None
        raise UnknownNameError("normaliser", wanted, [*models, ALEXNET])
    return _of_one_head(name, file, accuracies.filter(model=name), accuracies["benchmark"][0])


def _of_one_head(name: str, source: str, accuracies: pl.DataFrame, benchmark: str) -> Measured:
    heads = accuracies["head"].unique().drop_nulls().sort().to_list()
    if len(heads) > 1:
        raise EmbedStoreError(
            f"model {name!r} has several heads on {benchmark!r}: {', '.join(heads)}; name one as "
            f"--normaliser {name}@HEAD"
        )
    return Measured(name, source, accuracies)
