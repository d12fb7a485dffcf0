"""Embeddings and logits: equal by their digests, or else compared block by block.

Dimensions: K samples that both stores hold, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from embedstore.differences.datasets import DatasetDifference
from embedstore.differences.pair import Pair
from embedstore.store import Store
from embedstore.store.manifest import Manifest, read_manifest
from embedstore.store.records import digest_of_record

F64 = npt.NDArray[np.float64]
#: `unknown`: not held by both, or laid out in other shards, so that digests tell nothing.
State = Literal["same", "other", "unknown"]
_BLOCK_VALUES = 2**22  # of an array that are held at once: 32 MiB in float64


class Rows(Protocol):
    """An array of which rows can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        ...

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        """Read rows."""
        ...


@dataclass(frozen=True, slots=True)
class Digests:
    """What the manifests say of an array."""

    state: State
    digests: tuple[str | None, str | None] = (None, None)


@dataclass(slots=True)
class Gap:
    """How far two arrays are apart, summed up block by block."""

    largest: float = 0.0  # absolute difference
    distance: float = 0.0  # largest cosine distance of two rows
    n_lone: int = 0  # rows that are NaN in one store alone
    untouched: float = field(default=0.0)  # the largest difference where the data sets agree

    def add(self, a: F64, b: F64, touched: npt.NDArray[np.bool_]) -> None:
        """Take in a block: (B, D), (B, D), (B,)."""
        missing = np.isnan(a).any(axis=1), np.isnan(b).any(axis=1)
        self.n_lone += int((missing[0] != missing[1]).sum())
        there = ~(missing[0] | missing[1])
        a, b, touched = a[there], b[there], touched[there]
        if not len(a):
            return
        apart = np.abs(a - b).max(axis=1)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosine = np.divide((a * b).sum(axis=1), lengths, where=lengths > 0, out=np.ones(len(a)))
        moved = np.where(apart > 0, 1 - cosine, 0.0)  # rounding is no distance
        self.largest = max(self.largest, float(apart.max()))
        self.distance = max(self.distance, float(moved.max()))
        self.untouched = max(self.untouched, float(apart[~touched].max(initial=0.0)))


def compare_digests(pair: Pair, folder: str, names: Sequence[str], *, aligned: bool) -> Digests:
    """Compare arrays by what their manifests say; no row is read.

    Parameters
    ----------
    pair, folder, names
        Arrays of a committed folder.
    aligned
        Whether row i is the same sample in both.
    """
    shards, layouts = [], []
    for manifest in pair.both(_manifest, folder):
        if manifest is None:
            return Digests("unknown")
        files = {k: e.sha256 for k, e in manifest.files.items() if k.split("/")[0] in names}
        layouts.append({k: v for k, v in files.items() if k.endswith("zarr.json")})
        shards.append({k: v for k, v in files.items() if k not in layouts[-1]})
    digests = digest_of_record(shards[0]), digest_of_record(shards[1])
    if not aligned or layouts[0] != layouts[1]:
        return Digests("unknown", digests)
    return Digests("same" if shards[0] == shards[1] else "other", digests)


def _manifest(store: Store, folder: str) -> Manifest | None:
    return read_manifest(store.files, folder)


def compare_values(pair_of: tuple[Rows, Rows], dataset: DatasetDifference) -> Gap | None:
    """Compare arrays of equal columns sample by sample, in flat memory; None of unequal ones."""
    a, b = pair_of
    if a.shape[1:] != b.shape[1:]:
        return None
    gap = Gap()
    rows_a, rows_b = dataset.rows
    step = max(1, _BLOCK_VALUES // max(1, a.shape[1]))
    for start in range(0, len(rows_a), step):
        block = slice(start, start + step)
        values = (array[rows[block]] for array, rows in ((a, rows_a), (b, rows_b)))
        ours, theirs = (np.asarray(part, np.float64) for part in values)
        gap.add(ours, theirs, dataset.touched[block])
    return gap
