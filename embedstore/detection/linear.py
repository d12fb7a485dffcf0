"""The linear head of a subject, for scores that change its features or weights.

Dimensions: B samples of a block, C classes of the ID data set, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.detection.score import UndefinedScoreError
from embedstore.detection.subject import Subject
from embedstore.kernels.outcomes import outcomes

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """``logits = features @ weights.T + bias``, over the ID data set's classes."""

    weights: F32  # (C, D) with the head's scale
    bias: F32  # (C,) nats

    def logits(self, features: F32) -> F32:
        """(B, D) -> (B, C), nats."""
        return np.asarray(features @ self.weights.T + self.bias, np.float32)


def linear_head(subject: Subject) -> LinearHead:
    """Return a subject's head.

    Raises
    ------
    UndefinedScoreError
        If its logits are no linear function of features.
    """
    if not subject.linear:
        kind = "native" if subject.head.native else "a cache's (Tip-Adapter)"
        raise UndefinedScoreError(
            f"head {subject.head_name!r} is {kind}: its logits are no linear function of features"
        )
    return LinearHead(np.float32(subject.head.scale) * subject.weights, subject.bias)


def energy(logits: F32) -> F64:
    """Log of the summed powers of logits, as outcomes hold it: (B, C) -> (B,), nats."""
    return outcomes(logits, np.full(len(logits), -1)).energy.astype(np.float64)
