"""What is right: one class a sample, or several, in the order of a label space.

Dimensions: N samples, M right classes of all samples together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.kernels.outcomes import Outcomes, outcomes
from embedstore.kernels.several import outcomes_of_several

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Labels:
    """The right classes of each sample."""

    classes: I64  # (M,) in the space; with one a sample (N,), -1 where there is none
    offsets: I64 | None = None  # (N + 1,) where each sample's begin; None: one a sample

    @classmethod
    def none(cls, n_samples: int) -> Labels:
        """Return labels of samples of which nothing is known."""
        return cls(np.full(n_samples, -1, np.int64))

    def __len__(self) -> int:
        return len(self.classes) if self.offsets is None else len(self.offsets) - 1

    def outcomes(self, logits: F32, start: int, failed: Bool) -> Outcomes:
        """Judge the rows from `start` on: (B, S), (B,) -> ten columns of (B,)."""
        stop = start + len(logits)
        if self.offsets is None:
            return outcomes(logits, self.classes[start:stop], failed=failed, first_row=start)
        first, last = self.offsets[start], self.offsets[stop]
        offsets = self.offsets[start : stop + 1] - first
        return outcomes_of_several(
            logits, self.classes[first:last], offsets, failed=failed, first_row=start
        )
