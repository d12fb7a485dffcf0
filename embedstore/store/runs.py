"""Block runs: arrays filled block by block, by workers that may die, race or come back.

A run is planned once. A block counts when its record is there; the run when its manifest is. Every
shard is created only if absent, and who finds one adopts its bytes, so that whatever is computed
from a block is computed from the bytes that the store holds.

Dimensions: N rows of the run, B rows of a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DamagedError, IdentityError
from embedstore.schema import FAILURES
from embedstore.store.arrays import StoredArray
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import (
    FileEntry,
    Manifest,
    read_entries,
    read_manifest,
    write_manifest,
)
from embedstore.store.plans import PLAN, Plan, differences
from embedstore.store.records import Record, read_record, write_record
from embedstore.store.shards import ShardedArray, pack, unpack, zarr_json
from embedstore.store.tables import from_parquet, table, to_parquet

FAILURES_TABLE = "failures.parquet"
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, order=True)
class Failure:
    """A picture that could not be used."""

    row: int
    stage: str  # read, decode, transform
    reason: str


class BlockRun:
    """One folder of arrays under way: images, text embeddings or logits."""

    def __init__(self, files: LocalFiles, folder: str, plan: Plan) -> None:
        self.files, self.folder, self.plan = files, folder, plan

    @classmethod
    def planned(cls, files: LocalFiles, folder: str) -> BlockRun | None:
        """Return the run that was planned in `folder`, or None."""
        key = f"{folder}/{PLAN}"
        try:
            return cls(files, folder, Plan.from_record(read_record(files.read(key), key)))
        except FileNotFoundError:
            return None

    @classmethod
    def start(cls, files: LocalFiles, folder: str, plan: Plan) -> BlockRun:
        """Plan the run, or take over the plan that is there.

        Raises
        ------
        IdentityError
            If the plan that is there was made for other inputs, rows or precision.
        """
        files.create(f"{folder}/{PLAN}", write_record(plan.record()))
        run = cls.planned(files, folder)
        assert run is not None
        for name, wanted, found in differences(plan, run.plan):
            raise IdentityError(
                f"{folder} was begun with another {name} ({found}, now {wanted}); remove it first "
                "with: embedstore rm, or choose another name"
            )
        for array in run.plan.arrays:
            files.create(f"{folder}/{array.name}/zarr.json", zarr_json(array))
        return run

    @property
    def manifest(self) -> Manifest | None:
        """The run's manifest once it is finished."""
        return read_manifest(self.files, self.folder)

    @property
    def state(self) -> str:
        """`finished`, or how many blocks are."""
        if self.manifest is not None:
            return "finished"
        return f"{self.plan.n_blocks - len(self.missing())} of {self.plan.n_blocks} blocks"

    def missing(self) -> list[int]:
        """Return the blocks that have no record yet, in order."""
        done = set(self.files.names(f"{self.folder}/blocks"))
        return [b for b in range(self.plan.n_blocks) if _record_name(b) not in done]

    def block_record(self, block: int) -> Record | None:
        """Return the block's record, or None where it is not finished."""
        key = f"{self.folder}/blocks/{_record_name(block)}"
        try:
            return read_record(self.files.read(key), key)
        except FileNotFoundError:
            return None

    def commit(
        self,
        block: int,
        arrays: Mapping[str, npt.NDArray[Any]],
        *,
        tables: Mapping[str, bytes] | None = None,
        failures: Sequence[Failure] = (),
        provenance: Mapping[str, Any] | None = None,
    ) -> Arrays:
        """Write the block's shards, then its record; return its arrays as the store holds them.

        Parameters
        ----------
        block
            Which block.
        arrays
            For each array of the plan its rows of this block, in the array's type: (B, ...).
        tables
            Parquet tables that belong to the block, by name; kept among the blocks' records.
        failures
            Pictures of the block whose rows are NaN.
        provenance
            How this worker computed the block: versions, device.
        """
        entries: dict[str, FileEntry] = {}
        stored: Arrays = {}
        for array in self.plan.arrays:
            stored[array.name] = self._commit_array(block, array, arrays[array.name], entries)
        for name, data in (tables or {}).items():
            key = _table_name(block, name)
            entries[key] = FileEntry.of(self.held_table(block, name, data))
        record = {
            "block": block,
            "rows": list(self.plan.rows(block)),
            "files": {key: entry.record() for key, entry in entries.items()},
            "failures": [[f.row, f.stage, f.reason] for f in self._agreed(block, stored, failures)],
            "provenance": dict(provenance or {}),
        }
        self.files.create(f"{self.folder}/blocks/{_record_name(block)}", write_record(record))
        found = self.block_record(block)
        if found is None or read_entries(found) != entries:
            raise DamagedError(
                f"block {block} of {self.folder} is not what its record says; mend it with: "
                "embedstore verify --repair, then encode again"
            )
        return stored

    def read(self, block: int, name: str) -> npt.NDArray[Any]:
        """Return a finished block's rows of one array, its digests checked: (B, ...)."""
        record = self.block_record(block)
        entries = read_entries(record) if record else {}
        array = next(a for a in self.plan.arrays if a.name == name)
        start, stop = self.plan.rows(block)
        return StoredArray(self.files, self.folder, array, entries)[start:stop]

    def held_table(self, block: int, name: str, data: bytes) -> bytes:
        """Write a block's table unless one is there; return the bytes that the store holds."""
        key = f"{self.folder}/{_table_name(block, name)}"
        return data if self.files.create(key, data) else self.files.read(key)

    def has_table(self, block: int, name: str) -> bool:
        """Whether a finished block has a table of that name."""
        record = self.block_record(block)
        return record is not None and _table_name(block, name) in read_entries(record)

    def read_table(self, block: int, name: str) -> bytes:
        """Return a finished block's table, its digest checked."""
        record = self.block_record(block)
        key = _table_name(block, name)
        try:
            data = self.files.read(f"{self.folder}/{key}")
        except FileNotFoundError:
            data = b""  # of no table
        if record is None or read_entries(record).get(key) != FileEntry.of(data):
            again = "import the pairs" if self.plan.kind == "pairs" else "encode"
            raise DamagedError(
                f"{self.folder}/{key} is missing or damaged; mend it with: embedstore verify "
                f"--repair, then {again} again"
            )
        return data

    def failures(self) -> list[Failure]:
        """Return the failures of all finished blocks, by row."""
        records = (self.block_record(b) for b in range(self.plan.n_blocks))
        return sorted(Failure(*f) for record in records if record for f in record["failures"])

    def finish(self, facts: Mapping[str, Any] | None = None) -> Manifest:
        """Write the manifest over all blocks: from now on the run exists for readers.

        Raises
        ------
        DamagedError
            If a shard that a block's record names is not there.
        """
        finished = self.manifest
        if finished is not None:
            return finished
        contents: dict[str, FileEntry] = {}
        failures: list[list[Any]] = []
        for block in range(self.plan.n_blocks):
            record = self.block_record(block)
            assert record is not None, "finish() is called when no block is missing"
            entries = read_entries(record)
            self._check_present(entries)
            contents |= entries
            failures += record["failures"]
            name = f"blocks/{_record_name(block)}"
            contents[name] = FileEntry.of(self.files.read(f"{self.folder}/{name}"))
        for name in [PLAN, *(f"{a.name}/zarr.json" for a in self.plan.arrays)]:
            contents[name] = FileEntry.of(self.files.read(f"{self.folder}/{name}"))
        if self.plan.kind == "images":
            table_ = failures_table([Failure(*f) for f in failures])
            contents[FAILURES_TABLE] = self._write_failures(table_)
        counts = {"n_rows": self.plan.n_rows, "n_failures": len(failures)}
        manifest = Manifest(self.plan.kind, contents, {**counts, **(facts or {})})
        return write_manifest(self.files, self.folder, manifest)

    def _check_present(self, entries: Mapping[str, FileEntry]) -> None:
        for name, entry in entries.items():
            key = f"{self.folder}/{name}"
            if not self.files.exists(key) or self.files.size(key) != entry.n_bytes:
                raise DamagedError(
                    f"{key} is missing or cut short; mend it with: embedstore verify --repair, "
                    "then encode again"
                )

    def _write_failures(self, failures: pl.DataFrame) -> FileEntry:
        """Write the table, or adopt one of the same rows that another version of Polars wrote."""
        key, data = f"{self.folder}/{FAILURES_TABLE}", to_parquet(failures)
        if not self.files.create(key, data):
            found = self.files.read(key)
            try:
                same = from_parquet(found).equals(failures)
            except pl.exceptions.PolarsError:
                same = False
            if same:
                data = found
            else:
                self.files.replace(key, data)
        return FileEntry.of(data)

    def _commit_array(
        self, block: int, array: ShardedArray, rows: npt.NDArray[Any], entries: dict[str, FileEntry]
    ) -> npt.NDArray[Any]:
        start, stop = self.plan.rows(block)
        parts = []
        for shard in range(start // array.shard_rows, -(-stop // array.shard_rows)):
            first, last = array.rows(shard)
            key = array.key(shard)
            data: Any = pack(array, rows[first - start : last - start])
            if not self.files.create(f"{self.folder}/{key}", data):
                data = self.files.read(f"{self.folder}/{key}")
            parts.append(unpack(array, shard, data, f"{self.folder}/{key}"))
            entries[key] = FileEntry.of(data)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _agreed(self, block: int, stored: Arrays, failures: Sequence[Failure]) -> list[Failure]:
        """Bring the failures in line with bytes adopted from a worker that met other ones."""
        if self.plan.kind not in ("images", "patches"):
            return sorted(failures)
        start = self.plan.rows(block)[0]
        embeddings = stored[self.plan.arrays[0].name]
        missing = np.isnan(embeddings.reshape(len(embeddings), -1)[:, 0])
        mine = {f.row: f for f in failures}
        unknown = "failed for another worker"
        rows = (start + int(i) for i in np.flatnonzero(missing))
        return [mine.get(row, Failure(row, "decode", unknown)) for row in rows]


def clear_blocks(files: LocalFiles, folder: str) -> None:
    """Remove plan and blocks of a run without arrays, once its tables are committed as one."""
    if files.path(f"{folder}/blocks").is_dir():
        with suppress(FileNotFoundError):  # another worker was quicker
            files.delete_folder(f"{folder}/blocks")
    files.delete(f"{folder}/{PLAN}")


def _record_name(block: int) -> str:
    return f"{block:06d}.json"


def _table_name(block: int, name: str) -> str:
    return f"blocks/{block:06d}.{name}.parquet"


def failures_table(failures: Sequence[Failure]) -> pl.DataFrame:
    """Return failures as a table, columns of `schema.FAILURES`."""
    return table(FAILURES, {name: [getattr(f, name) for f in failures] for name in FAILURES})
