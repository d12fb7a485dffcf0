"""Where the figures of claims are from: a store's analyses, or what others published.

Of a model with several heads the one of the zoo's default prompts counts, else its own, else the
first by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from embedstore import analysis, zoo
from embedstore.across.figures import FIGURES, published_figures, stored_figures
from embedstore.across.metrics import Metric
from embedstore.across.points import OTHER, POINTS
from embedstore.errors import EmbedStoreError
from embedstore.in_distribution import ID_NAMES, ambiguous, id_candidates
from embedstore.published import results
from embedstore.store import Store

T = TypeVar("T")
#: Prompts of the zoo's zero-shot models.
DEFAULT_PROMPTS = "openai-80"
#: In place of the in-distribution data set in a metric, and what published results call it.
ID, PUBLISHED_ID = "{id}", "imagenet-val"


@dataclass(frozen=True, slots=True)
class Models:
    """Which models are meant, by what is known of them."""

    name: str  # as a recipe calls them
    facts: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # columns of across.facts.FACTS -> any of
    published: str | None = None  # source of published results that has such models

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of these models."""
        of_fact = (
            pl.col(fact).cast(pl.String).fill_null(OTHER).is_in(values)
            for fact, values in self.facts.items()
        )
        return frame.filter(*of_fact)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A store, or published results, as tests see them."""

    store: Store
    published: bool
    id_dataset: str
    min_models: int
    n_resamples: int
    seed: int
    analyses: tuple[str, ...] = field(default_factory=lambda: tuple(analysis.names()))
    _kept: dict[tuple[str, ...], Any] = field(default_factory=dict)  # what was made before

    def figures(self, metric: str, models: Models, *, all_heads: bool = False) -> pl.DataFrame:
        """Return the models that have a figure: columns `FIGURES`, one row a model.

        Parameters
        ----------
        metric
            In the metric language; `{id}` stands for the in-distribution data set.
        models
            Which.
        all_heads
            A row a head.

        Raises
        ------
        EmbedStoreError
            If nothing measures it, or it is ambiguous.
        """
        source = (models.published or "") if self.published else "store"
        text = metric.replace(ID, self.id_name) if ID in metric else metric
        read = self.once((source, text), lambda: self._read(source, Metric.parse(text)))
        found = models.of(read)
        return found if all_heads else _one_head(found)

    def once(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """Return what `make` returned the first time that it was asked for by this key."""
        if key not in self._kept:
            self._kept[key] = make()
        made: T = self._kept[key]
        return made

    def points(self, x: str, y: str, models: Models) -> pl.DataFrame:
        """Return the models that have both figures: columns `POINTS`, one row a model."""
        first, second = (self.figures(metric, models) for metric in (x, y))
        left = first.rename({"value": "x", "n_samples": "n_x"})
        right = second.select("model", pl.col("value").alias("y"), pl.col("n_samples").alias("n_y"))
        return left.join(right, "model", maintain_order="left").select(*POINTS)

    def image_parameters(self, models: Models) -> pl.DataFrame:
        """Return the sizes of models' image towers that the zoo knows: model, n_image_parameters.

        Parameters
        ----------
        models
            Whose source is meant.
        """
        if self.published:
            named = results(models.published).select("model", "spec").unique().rows()
        else:
            named = [(name, self.store.model(name).spec) for name in self.store.models]
        known = ((name, (zoo.find(spec) if spec else None) or {}) for name, spec in named)
        rows = [(name, row.get("n_image_parameters")) for name, row in known]
        columns = {"model": pl.String, "n_image_parameters": pl.Int64}
        return pl.DataFrame(rows, schema=columns, orient="row").drop_nulls()

    @property
    def id_name(self) -> str:
        """The in-distribution data set.

        Raises
        ------
        EmbedStoreError
            If several data sets could be it.
        """
        if self.published:
            return PUBLISHED_ID
        candidates = id_candidates(self.store, self.id_dataset)
        if len(candidates) > 1:
            raise ambiguous(candidates, "claims are tested on")
        return candidates[0] if candidates else PUBLISHED_ID

    @property
    def is_imagenet(self) -> bool:
        """Whether the in-distribution data set is ImageNet, by its name."""
        return self.id_name.lower() in ID_NAMES

    def _read(self, source: str, metric: Metric) -> pl.DataFrame:
        if not self.published and metric.analysis not in self.analyses:
            raise EmbedStoreError(
                f"nothing in the store measures {metric}: there is no analysis "
                f"{metric.analysis!r}; add one of that name to test this"
            )
        if not self.published and not self.store.outcome_runs():
            return pl.DataFrame(schema=dict(FIGURES))
        found = (
            published_figures(source, metric)
            if self.published
            else stored_figures(self.store, metric)
        )
        return found.filter(pl.col("value").is_not_null())


def _one_head(figures: pl.DataFrame) -> pl.DataFrame:
    rank = pl.when(pl.col("prompts") == DEFAULT_PROMPTS).then(0).when(pl.col("head") == "own")
    ordered = figures.sort("model", rank.then(1).otherwise(2), "head")
    return ordered.unique("model", keep="first", maintain_order=True)
