"""Sets of samples as bits: which of many sets a sample is in, counted 64 samples at a time.

Dimensions: N samples, F sets, W words of 64 bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
_BITS = 64


def packed(members: Bool) -> U64:
    """Return who is a member, a bit each: (..., N) -> (..., W); bits beyond N are 0."""
    n_samples = members.shape[-1]
    bits = np.packbits(members, axis=-1)
    missing = -(-n_samples // _BITS) * 8 - bits.shape[-1]
    padding = [(0, 0)] * (members.ndim - 1) + [(0, missing)]
    return np.ascontiguousarray(np.pad(bits, padding)).view(np.uint64)


def count_in_each(sets: U64, members: U64) -> I64:
    """Count the members of each set that are among `members`: (F, W), (W,) -> (F,)."""
    return np.asarray(np.bitwise_count(sets & members).sum(axis=-1, dtype=np.int64))
