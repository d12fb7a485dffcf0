"""Stored logits: float16 less the row's maximum, and that maximum in float32.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.kernels.half import widen
from embedstore.store.arrays import StoredArray

F32 = npt.NDArray[np.float32]


class StoredLogits:
    """Logits of one run under one head: (N, C), widened to float32 as they are read.

    `centred` holds them as stored, `maximum` what to add to each row. Means over samples (NLL, ECE)
    are good to 1e-5; one sample's NLL is off by up to 4e-3: take that from the outcomes.
    """

    def __init__(self, centred: StoredArray, maximum: StoredArray) -> None:
        self.centred, self.maximum = centred, maximum

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C)."""
        return self.centred.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type after widening."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.centred)

    def __repr__(self) -> str:
        return f"StoredLogits(shape={self.shape})"

    def blocks(self) -> Iterator[F32]:
        """Yield (B, C) float32 logits, in order, a shard at a time."""
        start = 0
        for centred in self.centred.blocks():
            yield _widened(centred, self.maximum[start : start + len(centred)])
            start += len(centred)

    def __getitem__(self, rows: Any) -> F32:
        """Select rows by number, slice, mask or list of numbers."""
        centred, maximum = self.centred[rows], self.maximum[rows]
        return _widened(np.atleast_2d(centred), np.atleast_1d(maximum)).reshape(centred.shape)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)


def _widened(centred: npt.NDArray[np.float16], maximum: F32) -> F32:
    return widen(np.ascontiguousarray(centred).view(np.uint16), maximum)
