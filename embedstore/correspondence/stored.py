"""Sets of pairs in a store, below their data set: `datasets/DATASET/pairs/NAME`.

A block run without arrays, one Parquet table a block, so that nothing that grows with the pairs is
ever held whole. It knows pairs, not where they are from.

Dimensions: P pairs, B pairs of a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from embedstore.correspondence.pairs import Pair, Truth
from embedstore.correspondence.rows import from_table, to_table
from embedstore.errors import DatasetError, IdentityError, StoreError, UnknownNameError
from embedstore.store import Store, layout
from embedstore.store.names import checked_name
from embedstore.store.pair_sets import finished_sets
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun
from embedstore.store.tables import from_parquet, to_parquet

#: Pairs of a block at most, and bytes of their grids: two blocks may be in memory.
BLOCK_PAIRS = 64
BLOCK_BYTES = 64 * 2**20
TABLE = "pairs"


@dataclass(frozen=True, slots=True)
class PairSet:
    """A data set's pairs, read block by block."""

    dataset: str
    name: str
    truth: Truth
    n_pairs: int  # P
    facts: Mapping[str, Any]  # preset, stride, n_excluded by reason, conventions
    _run: BlockRun = field(repr=False, compare=False)

    def blocks(self) -> Iterator[list[Pair]]:
        """Yield the pairs in their order, B at a time.

        Raises
        ------
        DamagedError
            If a table is missing, or is not the one that was committed.
        """
        for block in range(self._run.plan.n_blocks):
            yield from_table(from_parquet(self._run.read_table(block, TABLE)))


def save_pairs(
    store: Store,
    dataset: str,
    name: str,
    truth: Truth,
    pairs: Iterable[Pair],
    n_pairs: int,
    facts: Mapping[str, Any],
) -> None:
    """Commit a set of pairs, or find it committed with the same ones.

    Parameters
    ----------
    store, dataset, name
        Where they belong.
    truth
        What says which points belong together, of all pairs.
    pairs
        P pairs, taken one after the other; sample indices are rows of the data set.
    n_pairs
        P
    facts
        What else a reader should know: preset, counts of excluded pairs, conventions.

    Raises
    ------
    DatasetError
        If there are not P pairs.
    IdentityError
        If the store has other pairs of that name.
    """
    checked_name("set of pairs", name)
    inputs = {"fingerprint": store.dataset(dataset).fingerprint, "truth": truth}
    rest = iter(pairs)
    ahead = list(islice(rest, 1))
    block_rows = _block_rows(ahead)
    plan = Plan("pairs", n_pairs, block_rows, block_rows, "float32", inputs)
    run = BlockRun.start(store.files, layout.pairs(dataset, name), plan)
    rest, missing = chain(ahead, rest), set(run.missing())
    for block in range(run.plan.n_blocks):
        start, stop = run.plan.rows(block)
        _save_block(run, block, list(islice(rest, stop - start)), is_missing=block in missing)
    if next(rest, None) is not None:
        raise _changed(run)
    run.finish({**inputs, **facts})


def _block_rows(first: list[Pair]) -> int:
    """Return how many pairs like the first make a block."""
    grids = (view.grid for pair in first for view in (pair.first, pair.second))
    n_bytes = sum(grid.nbytes for grid in grids if grid is not None)
    return max(1, min(BLOCK_PAIRS, BLOCK_BYTES // max(1, n_bytes)))


def _save_block(run: BlockRun, block: int, pairs: list[Pair], *, is_missing: bool) -> None:
    """Write a block, or compare it with what is there."""
    start, stop = run.plan.rows(block)
    if len(pairs) != stop - start:
        raise _changed(run)
    table = to_table(pairs)
    if is_missing:
        run.commit(block, {}, tables={TABLE: to_parquet(table)})
    if not from_parquet(run.read_table(block, TABLE)).equals(table):
        _, dataset, _, name = run.folder.split("/")
        raise IdentityError(
            f"data set {dataset!r} has other pairs named {name!r} in the store; remove them first: "
            f"embedstore rm {run.files.root} --data {dataset} --pairs {name}, or give these "
            "another --name"
        )


def _changed(run: BlockRun) -> DatasetError:
    return DatasetError(
        f"there are not {run.plan.n_rows:,} pairs for {run.folder}, as there were at first; leave "
        "their files alone and import them again"
    )


def pair_sets(store: Store, dataset: str) -> list[str]:
    """Return the names of a data set's sets of pairs."""
    return finished_sets(store.files, dataset)


def load_pairs(store: Store, dataset: str, name: str) -> PairSet:
    """Return a set of pairs; none of them is read yet.

    Raises
    ------
    UnknownNameError
        If the store does not have it.
    StoreError
        If it is not finished.
    IdentityError
        If it was made for other pictures than the data set's.
    """
    record, folder = store.dataset(dataset), layout.pairs(dataset, name)
    run = BlockRun.planned(store.files, folder)
    manifest = run.manifest if run else None
    if run is not None and manifest is None:
        raise StoreError(
            f"pairs {name!r} of data set {dataset!r} are not finished; run the same embedstore "
            "import pairs command again"
        )
    if run is None or manifest is None:
        known = pair_sets(store, dataset)
        raise UnknownNameError(f"set of pairs of data set {dataset!r}", name, known)
    facts = dict(manifest.facts)
    if facts["fingerprint"] != record.fingerprint:
        raise IdentityError(
            f"pairs {name!r} are of another data set than {dataset!r} is now; remove them "
            f"(embedstore rm {store.files.root} --data {dataset} --pairs {name}), and import again"
        )
    return PairSet(dataset, name, facts["truth"], facts["n_rows"], facts, run)


__all__ = ["PairSet", "load_pairs", "pair_sets", "save_pairs"]
