"""Sweeping the ensembles of text sets over the pictures of a contest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from embedstore.heads.splits import hashed
from embedstore.prompt_sweep.contests import Contest
from embedstore.prompt_sweep.ensembles import Ensemble, ordered, prefixes, templates, whole
from embedstore.prompt_sweep.greedy import greedy_order
from embedstore.prompt_sweep.images import Images
from embedstore.prompt_sweep.measuring import Measured, Measurement, in_groups, measure
from embedstore.prompt_sweep.texts import PromptTexts
from embedstore.stats.delong import Areas, delong
from embedstore.store import Store

Split = Literal["all", "select", "held-out"]
#: Share of the samples that templates are selected on.
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """What one ensemble says of a data set, or of one half of it."""

    ensemble: Ensemble
    split: Split
    measured: Measured
    areas: tuple[Areas | None, ...]  # against each OOD data set; None where a side is empty


@dataclass(frozen=True, slots=True)
class Sweep:
    """Ensembles of one model's text sets over the pictures of one data set."""

    store: Store
    model: str
    contest: Contest
    measurement: Measurement
    outside: tuple[Images, ...]  # pictures of OOD data sets
    seed: int  # of the halves of greedy selection
    max_templates: int  # of greedy selection

    def results(self, parts: Sequence[str]) -> Iterator[Result]:
        """Yield the results of `sets`, `templates` and `prefixes`, and the steps of `greedy`.

        Text sets of a single template, or of none, have no prefixes and no steps; nor has a data
        set steps of which one half is empty.
        """
        ensembles = chain.from_iterable(
            _ensembles(self._texts(name), parts) for name in self.contest.texts
        )
        yield from self._judged(ensembles, {"all": self.contest.images})
        if "greedy" in parts:
            yield from self._greedy()

    def _greedy(self) -> Iterator[Result]:
        """Select on one hashed half, and judge each step on both."""
        images = self.contest.images
        ids = self.store.samples(images.dataset)["sample_id"].to_list()
        inner = np.asarray(hashed(ids, self.seed, "prompts") < HALF, np.bool_)
        select, held_out = images.only(inner), images.only(~inner)
        search = replace(self.measurement, score=None)
        for texts in map(self._texts, self.contest.texts):
            if texts.n_templates > 1 and len(select) and len(held_out):
                order = greedy_order(texts, select, search, self.max_templates)
                halves: dict[Split, Images] = {"select": select, "held-out": held_out}
                yield from self._judged(ordered(texts, order), halves)

    def _texts(self, name: str) -> PromptTexts:
        return PromptTexts(self.store, self.model, name, self.contest.columns)

    def _judged(
        self, ensembles: Iterable[Ensemble], splits: Mapping[Split, Images]
    ) -> Iterator[Result]:
        """Judge each ensemble on each split, and on OOD pictures once for all of them."""
        shape = len(self.contest.columns), self.contest.images.embeddings.shape[1]
        for group in in_groups(ensembles, shape):
            weights = [ensemble.weights for ensemble in group]
            outside = [measure(weights, other, self.measurement) for other in self.outside]
            for split, images in splits.items():
                inside = measure(weights, images, self.measurement)
                for i, ensemble in enumerate(group):
                    areas = (_areas(inside[i], other[i]) for other in outside)
                    yield Result(ensemble, split, inside[i], tuple(areas))


def _areas(inside: Measured, outside: Measured) -> Areas | None:
    if not len(inside.scores) or not len(outside.scores):
        return None
    return delong(inside.scores, outside.scores)


def _ensembles(texts: PromptTexts, parts: Sequence[str]) -> Iterator[Ensemble]:
    if "sets" in parts:
        yield whole(texts)
    if "templates" in parts:
        yield from templates(texts)
    if "prefixes" in parts and texts.n_templates > 1:
        yield from prefixes(texts)
