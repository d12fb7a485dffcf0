"""Tests of how far models lie above the robust line through others.

Bounds resample the line's models and the models above it. Huber's T, c = 1.345, MAD.

Dimensions: N models, K draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.across.points import places
from embedstore.claims.evidence import Evidence, Models
from embedstore.claims.finding import Finding
from embedstore.claims.sources import sources_of
from embedstore.stats.axes import Axis, from_axis
from embedstore.stats.bootstrap import percentile_interval, resample_counts
from embedstore.stats.lines import robust_line
from embedstore.stats.trend_intervals import trend_replicates

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offsets:
    """How far N models lie above a line, on the natural scale of y."""

    values: F64  # (N,)
    means: F64  # (K,) of resampled models above resampled lines; none with too few of either
    n_fit: int  # models that the line goes through
    models: tuple[str, ...]  # (N,)

    @property
    def n_least(self) -> int:
        """Models of the smaller of the two groups."""
        return min(len(self.values), self.n_fit)

    @property
    def mean(self) -> float:
        """Of the models; NaN for none."""
        return float(self.values.mean()) if len(self.values) else math.nan


@dataclass(frozen=True, slots=True)
class Expected:
    """What the line through baselines leads one to expect of a metric at another."""

    x: str
    y: str
    baselines: Models
    axes: tuple[Axis, Axis] = ("probit", "probit")

    def __str__(self) -> str:
        """Return the line as a recipe names it."""
        x, y = self.axes
        return f"the robust line of {self.y} ({y}) on {self.x} ({x}) through {self.baselines.name}"

    def offsets(self, evidence: Evidence, models: Models, part: int = 1) -> Offsets:
        """Return how far models lie above the line.

        Parameters
        ----------
        evidence, models
            Whose figures.
        part
            Added to the seed of the draws of `models`: other numbers draw independently. Lines of
            one number of baselines are drawn alike.

        Raises
        ------
        EmbedStoreError
            If there is no line.
        """
        above = evidence.points(self.x, self.y, models)
        base = evidence.points(self.x, self.y, self.baselines)
        names = tuple(above["model"])
        if above.is_empty() or base.is_empty():
            return Offsets(np.full(above.height, np.nan), np.empty(0), base.height, names)
        fitted, placed = (places(points, self.axes) for points in (base, above))
        line = robust_line(fitted.x, fitted.y)
        heights = above["y"].to_numpy()
        values = heights - from_axis(line.at(placed.x), self.axes[1])
        if min(above.height, base.height) < evidence.min_models:
            return Offsets(values, np.empty(0), base.height, names)
        n, seed = evidence.n_resamples, evidence.seed
        drawn = evidence.once(
            ("lines", str(self)),
            lambda: trend_replicates(fitted.x, fitted.y, n_resamples=n, seed=seed),
        )
        lines = drawn["intercept"][:, None] + drawn["slope"][:, None] * placed.x
        above_lines = heights - from_axis(lines, self.axes[1])  # (K, N)
        blocks = resample_counts(len(heights), n_resamples=n, seed=seed + part)
        means = (np.concatenate(list(blocks)) * above_lines).sum(axis=1) / len(heights)
        return Offsets(values, means, base.height, names)


@dataclass(frozen=True, slots=True)
class AboveLine:
    """The mean distance of models above a line."""

    expected: Expected
    models: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        return f"mean distance of {self.models.name} above {self.expected}, both resampled"

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models, self.expected.baselines)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        found = self.expected.offsets(evidence, self.models)
        n_models = len(found.values) + found.n_fit
        if not found.n_least:
            counted = f"{len(found.values)} {self.models.name}, {found.n_fit} baselines"
            return Finding.lacking("mean residual", n_models, 0, f"only {counted} have both")
        low, high = _interval(found.means)
        n_above = int((found.values > 0).sum())
        detail = (
            f"{n_above} of {len(found.values)} {self.models.name} lie above the line through "
            f"{found.n_fit} {self.expected.baselines.name}"
        )
        if len(found.values) <= 3:
            named = zip(found.models, found.values, strict=True)
            detail += f" ({', '.join(f'{m} {v:+.4f}' for m, v in named)})"
        return Finding("mean residual", found.mean, n_models, found.n_least, detail, low, high)


@dataclass(frozen=True, slots=True)
class HigherAboveLine:
    """By how much one group lies higher above a line than another."""

    expected: Expected
    first: Models
    second: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        return (
            f"mean distance of {self.first.name} above {self.expected}, less that of "
            f"{self.second.name}, all three resampled"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.first, self.second, self.expected.baselines)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        a = self.expected.offsets(evidence, self.first, 1)
        b = self.expected.offsets(evidence, self.second, 2)
        n_models, n_least = len(a.values) + len(b.values) + a.n_fit, min(a.n_least, b.n_least)
        statistic = "difference of mean residuals"
        if not n_least:
            counted = f"{len(a.values)} {self.first.name}, {len(b.values)} {self.second.name}"
            detail = f"only {counted}, {a.n_fit} baselines have both"
            return Finding.lacking(statistic, n_models, 0, detail)
        drawn = len(a.means) and len(b.means)
        low, high = _interval(a.means - b.means if drawn else np.empty(0))
        detail = (
            f"{len(a.values)} {self.first.name} lie {a.mean:+.4f}, {len(b.values)} "
            f"{self.second.name} {b.mean:+.4f} from the line through {a.n_fit} "
            f"{self.expected.baselines.name}"
        )
        return Finding(statistic, a.mean - b.mean, n_models, n_least, detail, low, high)


@dataclass(frozen=True, slots=True)
class LinesExceeded:
    """Above how many of several lines models lie on average."""

    expected: Mapping[str, Expected]  # by what each is of
    models: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        first = next(iter(self.expected.values()))
        return (
            f"number of {len(self.expected)} factors ({', '.join(self.expected)}) where "
            f"{self.models.name} lie on average above the robust line of factor accuracy on "
            f"overall accuracy through {first.baselines.name} ({' and '.join(first.axes)} axes), "
            "both resampled"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models, *(e.baselines for e in self.expected.values()))

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        found = {n: e.offsets(evidence, self.models) for n, e in self.expected.items()}
        n_least = min(offsets.n_least for offsets in found.values())
        offsets = next(iter(found.values()))
        n_models = len(offsets.values) + offsets.n_fit
        statistic = "factors above the line"
        if n_least == 0:
            return Finding.lacking(statistic, n_models, 0, f"no {self.models.name} to place")
        drawn = n_least >= evidence.min_models
        counts = sum((f.means > 0).astype(float) for f in found.values()) if drawn else np.empty(0)
        low, high = _interval(np.asarray(counts, np.float64))
        means = {name: f.mean for name, f in found.items()}
        detail = f"mean residuals of {', '.join(offsets.models[:3])}"
        detail += f" and {len(offsets.models) - 3} more" if len(offsets.models) > 3 else ""
        detail += " are " + ", ".join(f"{name} {mean:+.4f}" for name, mean in means.items())
        n_above = float(sum(mean > 0 for mean in means.values()))
        return Finding(statistic, n_above, n_models, n_least, detail, low, high)


def _interval(replicates: F64) -> tuple[float, float]:
    if not len(replicates):
        return math.nan, math.nan
    low, high = percentile_interval(replicates)
    return float(low), float(high)
