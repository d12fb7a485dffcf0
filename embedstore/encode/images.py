"""The pass over a data set's pictures: what is missing of it, batch by batch, block by block.

Dimensions: N samples, B rows of a block, D embedding, C classes; h, w, d of a layer's patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.datasets.readers import Reader
from embedstore.encode.device import Forward, Result
from embedstore.encode.device_decode import DeviceDecoder
from embedstore.encode.patches import PatchRun
from embedstore.encode.pool import DecodePool
from embedstore.encode.progress import Progress
from embedstore.encode.registration import Dataset
from embedstore.encode.writer import Writer
from embedstore.errors import NonFiniteError
from embedstore.heads.run import HeadWork
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun, Failure

#: One slot is with the model, one is ready, one is being decoded into.
N_SLOTS = 3


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one block that go through the model together."""

    block: int
    start: int
    stop: int
    last: bool  # of its block


@dataclass(slots=True)
class Block:
    """A block in memory, filled batch by batch."""

    start: int
    embeddings: npt.NDArray[np.float16]  # (B, D)
    native: npt.NDArray[np.float32] | None  # (B, C)
    patches: list[npt.NDArray[np.float16]]  # (B, h, w, d) of each layer
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pictures:
    """What the pass needs to know of a data set."""

    reader: Reader
    locators: pl.Series  # (N,) what the reader is given; compact, where a list of a million is not
    paths: pl.Series  # (N,) what messages name
    n_bytes: npt.NDArray[np.int64]  # (N,)

    @classmethod
    def of(cls, dataset: Dataset) -> Pictures:
        """Open those of a data set."""
        samples, source = dataset.samples, dataset.source
        n_bytes = samples["n_bytes"].to_numpy()
        return cls(source.reader(), source.locators(samples), samples["path"], n_bytes)


class ImagePass:
    """One model over one data set: all blocks that are not finished.

    Patch features, where they are asked for, fill the same blocks in the same pass. It is
    :func:`embedstore.encode.stream.stream` that runs passes.
    """

    def __init__(
        self,
        run: BlockRun,
        heads: Sequence[HeadWork],
        pictures: Pictures,
        forward: Forward,
        patches: Sequence[PatchRun] = (),
        *,
        stage: str,
        n_workers: int,
        decode: str = "cpu",
        provenance: Mapping[str, Any],
        progress: Progress,
    ) -> None:
        self.run, self.heads, self.pictures, self.forward = run, heads, pictures, forward
        self.patches, self.stage = patches, stage
        self.n_workers, self.decode = n_workers, decode
        self.provenance, self.progress = provenance, progress
        self.then: list[Callable[[], None]] = []  # what to do when all blocks are written
        self.n_rows = 0  # pictures that go through the model
        self._n_collected = 0
        self._block: Block | None = None
        self._failed: list[Failure] | None = None  # of the finished embeddings

    @property
    def plan(self) -> Plan:
        """What the pass goes by: rows of blocks and batches."""
        return self.run.plan

    def missing(self) -> list[int]:
        """Return the blocks without embeddings, patches, or what only the model's logits give."""
        blocks = set(self.run.missing()).union(*(p.run.missing() for p in self.patches))
        for head_run in self.heads:
            if head_run.head.native:
                blocks |= set(head_run.missing())
        return sorted(blocks)

    @contextmanager
    def decoder(self, batch_rows: int) -> Iterator[DecodePool | DeviceDecoder]:
        """Start what prepares pictures; it ends with the context."""
        settings = {
            "n_workers": self.n_workers,
            "n_slots": N_SLOTS,
            "batch_rows": batch_rows,
        }
        reader, transform = self.pictures.reader, self.forward.model.transform
        if self.decode == "gpu":
            with DeviceDecoder(reader, transform, self.forward.device, **settings) as decoder:
                yield decoder
            return
        with DecodePool(reader, transform, **settings) as pool:
            self.forward.pin(pool.slots)
            try:
                yield pool
            finally:
                self.forward.unpin(pool.slots)

    def batches(self, blocks: Sequence[int]) -> Iterator[Batch]:
        """Yield the batches of these blocks, in order."""
        self.n_rows = self.plan.count(blocks)
        yield from batches_of(self.plan, blocks)

    def end(self, writer: Writer) -> None:
        """Have done, after the last block, what there is to do then; all batches are collected."""
        if self._n_collected:
            self.progress.end()
        for work in self.then:
            writer.put(work)

    def collect(
        self, batch: Batch, result: Result, failures: list[Failure], writer: Writer
    ) -> None:
        """Take in what the model says of a batch, and have its block written if it was the last.

        Raises
        ------
        NonFiniteError
            If that holds NaN or infinity for a picture that could be read.
        """
        if not self._n_collected:
            n_rows = self.plan.n_rows
            self.progress.begin(self.stage, n_rows, n_rows - self.n_rows)
        self._n_collected += batch.stop - batch.start
        embeddings, native = result.arrays()
        patches, finite = result.patch_arrays()
        first, stop = self.plan.rows(batch.block)
        if self._block is None:
            self._block = _empty_block(first, stop - first, embeddings, native, patches)
        block = self._block
        rows = slice(batch.start - first, batch.stop - first)
        failed = [f.row - batch.start for f in failures]
        block.embeddings[rows] = self._checked(embeddings, batch, failed)
        if block.native is not None and native is not None:
            native[failed] = np.nan
            block.native[rows] = native
        for kept, found in zip(block.patches, patches, strict=True):
            kept[rows] = found
        if finite is not None:
            self._check_patches(finite, batch, failed)
        block.failures += failures
        read = int(self.pictures.n_bytes[batch.start : batch.stop].sum())
        self.progress.advance(batch.stop - batch.start, read)
        if batch.last:
            writer.put(partial(self._write, batch.block, block))
            self._block = None

    def _checked(
        self, embeddings: npt.NDArray[np.float32], batch: Batch, failed: list[int]
    ) -> npt.NDArray[np.float16]:
        """Return a batch's embeddings as stored; NaN where the picture failed, and nowhere else."""
        with np.errstate(over="ignore"):
            stored = embeddings.astype(np.float16)
        stored[failed] = 0
        finite = np.isfinite(stored).all(axis=1)
        if not finite.all():
            i = int(np.argmin(finite))
            path = self.pictures.paths[batch.start + i]
            what = "NaN or infinity" if not np.isfinite(embeddings[i]).all() else "more than 65,504"
            raise NonFiniteError(
                f"the model gives {what} for row {batch.start + i} ({path}); its block is not "
                "stored: check the model's weights, or try --precision float32"
            )
        stored[failed] = np.nan
        return stored

    def _check_patches(
        self, finite: npt.NDArray[np.bool_], batch: Batch, failed: list[int]
    ) -> None:
        """Refuse patches that float16 cannot hold: (B,) whether they are finite."""
        bad = [i for i in np.flatnonzero(~finite).tolist() if i not in failed]
        if bad:
            row = batch.start + bad[0]
            raise NonFiniteError(
                f"patches of row {row} ({self.pictures.paths[row]}) hold NaN, infinity or more "
                "than 65,504; their block is not stored: name another layer with --patches"
            )

    def _write(self, number: int, block: Block) -> None:
        stored = self.run.commit(
            number,
            {"embeddings": block.embeddings},
            failures=block.failures,
            provenance=self.provenance,
        )
        for head_run in self.heads:
            native = block.native if head_run.head.native else None
            head_run.commit(number, stored["embeddings"], native)
        if self.patches:
            record = self.run.block_record(number)
            assert record is not None, "it was committed just now"
            # Another worker may have read what failed here: its embeddings count, our patches not.
            failures = {f.row: f for f in block.failures}
            failures |= {f.row: f for f in (Failure(*f) for f in record["failures"])}
            self._write_patches(number, block, sorted(failures.values()))

    def _write_patches(self, number: int, block: Block, failures: Sequence[Failure]) -> None:
        for patches, values in zip(self.patches, block.patches, strict=True):
            patches.commit(number, values, failures, self.provenance)


