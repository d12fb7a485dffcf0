"""What heads are fitted on: the labelled samples of a data set and their stored embeddings.

Dimensions: N samples of the data set, n of them that may be fitted on, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DatasetError, NonFiniteError
from embedstore.heads.splits import fraction_of
from embedstore.kernels.half import widen
from embedstore.store import Store
from embedstore.store.arrays import StoredArray
from embedstore.store.datasets import DatasetRecord

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Training:
    """Samples that have a label, and a picture that could be read."""

    store: Store
    model: str
    dataset: DatasetRecord
    samples: pl.DataFrame  # n rows: row, sample_id, label, digest
    embeddings: StoredArray  # (N, D) float16

    def __len__(self) -> int:
        return self.samples.height

    @property
    def ids(self) -> list[str]:
        """(n,) sample ids."""
        return self.samples["sample_id"].to_list()

    @property
    def labels(self) -> I64:
        """(n,) indices into the data set's classes."""
        return self.samples["label"].to_numpy().astype(np.int64)

    @property
    def dim(self) -> int:
        """D."""
        return self.embeddings.shape[1]

    def part(self, fraction: float, seed: int) -> Training:
        """Return about that fraction of the samples, chosen by a hash of their ids.

        Raises
        ------
        DatasetError
            If none is left.
        """
        if fraction >= 1:
            return self
        chosen = self.samples[fraction_of(self.ids, fraction, seed)]
        if chosen.is_empty():
            raise DatasetError(
                f"a fraction of {fraction} of data set {self.dataset.name!r} holds no sample; ask "
                "for more: --fraction 0.5"
            )
        return replace(self, samples=chosen)

    def blocks(self, chosen: I64) -> Iterator[tuple[I64, F32]]:
        """Yield samples of `chosen`, ascending, and their embeddings, a shard at a time.

        Raises
        ------
        NonFiniteError
            If an embedding holds NaN or infinity, though its picture could be read.
        """
        rows, start = self.samples["row"].to_numpy()[chosen], 0
        for block in self.embeddings.blocks():
            first, last = np.searchsorted(rows, [start, start + len(block)])
            if last > first:
                x = widen(block[rows[first:last] - start].view(np.uint16))
                bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
                if bad.size:
                    raise NonFiniteError(
                        f"the embedding of row {rows[first:last][bad[0]]} of "
                        f"{self.dataset.name!r} holds NaN or infinity; encode {self.model!r} anew "
                        "in another precision"
                    )
                yield chosen[first:last], x
            start += len(block)

    def matrix(self, chosen: I64) -> F32:
        """Return the embeddings of `chosen`, ascending, in memory: (k, D) float32."""
        out, start = np.empty((len(chosen), self.dim), np.float32), 0
        for _, x in self.blocks(chosen):
            out[start : start + len(x)] = x
            start += len(x)
        return out

    def fitted(self, used: I64) -> pl.DataFrame:
        """Return what a head must remember of the samples that had a say in it."""
        fingerprint = pl.lit(self.dataset.fingerprint).alias("fingerprint")
        return self.samples[used].select(fingerprint, "row", "digest")


def checked(
    embeddings: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], n_classes: int
) -> tuple[F32, I64]:
    """Return what a head can be fitted on: (n, D), (n,) -> the same in float32 and int64.

    Raises
    ------
    DatasetError
        If shapes do not fit, or a label is none of the classes.
    NonFiniteError
        If an embedding holds NaN or infinity.
    """
    x, y = np.asarray(embeddings, np.float32), np.asarray(labels, np.int64)
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
        raise DatasetError(
            f"embeddings of shape {x.shape} and labels of shape {y.shape} do not fit; give (n, D) "
            "and (n,)"
        )
    wrong = np.flatnonzero((y < 0) | (y >= n_classes))
    if wrong.size:
        raise DatasetError(
            f"label {y[wrong[0]]} of row {wrong[0]} is not a class; give 0 to {n_classes - 1}, and "
            "leave out samples without a label"
        )
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise NonFiniteError(
            f"the embedding of row {bad[0]} holds NaN or infinity; leave out failed pictures"
        )
    return x, y


def training(store: Store, model: str, dataset: str) -> Training:
    """Return what a head of the model can be fitted on.

    Raises
    ------
    UnknownNameError
        If the store lacks the model or the data set, or the model has not encoded it.
    DatasetError
        If no sample has both a label and an embedding.
    """
    record = store.dataset(dataset)
    embeddings = store.embeddings(model, dataset)
    failed = np.concatenate([np.isnan(block[:, 0]) for block in embeddings.blocks()])
    samples = store.samples(dataset).select("sample_id", "label", "digest").with_row_index("row")
    samples = samples.filter(pl.col("label").is_not_null() & ~pl.Series(failed))
    if samples.is_empty():
        raise DatasetError(
            f"data set {dataset!r} has no picture with a label; fit on one that has classes, such "
            "as a folder a class"
        )
    samples = samples.with_columns(pl.col("row").cast(pl.Int64))
    return Training(store, model, record, samples, embeddings)
