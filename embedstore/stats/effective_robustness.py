"""Effective robustness: accuracy under a shift beyond what ID accuracy predicts.

The prediction is the line through the baselines alone (Taori et al., 2020; methods of Miller et
al., 2021). It knows accuracies, not which models are baselines.

Dimensions: N models, B baselines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.stats.axes import from_axis, to_axis
from embedstore.stats.lines import Line, robust_line

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AccuracyLine:
    """A line through baselines on a scale of accuracies."""

    line: Line
    axis: str
    n_clipped: int  # accuracies of baselines brought to half a sample from 0 or 1

    def expected(self, accuracy: npt.ArrayLike, *, n_samples: npt.ArrayLike | None = None) -> F64:
        """Return the accuracy under the shift that ID accuracy predicts: (N,) -> (N,)."""
        return from_axis(
            self.line.at(to_axis(accuracy, self.axis, n_samples=n_samples)[0]), self.axis
        )

    def effective_robustness(
        self,
        accuracy: npt.ArrayLike,
        shifted_accuracy: npt.ArrayLike,
        *,
        n_samples: npt.ArrayLike | None = None,
    ) -> F64:
        """Return accuracy under the shift less what is expected of it: (N,), (N,) -> (N,).

        Parameters
        ----------
        accuracy, shifted_accuracy
            ID and OOD, from 0 to 1; NaN gives NaN.
        n_samples
            How many ID samples; needed where an ID accuracy may be 0 or 1.
        """
        expected = self.expected(accuracy, n_samples=n_samples)
        return np.asarray(np.asarray(shifted_accuracy, np.float64) - expected, np.float64)

    def prediction_interval(
        self,
        accuracy: npt.ArrayLike,
        *,
        n_samples: npt.ArrayLike | None = None,
        confidence: float = 0.95,
    ) -> tuple[F64, F64]:
        """Return the accuracy under the shift of a new model at an ID accuracy: 2 x (N,)."""
        places = to_axis(accuracy, self.axis, n_samples=n_samples)[0]
        low, high = self.line.prediction_interval(places, confidence=confidence)
        return from_axis(low, self.axis), from_axis(high, self.axis)


def baseline_line(
    accuracy: npt.ArrayLike,
    shifted_accuracy: npt.ArrayLike,
    *,
    axis: str = "probit",
    n_samples: npt.ArrayLike | None = None,
    n_shifted: npt.ArrayLike | None = None,
) -> AccuracyLine:
    """Fit the robust line of baselines: (B,), (B,) -> AccuracyLine.

    Parameters
    ----------
    accuracy, shifted_accuracy
        ID and OOD accuracy of the baselines, from 0 to 1; pairs with a NaN are left out.
    axis
        ``probit``, ``logit`` or ``linear``, for both.
    n_samples, n_shifted
        How many samples each is of; needed where an accuracy may be 0 or 1.

    Raises
    ------
    EmbedStoreError
        If fewer than two baselines have both, all have the same ID accuracy, or a value is no
        accuracy.
    """
    x, x_clipped = to_axis(accuracy, axis, n_samples=n_samples)
    y, y_clipped = to_axis(shifted_accuracy, axis, n_samples=n_shifted)
    n_clipped = int(np.count_nonzero(x_clipped) + np.count_nonzero(y_clipped))
    return AccuracyLine(robust_line(x, y), axis, n_clipped)
