"""Pictures of several tar shards in one order, with ids that are unique over all of them.

Nothing here is a Python object a picture: rows are numbers, keys are read from the shards' indexes
a slice at a time. Dimensions: N pictures of all shards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from embedstore.datasets.columns import SLICE, Column
from embedstore.datasets.tar_index import TarIndex
from embedstore.errors import DatasetError

T = TypeVar("T")
I64 = npt.NDArray[np.int64]

#: Bytes of a key that are sorted in one array; equal beginnings are told apart afterwards.
SORTED_BYTES = 48


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar."""

    name: str  # below the folder of all
    changed: int  # ns
    index: TarIndex


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of shards, in an order."""

    shards: Sequence[Shard]
    rows: I64  # (N,) row in the order of the shards one after the other
    firsts: I64  # (shards + 1,) first row of each
    whole: frozenset[bytes] = frozenset()  # keys whose ids keep their endings

    def column(self, of: Callable[[Shard, int], T]) -> Column[T]:
        """Return the column of a value of each picture, by its shard and row there."""
        return Column(len(self.rows), lambda part: [of(*place) for place in self.places(part)])

    def places(self, part: slice = slice(None)) -> Iterator[tuple[Shard, int]]:
        """Yield shard and row there of consecutive pictures."""
        for start in range(0, len(self.rows[part]), SLICE):
            rows = self.rows[part][start : start + SLICE]
            numbers = np.searchsorted(self.firsts, rows, "right") - 1
            local = rows - self.firsts[numbers]
            for number, row in zip(numbers.tolist(), local.tolist(), strict=True):
                yield self.shards[number], row

    def keys(self) -> Column[bytes]:
        """Return the keys: paths with NUL for `/`."""
        return self.column(lambda shard, row: shard.index.key(row))

    def sample_ids(self) -> Column[str]:
        """Return paths without their endings; where two would be equal, both keep theirs."""

        def sample_id(shard: Shard, row: int) -> str:
            key = shard.index.key(row)
            return spoken(key if key in self.whole else stem(key))

        return self.column(sample_id)


def in_order(shards: Sequence[Shard]) -> Pictures:
    """Return all pictures of the shards in the order of their paths, part by part.

    Raises
    ------
    DatasetError
        If one sample is in two shards, or twice in one.
    """
    counts = [len(shard.index.ends) for shard in shards]
    firsts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    pictures = Pictures(shards, _order(shards, firsts), firsts)
    return replace(pictures, whole=_kept_whole(pictures))


def stem(key: bytes) -> bytes:
    """Return a key without its ending."""
    return key[: key.rindex(b".")]


def spoken(key: bytes) -> str:
    """Return the path of a key."""
    return key.decode().replace("\0", "/")


def _order(shards: Sequence[Shard], firsts: I64) -> I64:
    """Return the rows sorted by their keys: (N,)."""
    longest = max(int(np.diff(s.index.ends, prepend=0).max(initial=1)) for s in shards)
    width = min(longest, SORTED_BYTES)
    beginnings = np.empty(firsts[-1], f"S{width}")
    for shard, first in zip(shards, firsts.tolist(), strict=False):
        n_keys = len(shard.index.ends)
        for start in range(0, n_keys, SLICE):
            rows = range(start, min(start + SLICE, n_keys))
            keys = [shard.index.key(row)[:width] for row in rows]
            beginnings[first + start : first + rows.stop] = keys
    order: I64 = np.argsort(beginnings)
    if longest > width:
        _sort_ties(order, beginnings, Pictures(shards, np.arange(firsts[-1]), firsts).keys())
    return order


def _sort_ties(order: I64, beginnings: npt.NDArray[np.bytes_], keys: Column[bytes]) -> None:
    """Sort, in place, runs of rows whose keys begin alike by their whole keys."""
    equal = np.empty(len(order) + 1, bool)
    equal[[0, -1]] = False
    for start in range(1, len(order), SLICE):
        rows = order[start - 1 : start + SLICE]
        equal[start : start + len(rows) - 1] = beginnings[rows[1:]] == beginnings[rows[:-1]]
    starts = np.flatnonzero(equal[1:] & ~equal[:-1])
    for first in starts.tolist():
        stop = first + 1 + int(np.argmin(equal[first + 1 :]))
        run = order[first:stop].tolist()
        order[first:stop] = sorted(run, key=lambda row: keys[row])


def _kept_whole(pictures: Pictures) -> frozenset[bytes]:
    """Return the keys whose stem is another's too, or another's whole key.

    All keys between two of the same stem begin with it, so that neighbours give each case away.
    """
    whole: set[bytes] = set()
    group: list[tuple[bytes, str]] = []
    common = b"\0"  # what all keys of a group begin with
    for shard, row in pictures.places():
        key = shard.index.key(row)
        if not key.startswith(common):
            if len(group) > 1:
                whole |= _whole_of(group)
            group, common = [], stem(key) + b"."
        group.append((key, shard.name))
    return frozenset(whole | _whole_of(group))


def _whole_of(group: list[tuple[bytes, str]]) -> set[bytes]:
    counts = Counter(stem(key) for key, _ in group)
    by_stem: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
    for key, shard in group:
        by_stem[stem(key)].append((key, shard))
    for found in by_stem.values():
        keys, shards = {key for key, _ in found}, {shard for _, shard in found}
        if len(keys) < len(found) or len(shards) > 1:
            raise DatasetError(
                f"sample {spoken(stem(found[0][0]))!r} is more than once in "
                f"{' and '.join(sorted(shards))}; pack it once, or under another name"
            )
    counts.update(key for key, _ in group)
    return {key for key, _ in group if counts[stem(key)] > 1}
