"""Runs that both stores hold: from their ingredients to what their numbers say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedstore.differences.arrays import (
    Digests,
    Gap,
    Rows,
    State,
    compare_digests,
    compare_values,
)
from embedstore.differences.causes import ALL, Cause, Level, Quantity, explain
from embedstore.differences.findings import Finding, place
from embedstore.differences.imports import compare_import
from embedstore.differences.ingredients import Ingredients
from embedstore.differences.outcomes import compare_outcomes
from embedstore.differences.pair import Pair
from embedstore.differences.spaces import compare_space
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun

#: What can have moved the numbers of each run.
Causes = dict[OutcomeRun, list[Cause]]
_LOGITS = ("logits", "maximum")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two stores, what their runs are made of, and how closely to look."""

    pair: Pair
    ingredients: Ingredients
    tolerance: float
    arrays: bool  # whether arrays are read

    def runs(self) -> tuple[Causes, list[Finding]]:
        """Compare all runs: what can have moved each, and the numbers that differ."""
        causes: Causes = {}
        findings: list[Finding] = []
        images: dict[tuple[str, str], State] = {}
        logits: dict[tuple[str, str, str], State] = {}
        for run in self.pair.runs:
            of_images, of_logits = (run.model, run.dataset), (run.model, run.dataset, run.head)
            if of_images not in images:
                images[of_images], said = self._embeddings(*of_images)
                findings += said
            if of_logits not in logits:
                logits[of_logits], said = self._logits(run, images[of_images])
                findings += said
            causes[run], said = self._outcomes(run, images[of_images], logits[of_logits])
            findings += said
        for model in self.pair.models:  # embeddings that no head was applied to
            for dataset in self.pair.datasets:
                if (model, dataset) not in images:
                    findings += self._embeddings(model, dataset)[1]
        return causes, findings

    def _embeddings(self, model: str, dataset: str) -> tuple[State, list[Finding]]:
        where = place(model, dataset)
        known = self.ingredients.datasets[dataset]
        folder = layout.images(model, dataset)
        digests = compare_digests(self.pair, folder, ["embeddings"], aligned=known.aligned)
        causes = [*known.causes, *self._failures(model, dataset)]
        causes += self.ingredients.models[model].causes(pictures=True, texts=False)
        if digests.state == "same" or not self.arrays or None in digests.digests:
            return digests.state, list(_by_digest("embeddings", where, digests, causes))
        arrays = self.pair.both(Store.embeddings, model, dataset)
        return self._values("embeddings", where, arrays, dataset, causes)

    def _logits(self, run: OutcomeRun, images: State) -> tuple[State, list[Finding]]:
        where = place(run.model, run.dataset, run.head)
        known = self.ingredients.datasets[run.dataset]
        folder = layout.logits(run.model, run.dataset, run.head)
        digests = compare_digests(self.pair, folder, _LOGITS, aligned=known.aligned)
        causes = [*known.causes, *self._failures(run.model, run.dataset)]
        causes += self._upstream(run, images, "unknown")
        head = self.ingredients.heads.get((run.model, run.head))
        comparable = head is not None and head.same_classes and None not in digests.digests
        if digests.state == "same" or not self.arrays or not comparable:
            return digests.state, list(_by_digest("logits", where, digests, causes))
        arrays = self.pair.both(Store.logits, run.model, run.dataset, run.head)
        return self._values("logits", where, arrays, run.dataset, causes)

    def _values(
        self,
        what: Quantity,
        where: str,
        arrays: tuple[Rows, Rows],
        dataset: str,
        causes: Sequence[Cause],
    ) -> tuple[State, list[Finding]]:
        gap = compare_values(arrays, self.ingredients.datasets[dataset])
        if gap is None:
            a, b = (array.shape for array in arrays)
            because = explain(causes, what)
            return "other", [Finding.of("number", where, f"{what} (shape)", a, b, None, because)]
        if not gap.largest and not gap.n_lone:
            return "same", []
        if gap.untouched > self.tolerance:
            partly = frozenset({what})
            causes = [replace(c, partly=partly) if c.level == Level.DATASET else c for c in causes]
        return "other", list(_by_value(what, where, gap, causes, self.tolerance))

    def _failures(self, model: str, dataset: str) -> list[Cause]:
        """Return pictures that failed in one store alone, of runs that have embeddings."""
        taken = self.ingredients.datasets[dataset].rows
        rows = self.pair.both(_failed_rows, model, dataset)
        a, b = (np.isin(own, failed) for own, failed in zip(taken, rows, strict=True))
        if (a == b).all():
            return []
        reason = f"failed pictures: {(a & ~b).sum():,} in A alone, {(b & ~a).sum():,} in B alone"
        return [Cause(Level.DATASET, place(model, dataset), reason, ALL)]

    def _upstream(self, run: OutcomeRun, images: State, logits: State) -> list[Cause]:
        """Return what of model, import and head can have moved the run's logits."""
        head = self.ingredients.heads.get((run.model, run.head))
        pictures = images != "same" or (head is not None and head.native and logits != "same")
        texts = head is None or not head.same
        model = self.ingredients.models[run.model]
        imported, _ = compare_import(self.pair, run)
        return [
            *model.causes(pictures=pictures, texts=texts),
            *imported,
            *(head.causes if head else ()),
        ]

    def _outcomes(
        self, run: OutcomeRun, images: State, logits: State
    ) -> tuple[list[Cause], list[Finding]]:
        dataset = self.ingredients.datasets[run.dataset]
        _, said = compare_import(self.pair, run)
        spaces, of_space, in_space = compare_space(self.pair, run, dataset)
        gap = compare_outcomes(self.pair, run, dataset, spaces, self.tolerance)
        others = [*self._upstream(run, images, logits), *of_space]
        causes = gap.causes(run, dataset.causes, others)
        return causes, [*said, *in_space, *gap.findings(run, causes, self.tolerance)]


def _failed_rows(store: Store, model: str, dataset: str) -> list[int]:
    if read_manifest(store.files, layout.images(model, dataset)) is None:
        return []
    return store.failures(model, dataset)["row"].to_list()


def _by_digest(
    what: Quantity, where: str, digests: Digests, causes: Sequence[Cause]
) -> Iterator[Finding]:
    if digests.state == "other":
        because = explain(causes, what)
        yield Finding.of("number", where, what, *digests.digests, None, because)


def _by_value(
    what: Quantity, where: str, gap: Gap, causes: Sequence[Cause], tolerance: float
) -> Iterator[Finding]:
    sizes = {"largest difference": gap.largest, "samples in one store": float(gap.n_lone)}
    if what == "embeddings":
        sizes["largest cosine distance"] = gap.distance
    for name, size in sizes.items():
        if size > tolerance:
            because = explain(causes, what)
            yield Finding("number", where, f"{what} ({name})", None, None, size, because)
