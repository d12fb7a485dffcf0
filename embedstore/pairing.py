"""Two runs side by side: which they are, and on which samples they are compared.

Two runs are compared on one data set, among the same classes of one label space. The space of a
fitted head without the samples that it has seen (`all--held-out`) counts as the space itself: what
differs is who is judged, which is refused or intersected like a picture that one of them failed on.

Dimensions: N samples of the data set, M of them that are to be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from embedstore.errors import DatasetError, EmbedStoreError, UnknownNameError
from embedstore.heads.held_out import SUFFIX
from embedstore.heads.protocols import protocol_of
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun, checked_table

#: What to do where one run judged samples that the other did not: refuse, or intersect.
Rows = Literal["same", "common"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs say of the same samples."""

    first: OutcomeRun
    second: OutcomeRun
    outcomes: pl.DataFrame  # M rows: `first` and `second` right, `agree`, `confidence` of the first
    samples: pl.DataFrame  # M rows, annotations beside them
    note: str | None  # what makes the two less comparable

    @property
    def names(self) -> dict[str, str]:
        """The columns of a table that name it."""
        return {
            "first": self.first.model,
            "first_head": self.first.head,
            "second": self.second.model,
            "second_head": self.second.head,
            "dataset": self.first.dataset,
            "space": _space(self.first),
        }

    @property
    def n_left_out(self) -> int:
        """How many of the M samples are not judged by both: their outcomes are null."""
        return self.outcomes["first"].null_count()


@dataclass(frozen=True, slots=True)
class Side:
    """What the user calls a model, perhaps under one of its heads, and its runs."""

    name: str
    model: str
    runs: tuple[OutcomeRun, ...]


def comparisons(
    store: Store,
    first: str,
    second: str,
    *,
    datasets: str = "*",
    space: str | None = None,
    rows: Rows = "same",
    where: str | None = None,
) -> list[Comparison]:
    """Return one comparison a data set and label space that both sides have.

    Data sets without labels are passed over where others have some.

    Parameters
    ----------
    store
        Where the outcomes are.
    first, second
        MODEL, or MODEL@HEAD where it has several heads on a data set and label space.
    datasets
        Glob over names.
    space
        A label space; all that both have where it is None.
    rows
        `same` refuses runs that judged different samples, `common` takes those that both judged.
    where
        SQL condition on the columns of the samples, such as ``shape <> texture``; others are not
        compared, nor counted as left out.

    Raises
    ------
    EmbedStoreError
        If a name is unknown or means several heads, nothing is there to compare, rows differ, or
        fewer than two samples are left.
    """
    sides = side_of(store, first), side_of(store, second)
    pairs = _pairs(store, sides, datasets, space)
    samples = {name: store.samples(name) for name in {a.dataset for a, _ in pairs}}
    names = sides[0].name, sides[1].name
    found = [_compared(store, pair, names, samples[pair[0].dataset], rows, where) for pair in pairs]
    labelled = [comparison for comparison in found if comparison is not None]
    if not labelled:
        without = ", ".join(sorted(samples))
        raise DatasetError(
            f"no sample of {without} has a label that {names[0]!r} or {names[1]!r} is judged by; "
            "compare them on a data set with labels: --datasets"
        )
    return labelled


def side_of(store: Store, name: str) -> Side:
    """Find what MODEL or MODEL@HEAD names; an `@` may be part of either.

    Raises
    ------
    UnknownNameError
        If there is no such model, or it has no outcomes under that head.
    """
    models, runs = store.models, store.outcome_runs()
    model, head = name, ""
    while model not in models:
        model, at, rest = model.rpartition("@")
        if not at:
            raise UnknownNameError("model", name, models)
        head = f"{rest}@{head}" if head else rest
    own = [run for run in runs if run.model == model]
    if head and head not in {run.head for run in own}:
        raise UnknownNameError(f"head of model {model!r}", head, {run.head for run in own})
    return Side(name, model, tuple(run for run in own if head in ("", run.head)))


def _space(run: OutcomeRun) -> str:
    return run.space.removesuffix(SUFFIX)


def _pairs(
    store: Store, sides: tuple[Side, Side], datasets: str, space: str | None
) -> list[tuple[OutcomeRun, OutcomeRun]]:
    """Return the runs of both sides that can be compared, by data set and label space."""
    chosen = {run.dataset for run in store.outcome_runs(datasets=datasets)}
    if not chosen:
        raise UnknownNameError("data set", datasets, store.datasets)
    first, second = (
        {(r.dataset, _space(r)) for r in side.runs if r.dataset in chosen} for side in sides
    )
    shared = sorted(first & second)
    if not shared:
        raise _nothing_shared(sides, first, second)
    wanted = None if space is None else space.removesuffix(SUFFIX)
    if wanted is not None and wanted not in {name for _, name in shared}:
        raise UnknownNameError("label space that both have", wanted, {name for _, name in shared})
    asked = [place for place in shared if wanted in (None, place[1])]
    pairs = [(_only(sides[0], *place), _only(sides[1], *place)) for place in asked]
    if any(a == b for a, b in pairs):
        raise EmbedStoreError(
            f"{sides[0].name!r} and {sides[1].name!r} are the same run; name another model, or "
            "another head as MODEL@HEAD"
        )
    alike = [(a, b) for a, b in pairs if _classes(store, a).keys() == _classes(store, b).keys()]
    if not alike:
        a, b = pairs[0]
        raise EmbedStoreError(
            f"in label space {_space(a)!r} of data set {a.dataset!r} {sides[0].name!r} chooses "
            f"among {len(_classes(store, a))} classes and {sides[1].name!r} among others "
            f"({len(_classes(store, b))}); name a space of the same classes with --space"
        )
    return alike


