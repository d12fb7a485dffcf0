"""Outcomes of a run that both stores hold, sample by sample.

Dimensions: N samples of a store, K samples that both hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from embedstore.differences.causes import ALL, Cause, Level, Quantity, explain
from embedstore.differences.datasets import Bool, DatasetDifference
from embedstore.differences.findings import Finding, place
from embedstore.differences.pair import Pair
from embedstore.differences.spaces import Spaces
from embedstore.store import Store
from embedstore.store.manifest import FileEntry, read_manifest
from embedstore.store.outcomes import TABLE, OutcomeRun, checked_table

_COLUMNS = ("prediction", "correct", "confidence", "nll")


@dataclass(frozen=True, slots=True)
class OutcomeGap:
    """How far the outcomes of a run are apart, over the samples that both stores hold."""

    n_predictions: int = 0  # samples whose prediction differs
    n_correct: int = 0  # samples that are right in one store and wrong in the other
    confidence: float = 0.0  # largest absolute difference
    n_unsure: int = 0  # samples whose confidence one store alone knows
    nll: tuple[float | None, float | None] = (None, None)  # mean over each store's own samples
    n_left_out: tuple[int, int] = (0, 0)  # samples without a prediction in one store alone
    moved: frozenset[Quantity] = field(default=frozenset())  # differ on any sample
    elsewhere: frozenset[Quantity] = field(default=frozenset())  # differ where data sets agree

    def causes(
        self, run: OutcomeRun, dataset: Sequence[Cause], others: Sequence[Cause]
    ) -> list[Cause]:
        """Return all causes: those of the data set whole or in part, and what none accounts for."""
        found = [replace(cause, partly=self.elsewhere) for cause in dataset]
        if any(self.n_left_out):
            a, b = self.n_left_out
            reason = f"samples without an outcome: {a:,} in A alone, {b:,} in B alone"
            subject = place(run.model, run.dataset)
            found.append(Cause(Level.DATASET, subject, reason, ALL, self.elsewhere))
        found += others
        left = [q for q in sorted(self.moved) if not any(c.accounts_for(q) for c in found)]
        if left:
            where = place(run.model, run.dataset, run.head, run.space)
            found.append(Cause(Level.PROVENANCE, where, "unexplained", frozenset(left)))
        return found

    def findings(
        self, run: OutcomeRun, causes: Sequence[Cause], tolerance: float
    ) -> Iterator[Finding]:
        """Yield the numbers that differ, with what explains them."""
        where = place(run.model, run.dataset, run.head, run.space)
        counts: tuple[tuple[str, Quantity, float], ...] = (
            ("prediction (samples that differ)", "prediction", self.n_predictions),
            ("correct (samples that differ)", "correct", self.n_correct),
            ("confidence (samples known to one store)", "confidence", self.n_unsure),
            ("confidence (largest difference)", "confidence", self.confidence),
        )
        for what, quantity, size in counts:
            if size > tolerance:
                because = explain(causes, quantity)
                yield Finding("number", where, what, None, None, float(size), because)
        a, b = self.nll
        if (a is None) != (b is None) or (
            a is not None and b is not None and _far(a, b, tolerance)
        ):
            difference = None if a is None or b is None else b - a
            because = explain(causes, "nll")
            yield Finding.of("number", where, "nll (mean)", a, b, difference, because)
        if any(self.n_left_out):
            what = "samples without an outcome"
            yield Finding.of("dataset", where, what, *self.n_left_out)


def _far(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) > tolerance


def compare_outcomes(
    pair: Pair, run: OutcomeRun, dataset: DatasetDifference, spaces: Spaces, tolerance: float
) -> OutcomeGap:
    """Compare the outcomes of a run; equal digests mean equal rows, and nothing is read.

    Raises
    ------
    StoreError
        If a table is damaged or missing; the message names the store.
    """
    ids = [space["class_ids"] for space in spaces]
    entries = pair.both(_entry, run)
    if dataset.aligned and ids[0] == ids[1] and entries[0] == entries[1]:
        return OutcomeGap()
    tables = pair.both(_read, run)
    nll = (_mean(tables[0]), _mean(tables[1]))
    a, b = (frame[rows] for frame, rows in zip(tables, dataset.rows, strict=True))
    if ids[0] != ids[1]:
        a, b = _named(a, ids[0]), _named(b, ids[1])
    lone = [_lone(a, b, "prediction"), _lone(b, a, "prediction")]
    masks: dict[Quantity, Bool] = {
        "prediction": a["prediction"].ne_missing(b["prediction"]).to_numpy(),
        "correct": a["correct"].ne_missing(b["correct"]).to_numpy(),
    }
    apart = {}
    for column in ("confidence", "nll"):
        difference = (a[column].cast(pl.Float64) - b[column].cast(pl.Float64)).abs()
        apart[column] = difference.fill_null(0.0).to_numpy()
    unsure = (_lone(a, b, "confidence") | _lone(b, a, "confidence")) & ~(lone[0] | lone[1])
    masks["confidence"] = (apart["confidence"] > tolerance) | unsure
    masks["nll"] = apart["nll"] > tolerance
    return OutcomeGap(
        int(masks["prediction"].sum()),
        int(masks["correct"].sum()),
        float(apart["confidence"].max(initial=0.0)),
        int(unsure.sum()),
        nll,
        (int(lone[1].sum()), int(lone[0].sum())),
        _moved(masks, np.zeros(len(a), bool)),
        _moved(masks, dataset.touched | lone[0] | lone[1]),
    )


def _moved(masks: dict[Quantity, Bool], touched: Bool) -> frozenset[Quantity]:
    """Return what differs on samples that no difference of the data sets touches."""
    found: set[Quantity] = {name for name, mask in masks.items() if (mask & ~touched).any()}
    if found:
        found.add("number")
    if "correct" in found:
        found.add("accuracy")
    return frozenset(found)


def _entry(store: Store, run: OutcomeRun) -> FileEntry | None:
    manifest = read_manifest(store.files, run.folder)
    return manifest.files.get(TABLE) if manifest else None


def _read(store: Store, run: OutcomeRun) -> pl.DataFrame:
    return pl.read_parquet(checked_table(store.files, run), columns=list(_COLUMNS))


def _mean(table: pl.DataFrame) -> float | None:
    values = table["nll"].drop_nulls().cast(pl.Float64).to_numpy()
    return float(np.mean(values)) if len(values) else None


def _named(table: pl.DataFrame, class_ids: Sequence[str]) -> pl.DataFrame:
    """Put class ids in the place of predictions, which count each space's own classes."""
    ids = pl.Series(class_ids, dtype=pl.String).gather(table["prediction"])
    return table.with_columns(ids.alias("prediction"))


def _lone(a: pl.DataFrame, b: pl.DataFrame, column: str) -> Bool:
    """Return which samples have a value in `a` alone: (K,)."""
    return (a[column].is_not_null() & b[column].is_null()).to_numpy()
