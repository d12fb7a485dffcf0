"""The pictures that ensembles are judged on: stored embeddings, widened a block at a time.

Dimensions: N samples of the data set, n of them that are judged, B of a block, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.heads.head import unit
from embedstore.store import Store
from embedstore.store.arrays import StoredArray
from embedstore.store.rows import finite_rows

Bool = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Images:
    """Some pictures of one run, and what is right of each."""

    dataset: str
    embeddings: StoredArray  # (N, D) float16, not normalised
    rows: I64  # (n,) of the data set, ascending
    labels: I64  # (n,) in the label space; -1 where there is none

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, start: int, stop: int) -> F32:
        """Return some of the n pictures, of unit length: (B, D).

        Raises
        ------
        NonFiniteError
            If one holds NaN or infinity.
        """
        what = f"row {{}} of data set {self.dataset!r}"
        return unit(finite_rows(self.embeddings, self.rows[start:stop], what))

    def only(self, chosen: Bool) -> Images:
        """Return those of the pictures that `chosen`, (N,), marks."""
        kept = chosen[self.rows]
        return Images(self.dataset, self.embeddings, self.rows[kept], self.labels[kept])


def labelled_images(store: Store, model: str, dataset: str, labels: I64) -> Images:
    """Return the pictures that could be read and have a label, (N,) with -1 where there is none."""
    found = readable_images(store, model, dataset)
    known = labels[found.rows] >= 0
    return Images(dataset, found.embeddings, found.rows[known], labels[found.rows[known]])


def readable_images(store: Store, model: str, dataset: str) -> Images:
    """Return the pictures that could be read, without labels."""
    embeddings = store.embeddings(model, dataset)
    readable = np.ones(len(embeddings), np.bool_)
    readable[store.failures(model, dataset)["row"].to_numpy()] = False
    for _ in embeddings.blocks():  # digests are checked here, and not by several threads at once
        pass
    rows = np.flatnonzero(readable)
    return Images(dataset, embeddings, rows, np.full(len(rows), -1, np.int64))
