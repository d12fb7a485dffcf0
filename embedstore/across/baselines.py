"""What baselines lead one to expect under a shift, and how sure that is.

Effective robustness is accuracy under a shift beyond what ID accuracy predicts, the prediction
being the robust line through baselines alone (Taori et al., 2020; Miller et al., 2021).

Dimensions: B baselines, K draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.across.points import places
from embedstore.stats.axes import Axis, from_axis, to_axis
from embedstore.stats.bootstrap import N_RESAMPLES, percentile_interval
from embedstore.stats.lines import Line, robust_line
from embedstore.stats.trend_intervals import trend_replicates

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hits:
    """How many samples were judged, and how many rightly."""

    n_samples: int  # 1 or more
    n_correct: int

    @property
    def accuracy(self) -> float:
        """Share that is right."""
        return self.n_correct / self.n_samples

    def drawn(self, n_draws: int, random: np.random.Generator) -> F64:
        """Return accuracies of as many samples drawn anew: (K,)."""
        return random.binomial(self.n_samples, self.accuracy, n_draws) / self.n_samples


@dataclass(frozen=True, slots=True)
class Expectation:
    """The line through baselines, and the lines through their resamples."""

    line: Line
    axis: Axis
    slopes: F64  # (K,) NaN where a resample has no line
    intercepts: F64  # (K,)

    def accuracy(self, identified: Hits) -> float:
        """Return the accuracy under the shift that an ID accuracy leads one to expect."""
        place, _ = to_axis(identified.accuracy, self.axis, n_samples=identified.n_samples)
        return float(from_axis(self.line.at(place), self.axis))

    def robustness_interval(
        self, identified: Hits, shifted: Hits, *, seed: int = 0
    ) -> tuple[float, float]:
        """Return 95 % bounds of effective robustness: samples and baselines are drawn anew.

        NaN where more than 5 % of the resamples of baselines have no line.
        """
        random = np.random.default_rng(seed)
        n_draws = len(self.slopes)
        x, y = (hits.drawn(n_draws, random) for hits in (identified, shifted))
        place, _ = to_axis(x, self.axis, n_samples=identified.n_samples)
        expected = from_axis(self.intercepts + self.slopes * place, self.axis)
        low, high = percentile_interval(y - expected)
        return float(low), float(high)


def expectation(
    points: pl.DataFrame, axis: Axis, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Expectation:
    """Fit the line of baselines: B points -> Expectation.

    Parameters
    ----------
    points
        Columns `x` (ID accuracy), `y` (accuracy under the shift), `n_x`, `n_y`, B rows.
    axis
        Of both.
    n_resamples, seed
        K, and of the draws.

    Raises
    ------
    EmbedStoreError
        If fewer than two baselines have both, or all have the same ID accuracy.
    """
    placed = places(points, (axis, axis))
    line = robust_line(placed.x, placed.y)
    drawn = trend_replicates(placed.x, placed.y, n_resamples=n_resamples, seed=seed)
    return Expectation(line, axis, drawn["slope"], drawn["intercept"])


__all__ = ["Expectation", "Hits", "expectation"]
