"""What models get right under the corruptions of each benchmark, and whose errors divide theirs.

The same from the outcomes of a store and from a published table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl

from embedstore.corruption.counting import chosen_among, count, shared_space
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
from embedstore.heads.held_out import SUFFIX
from embedstore.labels import ALL
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
    no_clean: pl.Expr  # of a head's columns: what to note where its clean accuracy is not there
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
        chosen = selection.runs(runs, benchmark)
        accuracies = count(store, chosen, own)
        measured = _measured(store, runs, normaliser, own)
        divisors = normalisers(
            benchmark,
            cells,
            _spaces(store, chosen, own),
            normaliser,
            measured,
            as_read=any(folder.as_read for folder in own),
        )
        no_clean = _no_clean(accuracies, runs, dataset)
        yield Measurement(benchmark, accuracies, cells, divisors, no_clean, note)


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
        spaces = {
            space: None if space is None or space.removesuffix(SUFFIX) == ALL else frozenset[str]()
            for space in accuracies["space"].unique()
        }
        divisors = normalisers(benchmark, cells, spaces, normaliser, measured)
        no_clean = pl.lit("the table has no accuracy on clean pictures, at severity 0")
        yield Measurement(benchmark, selection.rows(accuracies), cells, divisors, no_clean)


def _cells(named: Sequence[tuple[str | None, int]]) -> pl.DataFrame:
    schema = {"corruption": pl.String, "severity": pl.Int64}
    return pl.DataFrame(named, schema=schema, orient="row").unique(maintain_order=True)


def _chosen(selection: Selection, there: Collection[str]) -> list[str]:
    chosen = sorted(name for name in there if fnmatchcase(name, selection.benchmark))
    if there and not chosen:
        raise UnknownNameError("benchmark of corruptions", selection.benchmark, there)
    return chosen


def _spaces(
    store: Store, runs: Sequence[OutcomeRun], folders: Sequence[Folder]
) -> dict[str | None, frozenset[str] | None]:
    """Return the classes of each label space that is shared by data sets of a benchmark."""
    datasets, benchmark = {f.dataset for f in folders}, folders[-1].benchmark
    shared: defaultdict[str | None, list[OutcomeRun]] = defaultdict(list)
    for run in runs:
        if run.dataset in datasets:
            shared[shared_space(run, benchmark)].append(run)
    return {space: chosen_among(store, several) for space, several in shared.items()}


def _no_clean(accuracies: pl.DataFrame, runs: Sequence[OutcomeRun], dataset: str | None) -> pl.Expr:
    """Return what to note where clean accuracy is not there, by `model`, `head` and `space`."""
    remedy = ": encode them, or name their data set with --clean"
    if dataset is None:
        return pl.lit(f"the clean pictures are not here{remedy}")
    clean = accuracies.filter(severity=0).select("model", "head", "space")
    elsewhere = {
        f"{model}\0{head}\0{space.removesuffix(SUFFIX)}": (
            f"judged on {dataset!r} in {space!r}, over other pictures: fit the head on another "
            "data set, or judge all anew with embedstore head apply"
        )
        for model, head, space in clean.rows()
    }
    plain = pl.col("space").str.strip_suffix(SUFFIX)
    return pl.concat_str("model", "head", plain, separator="\0").replace_strict(
        elsewhere, default=_not_run(runs, dataset, remedy), return_dtype=pl.String
    )


def _not_run(runs: Sequence[OutcomeRun], dataset: str, remedy: str) -> pl.Expr:
    """Return what to note of a `model` and `head` not judged on `dataset` in this label space."""
    spaces: defaultdict[str, set[str]] = defaultdict(set)
    for run in runs:
        if run.dataset == dataset:
            spaces[f"{run.model}\0{run.head}"].add(repr(run.space))
    others = {
        subject: f"run on {dataset!r} in label space {', '.join(sorted(there))} and not in this "
        "one: choose one that both have with --space, or name another data set with --clean"
        for subject, there in spaces.items()
    }
    return pl.concat_str("model", "head", separator="\0").replace_strict(
        others, default=f"not run on {dataset!r}{remedy}", return_dtype=pl.String
    )


def _divisors(models: Collection[str]) -> list[str]:
    """Return what may be named as a normaliser: AlexNet too, once."""
    return [*models] if any(map(is_alexnet, models)) else [*models, ALEXNET]


def _split(wanted: str, models: Collection[str]) -> tuple[str, str]:
    """Return the model and the head of MODEL@HEAD; of MODEL, no head."""
    model, at, head = wanted.rpartition("@")
    return (model, head) if at and wanted not in models else (wanted, "")


def _measured(
    store: Store, there: Sequence[OutcomeRun], wanted: str | None, folders: Sequence[Folder]
) -> Measured | None:
    """Measure the model of the store that is meant; None where AlexNet's published errors are."""
    if wanted is None:
        return None
    models = store.models
    model, head = _split(wanted, models)
    if model not in models:
        if is_alexnet(wanted):
            return None
        raise UnknownNameError("normaliser", wanted, _divisors(models))
    own = [run for run in there if run.model == model]
    if head and head not in {run.head for run in own}:
        raise UnknownNameError(f"head of model {model!r}", head, {run.head for run in own})
    accuracies = count(store, [run for run in own if head in ("", run.head)], folders)
    return _of_one_head(wanted, "store", accuracies, folders[-1].benchmark)


def _tabled(accuracies: pl.DataFrame, wanted: str | None, file: str) -> Measured | None:
    """Return the model of a table that is meant; None where AlexNet's published errors are."""
    models = accuracies["model"].unique().sort().to_list()
    model, head = _split(wanted or ALEXNET, models)
    if model not in models and is_alexnet(model):
        model = next(filter(is_alexnet, models), model)
        if model not in models and not head:
            return None
    if model not in models:
        raise UnknownNameError("normaliser", wanted or ALEXNET, _divisors(models))
    rows = accuracies.filter(model=model)
    heads = rows["head"].drop_nulls().unique().to_list()
    if head and head not in heads:
        raise UnknownNameError(f"head of model {model!r}", head, heads)
    chosen, name = (rows.filter(head=head), f"{model}@{head}") if head else (rows, model)
    return _of_one_head(name, file, chosen, accuracies["benchmark"][0])


def _of_one_head(name: str, source: str, accuracies: pl.DataFrame, benchmark: str) -> Measured:
    heads = accuracies["head"].unique().drop_nulls().sort().to_list()
    if len(heads) > 1:
        raise EmbedStoreError(
            f"model {name!r} has several heads on {benchmark!r}: {', '.join(heads)}; name one as "
            f"--normaliser {name}@HEAD"
        )
    return Measured(name, source, accuracies)
