"""Tests of whether one metric follows another over models."""

from __future__ import annotations

from dataclasses import dataclass

from embedstore.claims.evidence import Evidence, Models
from embedstore.claims.finding import Finding
from embedstore.claims.sources import sources_of
from embedstore.errors import EmbedStoreError
from embedstore.stats.correlation import spearman
from embedstore.stats.trend_intervals import trend_intervals


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Spearman's correlation of two metrics, ties at their average rank."""

    x: str
    y: str
    models: Models

    @property
    def recipe(self) -> str:
        """What is tested."""
        return f"Spearman of {self.y} with {self.x} over {self.models.name}, resampled"

    @property
    def sources(self) -> tuple[str, ...]:
        """Published results that its models are from."""
        return sources_of(self.models)

    def find(self, evidence: Evidence) -> Finding:
        """Make the test."""
        points = evidence.points(self.x, self.y, self.models)
        x, y, n = points["x"].to_numpy(), points["y"].to_numpy(), points.height
        detail = f"{n} {self.models.name}"
        try:
            bounds = trend_intervals(x, y, n_resamples=evidence.n_resamples, seed=evidence.seed)
        except EmbedStoreError:  # fewer than two, or of one x
            return Finding.lacking("spearman", n, n, f"only {detail} have both")
        low, high = bounds["spearman"]
        from scipy.stats import spearmanr  # 0.5 s to import

        p = float(spearmanr(x, y).pvalue) if n > 2 else float("nan")
        return Finding("spearman", spearman(x, y), n, n, detail, low, high, p)