def _only(side: Side, dataset: str, space: str) -> OutcomeRun:
    """Return the one run of a side on a data set and label space."""
    runs = [run for run in side.runs if (run.dataset, _space(run)) == (dataset, space)]
    heads = sorted({run.head for run in runs})
    if len(heads) > 1:
        raise EmbedStoreError(
            f"model {side.model!r} has several heads on data set {dataset!r} in label space "
            f"{space!r}: {', '.join(heads)}; name one as {side.model}@HEAD"
        )
    return runs[0]


def _nothing_shared(
    sides: tuple[Side, Side], first: set[tuple[str, str]], second: set[tuple[str, str]]
) -> EmbedStoreError:
    a, b = sides[0].name, sides[1].name
    own, other = ({dataset for dataset, _ in places} for places in (first, second))
    if not own & other:
        had = [", ".join(sorted(names)) or "none" for names in (own, other)]
        return EmbedStoreError(
            f"{a!r} and {b!r} have no data set in common ({had[0]}; {had[1]}); encode or import "
            "one for both"
        )
    dataset = min(own & other)
    had = [
        ", ".join(sorted(name for place, name in places if place == dataset))
        for places in (first, second)
    ]
    return EmbedStoreError(
        f"on data set {dataset!r} {a!r} is judged in label space {had[0]} and {b!r} in {had[1]}, "
        "and numbers of different spaces are not compared; judge both in one: embedstore head "
        "apply --space"
    )


def _classes(store: Store, run: OutcomeRun) -> dict[str, int]:
    """Return the classes of a run's label space, and how predictions count them."""
    return {class_id: i for i, class_id in enumerate(store.space(run)["class_ids"])}


def _compared(
    store: Store,
    pair: tuple[OutcomeRun, OutcomeRun],
    names: tuple[str, str],
    samples: pl.DataFrame,
    rows: Rows,
    where: str | None,
) -> Comparison | None:
    """Put two runs beside each other; None where neither has a label to be judged by."""
    columns = ["prediction", "correct", "confidence"]
    a, b = (pl.read_parquet(checked_table(store.files, run), columns=columns) for run in pair)
    if not a["correct"].count() and not b["correct"].count():
        return None
    outcomes = pl.DataFrame(
        {
            "first": a["correct"],
            "second": b["correct"],
            "agree": _agree(store, pair, a["prediction"], b["prediction"]),
            "confidence": a["confidence"],
        }
    )
    if where is not None:
        chosen = selected(samples, pair[0].dataset, where)
        outcomes, samples = outcomes.filter(chosen), samples.filter(chosen)
    _check_rows(outcomes, pair[0], names, rows)
    judged = pl.col("first").is_not_null() & pl.col("second").is_not_null()
    outcomes = outcomes.select(pl.when(judged).then(pl.all()))
    return Comparison(*pair, outcomes, samples, _note(store, pair))


def _agree(
    store: Store, pair: tuple[OutcomeRun, OutcomeRun], first: pl.Series, second: pl.Series
) -> pl.Series:
    """Return whether both predict the same class: (N,); no class is the same as none."""
    own, other = (_classes(store, run) for run in pair)
    if list(own) != list(other):
        second = pl.Series([own[class_id] for class_id in other], dtype=pl.UInt16).gather(second)
    return (first == second).fill_null(value=False)


def selected(samples: pl.DataFrame, dataset: str, where: str) -> pl.Series:
    """Return which samples meet an SQL condition on their columns: (N,).

    Raises
    ------
    DatasetError
        If it is no condition, or no sample meets it.
    """
    try:
        met = samples.select(pl.sql_expr(where).alias("met"))["met"]
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(
            f"samples of {dataset!r} cannot be chosen by {where!r}: {reason}; give --where a "
            "condition on their columns, such as: shape <> texture"
        ) from error
    if met.dtype != pl.Boolean or len(met) != samples.height:
        raise DatasetError(
            f"{where!r} is not true or false of each sample of {dataset!r}; give --where a "
            "condition on their columns, such as: shape <> texture"
        )
    if not met.any():
        raise DatasetError(
            f"no sample of {dataset!r} meets the condition {where!r}; give --where another one"
        )
    return met.fill_null(value=False)


def _check_rows(
    outcomes: pl.DataFrame, run: OutcomeRun, names: tuple[str, str], rows: Rows
) -> None:
    """Refuse what cannot be compared: different samples, or fewer than two."""
    n_first, n_second = outcomes["first"].count(), outcomes["second"].count()
    both = outcomes.drop_nulls(["first", "second"]).height
    place = f"of data set {run.dataset!r} in label space {_space(run)!r}"
    if rows == "same" and not both == n_first == n_second:
        raise EmbedStoreError(
            f"{names[0]!r} and {names[1]!r} judged different samples {place}: {both:,} both, "
            f"{n_first - both:,} the first alone, {n_second - both:,} the second alone; compare "
            "those that both judged with --rows common"
        )
    if both < 2:
        raise EmbedStoreError(
            f"{names[0]!r} and {names[1]!r} judged {both} of the samples chosen {place} in common, "
            "and a comparison needs 2 or more; choose other data sets with --datasets"
        )


def _note(store: Store, pair: tuple[OutcomeRun, OutcomeRun]) -> str | None:
    asked = [protocol_of(store, run) for run in pair]
    if None in asked or asked[0] == asked[1]:
        return None
    return f"protocols differ: {asked[0]} and {asked[1]}"


__all__ = ["Comparison", "Rows", "Side", "comparisons", "selected", "side_of"]