class PatchPass(ImagePass):
    """Patches of a data set whose embeddings are finished: these stay as they are.

    Its failures stay the truth too: a picture that is NaN there is NaN here.
    """

    @property
    def plan(self) -> Plan:
        """What the pass goes by: rows of blocks and batches of its layers, which are alike."""
        return self.patches[0].run.plan

    def missing(self) -> list[int]:
        """Return the blocks without patches."""
        return sorted(set[int]().union(*(p.run.missing() for p in self.patches)))

    def _write(self, number: int, block: Block) -> None:
        start, stop = self.plan.rows(number)
        failures = {f.row: f for f in block.failures}
        failures |= {f.row: f for f in self._known() if start <= f.row < stop}
        self._write_patches(number, block, sorted(failures.values()))

    def _known(self) -> list[Failure]:
        if self._failed is None:
            self._failed = self.run.failures()
        return self._failed


def batches_of(plan: Plan, blocks: Sequence[int]) -> Iterator[Batch]:
    """Yield the batches of a run's blocks, in order."""
    for block in blocks:
        first, end = plan.rows(block)
        for start in range(first, end, plan.batch_rows):
            stop = min(start + plan.batch_rows, end)
            yield Batch(block, start, stop, last=stop == end)


def _empty_block(
    start: int,
    n_rows: int,
    embeddings: npt.NDArray[Any],
    native: npt.NDArray[Any] | None,
    patches: Sequence[npt.NDArray[Any]],
) -> Block:
    """Return a block with room for what a batch of it holds: (b, ...) -> (B, ...)."""
    return Block(
        start,
        np.empty((n_rows, *embeddings.shape[1:]), np.float16),
        None if native is None else np.empty((n_rows, *native.shape[1:]), np.float32),
        [np.empty((n_rows, *p.shape[1:]), np.float16) for p in patches],
    )
