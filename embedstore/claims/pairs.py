"""Tests over pairs of models: fine-tuned ones and their origins, or two resolutions of one.

Dimensions: P pairs, or origins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from embedstore.across.facts import FACTS
from embedstore.analysis import run
from embedstore.claims.evidence import Evidence, Models
from embedstore.claims.finding import Finding
from embedstore.claims.groups import of_changes
from embedstore.claims.sources import sources_of
from embedstore.schema.runs import RESOLUTION_PAIRS

#: Share by which image towers of one model may differ: classifiers and position embeddings.
TOLERANCE = 0.15
#: Share by which models that differ in resolution alone may: position embeddings.
POSITIONS = 0.01
_BACKBONE = ["architecture", "patch", "training_distribution"]


@dataclass(frozen=True, slots=True)
class TunedAgainstOrigin:
    """A metric of fine-tuned models less that of the models that they come from."""

    metrics: tuple[str, ...]  # one a protocol: models are never paired across two
    tuned: Models
    origins: Models
    same: tuple[str, ...] = ()  # further facts in which a model and its origin are equal

    @property
    def recipe(self) -> str:
        """What is tested."""
        same = ", ".join([*_BACKBONE, *self.same])
        return (
            f"{' or '.join(self.metrics)} of {self.tuned.name} less the mean of the "
            f"{self.origins.name} of the same {same} and image tower ({TOLERANCE:.0%}), within one "
            "metric, a value an origin, resampled; p: sign test over origins"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.tuned, self.origins)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        sides = (self.tuned, self.origins)
        read = [[evidence.figures(metric, m) for m in sides] for metric in self.metrics]
        pairs = [self._paired(evidence, *figures) for figures in read]
        found = pl.concat(pairs)
        n_models = len({*found["model"], *found["origin"].list.explode()} - {None})
        changes = found.group_by("origin", maintain_order=True).agg(pl.col("change").mean())
        of_what = f"of {found.height} {self.tuned.name} from {changes.height} origins"
        finding = of_changes(changes["change"].to_numpy(), n_models, evidence, of_what)
        if changes.height:
            means = found.select(pl.col("value", "value_origin").mean()).row(0)
            finding = replace(
                finding, detail=f"{finding.detail}, means {means[0]:.4f} and {means[1]:.4f}"
            )
        return finding if changes.height else replace(finding, note=_apart(read))

    def _paired(
        self, evidence: Evidence, tuned: pl.DataFrame, origins: pl.DataFrame
    ) -> pl.DataFrame:
        """Return fine-tuned models beside the mean of their origins, a row a model."""
        keys = [*_BACKBONE, *self.same]
        a, b = (
            figures.select("model", "value", *keys).join(
                evidence.image_parameters(models), "model", maintain_order="left"
            )
            for figures, models in ((tuned, self.tuned), (origins, self.origins))
        )
        sizes = ("n_image_parameters", "n_image_parameters_origin")
        more, fewer = pl.max_horizontal(sizes), pl.min_horizontal(sizes)
        both = a.join(b, keys, suffix="_origin", nulls_equal=True, maintain_order="left")
        near = both.filter(pl.col("architecture").is_not_null(), more - fewer <= TOLERANCE * more)
        of_model = near.group_by("model", maintain_order=True).agg(
            pl.col("value").first(),
            pl.col("value_origin").mean(),
            pl.col("model_origin").sort().alias("origin"),
        )
        return of_model.with_columns(change=pl.col("value") - pl.col("value_origin"))


@dataclass(frozen=True, slots=True)
class HigherResolution:
    """A metric of models less that of the same models at the next lower resolution."""

    column: str  # of resolution-pairs

    @property
    def recipe(self) -> str:
        """What is tested."""
        return (
            f"{self.column.replace('_', ' ')} of models less that of the next lower resolution, "
            "all else equal (analysis resolution-pairs), pairs resampled; p: sign test over pairs"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """None: pairs are a store's."""
        return ()

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        low, high = self.column, f"{self.column}_high"
        names = ("model", "model_high", "resolution_high", "protocol")
        if evidence.store.outcome_runs():
            pairs = run("resolution-pairs", evidence.store)
        else:
            pairs = pl.DataFrame(schema=dict(RESOLUTION_PAIRS))
        return _of_steps(pairs.select(*names, value=low, value_high=high), evidence)


@dataclass(frozen=True, slots=True)
class PublishedResolution:
    """A published metric of models less that of the same models at the next lower resolution."""

    metric: str
    models: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        return (
            f"{self.metric} of {self.models.name} less that of the next lower resolution, equal in "
            f"the other facts, sizes within {POSITIONS:.0%}, pairs resampled; p: sign test over "
            "pairs"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        figures = evidence.figures(self.metric, self.models)
        same = [fact for fact in FACTS if fact not in ("resolution", "n_parameters")]
        both = figures.join(figures, same, suffix="_high", nulls_equal=True)
        sizes = ("n_parameters", "n_parameters_high")
        more, fewer = pl.max_horizontal(sizes), pl.min_horizontal(sizes)
        higher = pl.col("resolution") < pl.col("resolution_high")
        pairs = both.filter(higher, more - fewer <= POSITIONS * more)
        protocol = pl.lit(None, pl.String).alias("protocol")
        return _of_steps(pairs.with_columns(protocol), evidence)


def _of_steps(pairs: pl.DataFrame, evidence: Evidence) -> Finding:
    """Test steps to the next higher resolution: columns value and value_high."""
    known = pairs.drop_nulls(["value", "value_high"])
    # three resolutions of one model are two steps, not three
    steps = known.sort("model", "protocol", "resolution_high", "model_high").unique(
        ["model", "protocol"], keep="first", maintain_order=True
    )
    n_models = len({*steps["model"], *steps["model_high"]})
    changes = (steps["value_high"] - steps["value"]).to_numpy()
    finding = of_changes(changes, n_models, evidence, f"of {steps.height} pairs of models")
    if not 0 < steps.height <= 3:
        return finding
    columns = ("model", "value", "model_high", "value_high")
    named = [f"{a} {x:.4f}, {b} {y:.4f}" for a, x, b, y in steps.select(columns).iter_rows()]
    return replace(finding, detail=f"{finding.detail} ({'; '.join(named)})")


def _apart(read: list[list[pl.DataFrame]]) -> str:
    """Say so where both groups are there, but never under one protocol."""
    together = any(not a.is_empty() and not b.is_empty() for a, b in read)
    there = all(any(not side.is_empty() for side in sides) for sides in zip(*read, strict=True))
    return "protocols differ, and such models are not compared" if there and not together else ""
