"""Plans: what a block run fixes before its first block, so that resuming changes no bit.

Dimensions: N rows of the run, B rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from embedstore.store.records import Record
from embedstore.store.shards import ShardedArray, from_metadata, metadata

PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fixed before the first block: a resumed run takes it over."""

    kind: str  # images, patches, text-embeddings, logits, outcomes, answers, pairs
    n_rows: int  # N
    block_rows: int  # B
    batch_rows: int  # rows that go through the model at once; batches never cross blocks
    precision: str
    inputs: Mapping[str, str]  # digests of what the run is computed from
    arrays: tuple[ShardedArray, ...] = field(default=())

    @property
    def n_blocks(self) -> int:
        """Blocks of the run."""
        return -(-self.n_rows // self.block_rows)

    def rows(self, block: int) -> tuple[int, int]:
        """Return the block's first row and the row after its last."""
        return block * self.block_rows, min((block + 1) * self.block_rows, self.n_rows)

    def count(self, blocks: Iterable[int]) -> int:
        """Return the rows of some blocks together."""
        return sum(stop - start for start, stop in map(self.rows, blocks))

    def record(self) -> Record:
        """Return the plan as JSON values."""
        return {
            "kind": self.kind,
            "n_rows": self.n_rows,
            "block_rows": self.block_rows,
            "batch_rows": self.batch_rows,
            "precision": self.precision,
            "inputs": dict(self.inputs),
            "arrays": {a.name: metadata(a) for a in self.arrays},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Plan:
        """Read back what :meth:`record` wrote."""
        arrays = tuple(from_metadata(name, a) for name, a in record["arrays"].items())
        plain = {k: v for k, v in record.items() if k != "arrays"}
        return cls(**plain, arrays=arrays)


def differences(wanted: Plan, found: Plan) -> list[tuple[str, object, object]]:
    """Name what must agree and does not; block and batch rows are the first plan's to choose."""
    pairs: list[tuple[str, object, object]] = [
        ("count of rows", wanted.n_rows, found.n_rows),
        ("precision", wanted.precision, found.precision),
    ]
    names = sorted({*wanted.inputs, *found.inputs})
    pairs += [(n, wanted.inputs.get(n), found.inputs.get(n)) for n in names]
    shapes = [{a.name: (a.shape[1:], str(a.dtype)) for a in p.arrays} for p in (wanted, found)]
    pairs.append(("shape", shapes[0], shapes[1]))
    return [(name, a, b) for name, a, b in pairs if a != b]
