"""Tests of how much a factor of design explains of a metric: R² lost without it.

The regression is that of the analysis `design`, over one group of models rather than all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from embedstore.across.design import SIX, complete, design_columns
from embedstore.across.points import place
from embedstore.claims.evidence import Evidence, Models
from embedstore.claims.finding import Finding
from embedstore.claims.sources import sources_of
from embedstore.stats.axes import Axis
from embedstore.stats.factor_regression import explain

_REGRESSION = "robust regression on the six factors (as analysis design) over"


@dataclass(frozen=True, slots=True)
class Loss:
    """What R² loses without a factor."""

    drop: float  # NaN where it is constant, or too few models have all factors
    low: float
    high: float
    p_value: float
    n_models: int


@dataclass(frozen=True, slots=True)
class FactorExplains:
    """Whether one factor explains any of several metrics beyond the other five."""

    metrics: tuple[str, ...]
    factor: str
    models: Models
    axis: Axis = "linear"

    @property
    def recipe(self) -> str:
        """What is tested."""
        many = f", Bonferroni over {len(self.metrics)} metrics" if len(self.metrics) > 1 else ""
        return (
            f"R² that {_words(self.metrics)} loses without {_name(self.factor)}: {_REGRESSION} "
            f"{self.models.name}, {self.axis}, models resampled; p: partial F test{many}"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test; of several metrics, the numbers are those of the least p-value."""
        found = {
            m: losses(evidence, m, (self.factor,), self.models, self.axis)[0] for m in self.metrics
        }
        known = {m: e for m, e in found.items() if not math.isnan(e.p_value)}
        n_models = max(e.n_models for e in found.values())
        if not known:
            detail = f"{n_models} {self.models.name} do not tell {_name(self.factor)} apart"
            return Finding.lacking("R² lost", n_models, 0, detail)
        metric, least = min(known.items(), key=lambda item: item[1].p_value)
        p = min(1.0, least.p_value * len(self.metrics))
        detail = f"{_name(self.factor)} in {metric} over {least.n_models} {self.models.name}"
        n = least.n_models
        return Finding("R² lost", least.drop, n, n, detail, least.low, least.high, p)


@dataclass(frozen=True, slots=True)
class FactorExplainsMore:
    """Whether a factor explains more of a metric than other factors, or than of other metrics."""

    metric: str
    factor: str
    models: Models
    other_factor: str = ""  # empty: the same
    other_metrics: tuple[str, ...] = ()  # none: the same
    axis: Axis = "linear"

    @property
    def recipe(self) -> str:
        """What is tested."""
        other = f"without {_name(self.other_factor or self.factor)}"
        others = f"what {_words(self.other_metrics or (self.metric,))} loses {other}"
        return (
            f"R² that {self.metric} loses without {_name(self.factor)} less the most of {others}: "
            f"{_REGRESSION} {self.models.name}, {self.axis}, models resampled, low less the "
            "others' highest"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        other = self.other_factor or self.factor
        if self.other_metrics:
            (own,) = losses(evidence, self.metric, (self.factor,), self.models, self.axis)
            others = [
                losses(evidence, m, (other,), self.models, self.axis)[0] for m in self.other_metrics
            ]
        else:
            factors = (self.factor, other)
            own, *others = losses(evidence, self.metric, factors, self.models, self.axis)
        n_least = min(e.n_models for e in (own, *others))
        n_models, statistic = max(own.n_models, n_least), "difference of R² lost"
        if any(math.isnan(e.drop) for e in (own, *others)):
            detail = f"{n_least} {self.models.name} do not tell the factors apart"
            return Finding.lacking(statistic, n_models, 0, detail)
        most = max(others, key=lambda e: e.drop)
        low = own.low - max(e.high for e in others)
        high = own.high - max(e.low for e in others)
        detail = f"{own.drop:.4f} and at most {most.drop:.4f} over {n_least} {self.models.name}"
        value = own.drop - most.drop
        return Finding(statistic, value, n_models, n_least, detail, low, high)


def losses(
    evidence: Evidence, metric: str, factors: tuple[str, ...], models: Models, axis: Axis
) -> list[Loss]:
    """Return what R² of a metric loses without each factor."""
    known = complete(evidence.figures(metric, models, all_heads=True))
    n_models = known["model"].n_unique()
    unknown = Loss(math.nan, math.nan, math.nan, math.nan, n_models)
    if n_models < 3:
        return [unknown] * len(factors)
    columns = design_columns(known)
    fit = explain(
        columns.values,
        columns.factors,
        place(known["value"], known["n_samples"], axis)[0],
        clusters=known["model"].to_numpy(),
        n_resamples=evidence.n_resamples,
        seed=evidence.seed,
    )
    numbers = [list(SIX).index(factor) for factor in factors]
    return [
        Loss(
            float(fit.drop[number]),
            float(fit.low[number]),
            float(fit.high[number]),
            float(fit.p_value[number]),
            n_models,
        )
        if (columns.factors == number).any()
        else unknown
        for number in numbers
    ]


def _name(factor: str) -> str:
    return factor.replace("_", " ")


def _words(metrics: tuple[str, ...]) -> str:
    return metrics[0] if len(metrics) == 1 else f"any of {', '.join(metrics)}"
