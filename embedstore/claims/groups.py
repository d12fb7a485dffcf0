"""Tests of a metric's values: between two groups of models, or of two metrics over one.

Bounds resample models.

Dimensions: N models, K draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.claims.evidence import Evidence, Models
from embedstore.claims.finding import Finding
from embedstore.claims.sources import sources_of
from embedstore.stats.bootstrap import bootstrap_means, percentile_interval
from embedstore.stats.intervals import clopper_pearson
from embedstore.stats.paired import mcnemar

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A metric's mean over one group less that over another."""

    metric: str
    first: Models
    second: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        return (
            f"mean {self.metric} of {self.first.name} less that of {self.second.name}, models of "
            "both resampled; p: Mann-Whitney"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.first, self.second)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        groups = (self.first, self.second)
        a, b = (evidence.figures(self.metric, m)["value"].to_numpy() for m in groups)
        n_models, n_least = len(a) + len(b), min(len(a), len(b))
        statistic = "difference of means"
        counted = f"{len(a)} {self.first.name}, {len(b)} {self.second.name}"
        if not n_least:
            return Finding.lacking(statistic, n_models, n_least, f"only {counted} have it")
        detail = f"{counted}, means {a.mean():.4f} and {b.mean():.4f}"
        difference = float(a.mean() - b.mean())
        if n_least == 1:
            return Finding(statistic, difference, n_models, n_least, detail)
        drawn = [_means(v, evidence, part) for part, v in enumerate((a, b))]
        low, high = (float(bound) for bound in percentile_interval(drawn[0] - drawn[1]))
        from scipy.stats import mannwhitneyu  # 0.5 s to import

        p = float(mannwhitneyu(a, b).pvalue)
        return Finding(statistic, difference, n_models, n_least, detail, low, high, p)


@dataclass(frozen=True, slots=True)
class ShareExceeding:
    """The share of one group whose metric exceeds the median of another."""

    metric: str
    models: Models
    others: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        return (
            f"share of {self.models.name} whose {self.metric} exceeds the median of "
            f"{self.others.name}, Clopper-Pearson"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models, self.others)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        groups = (self.models, self.others)
        a, b = (evidence.figures(self.metric, m)["value"].to_numpy() for m in groups)
        n_models, n_least = len(a) + len(b), min(len(a), len(b))
        counted = f"{len(a)} {self.models.name}, {len(b)} {self.others.name}"
        if not n_least:
            return Finding.lacking("share", n_models, n_least, f"only {counted} have it")
        median, exceeding = float(np.median(b)), int((a > np.median(b)).sum())
        low, high = (float(bound) for bound in clopper_pearson(exceeding, len(a)))
        detail = f"{exceeding} of {len(a)} exceed {median:.4f}, the median of {len(b)}"
        return Finding("share", exceeding / len(a), n_models, n_least, detail, low, high)


@dataclass(frozen=True, slots=True)
class Change:
    """The mean change from one metric to another of the same models."""

    before: str
    after: str
    models: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        return (
            f"mean of {self.after} less {self.before} over {self.models.name}, resampled; p: sign "
            "test"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        points = evidence.points(self.before, self.after, self.models)
        changes = (points["y"] - points["x"]).to_numpy()
        return of_changes(changes, len(changes), evidence, f"of {self.models.name}")


def of_changes(changes: F64, n_models: int, evidence: Evidence, of_what: str) -> Finding:
    """Test whether changes are of mean 0: (N,) -> Finding.

    The bounds resample changes; p is of the exact sign test, without changes of 0.
    """
    statistic, n = "mean difference", len(changes)
    if not n:
        return Finding.lacking(statistic, n_models, 0, f"no difference {of_what} is known")
    n_up, n_down = int((changes > 0).sum()), int((changes < 0).sum())
    detail = f"{n_up} rise and {n_down} fall {of_what}"
    low = high = p = math.nan
    if n > 1:
        bounds = percentile_interval(_means(changes, evidence, 0))
        low, high, p = float(bounds[0]), float(bounds[1]), float(mcnemar(n_up, n_down))
    return Finding(statistic, float(changes.mean()), n_models, n, detail, low, high, p)


def _means(values: F64, evidence: Evidence, part: int) -> F64:
    """Return the mean of each resample: (N,) -> (K,)."""
    n, seed = evidence.n_resamples, evidence.seed + part
    return bootstrap_means(values, n_resamples=n, seed=seed)[:, 0]
