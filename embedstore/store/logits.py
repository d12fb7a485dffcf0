"""Stored logits: float16 less the row's maximum, and that maximum in float32.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.kernels.half import widen
from embedstore.store import layout
from embedstore.store.arrays import StoredArray
from embedstore.store.contents import committed, record_in
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import read_manifest

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


def not_kept(files: LocalFiles, model: str, dataset: str, head: str) -> str:
    """Say that a head's outcomes have no logits beside them, and what to do.

    Empty where logits are there, or there are no outcomes either.
    """
    if read_manifest(files, layout.logits(model, dataset, head)) is not None:
        return ""
    if not committed(files, f"models/{model}/outcomes/{dataset}/{head}"):
        return ""
    where = f"of head {head!r} of model {model!r} over {dataset!r}"
    images = read_manifest(files, layout.images(model, dataset))
    folder = layout.head(model, head)
    known = read_manifest(files, folder)
    if images is None or known is None:
        return f"outcomes {where} came without logits; bring some in with: embedstore import logits"
    if record_in(files, folder, "head.json", known)["native"]:
        return (
            f"logits {where} were not kept, and only the model gives them; run the same embedstore "
            "encode command again without --keep"
        )
    return (
        f"logits {where} were not kept; make them from the embeddings with: embedstore head apply "
        f"{files.root} --model {model} --head {head} --data {dataset}"
    )
