"""Data sets that both stores hold: which samples correspond, and what differs of them.

Dimensions: N samples of a store, K samples that both hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.differences.annotations import compare_annotations, compare_captions
from embedstore.differences.causes import (
    ALL,
    BY_LABELS,
    BY_SAMPLES,
    BY_SPACE,
    Cause,
    Level,
    Quantity,
)
from embedstore.differences.findings import ONLY, Finding, counted, some, unlike
from embedstore.differences.pair import Pair
from embedstore.differences.pair_sets import compare_pairs
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord

I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DatasetDifference:
    """What differs of a data set, and how its samples correspond."""

    name: str
    rows: tuple[I64, I64]  # (K,) of A and of B: the samples that both hold, by id
    touched: Bool  # (K,) whose label or picture differs
    causes: tuple[Cause, ...]
    beside: Mapping[str, Cause]  # annotations, captions, pairs that differ, by name
    same_classes: bool
    aligned: bool  # whether row i of one is row i of the other, and none is left over


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing that makes fingerprints differ."""

    text: str
    moves: frozenset[Quantity]
    finding: Finding


@dataclass(frozen=True, slots=True)
class _Matched:
    """A data set in both stores."""

    records: tuple[DatasetRecord, DatasetRecord]
    samples: tuple[pl.DataFrame, pl.DataFrame]  # N rows each
    rows: tuple[I64, I64]  # (K,) each

    def shared(self, column: str) -> list[pl.Series]:
        """Return a column of each, of the samples that both hold: (K,)."""
        sides = zip(self.samples, self.rows, strict=True)
        return [samples[column].gather(rows) for samples, rows in sides]

    def labels(self) -> list[pl.Series]:
        """Return the class ids of the labels of each: (K,)."""
        ids = (pl.Series(record.class_ids, dtype=pl.String) for record in self.records)
        return [own.gather(column) for own, column in zip(ids, self.shared("label"), strict=True)]


def compare_dataset(pair: Pair, name: str) -> tuple[DatasetDifference, list[Finding]]:
    """Compare a data set that both hold."""
    records, samples = pair.both(Store.dataset, name), pair.both(Store.samples, name)
    both = _Matched(records, samples, _rows(*samples))
    touched = np.zeros(len(both.rows[0]), bool)
    findings, causes = list(_facts(*records)), []
    if records[0].fingerprint != records[1].fingerprint:
        labels, pictures = _relabelled(both), _repictured(both)
        touched = labels | pictures
        parts = [*_lone_samples(both), *_touched(both, labels, pictures), *_classes(both)]
        findings = [_fingerprint(both, parts), *(part.finding for part in parts), *findings]
        if parts:
            reason = f"data set fingerprint differs: {', '.join(part.text for part in parts)}"
            moves = frozenset[Quantity]().union(*(part.moves for part in parts))
            causes.append(Cause(Level.DATASET, name, reason, moves))
    beside, said = compare_annotations(name, samples, both.rows)
    captions, in_texts = compare_captions(pair, *records)
    pairs, in_pairs = compare_pairs(pair, name)
    difference = DatasetDifference(
        name,
        both.rows,
        touched,
        tuple(causes),
        {**beside, **captions, **pairs},
        same_classes=records[0].class_ids == records[1].class_ids,
        aligned=samples[0]["sample_id"].equals(samples[1]["sample_id"]),
    )
    return difference, [*findings, *said, *in_texts, *in_pairs]


def _rows(a: pl.DataFrame, b: pl.DataFrame) -> tuple[I64, I64]:
    """Return the rows of the samples that both hold, in A's order: (K,), (K,)."""
    numbered = [f.select("sample_id", pl.int_range(pl.len()).alias("row")) for f in (a, b)]
    found = numbered[0].join(numbered[1], on="sample_id", suffix="_b", maintain_order="left")
    return found["row"].to_numpy(), found["row_b"].to_numpy()


def _relabelled(both: _Matched) -> Bool:
    ours, theirs = both.labels()
    return ours.ne_missing(theirs).to_numpy()


def _repictured(both: _Matched) -> Bool:
    """Return which pictures differ: (K,); imported samples have no digest, and are not compared."""
    ours, theirs = both.shared("digest")
    return ((ours != theirs) & (ours != "") & (theirs != "")).to_numpy()


def _fingerprint(both: _Matched, parts: list[_Part]) -> Finding:
    moved = int((both.rows[0] != both.rows[1]).sum())
    because = ", ".join(part.text for part in parts)
    if not because and moved:
        because = f"the order alone: {counted(moved, 'sample')} in other rows"
    because = because or "one store does not know its pictures"
    a, b = both.records
    return Finding.of("dataset", a.name, "fingerprint", a.fingerprint, b.fingerprint, None, because)


def _lone_samples(both: _Matched) -> Iterator[_Part]:
    name = both.records[0].name
    for kind, samples, rows in zip(ONLY, both.samples, both.rows, strict=True):
        lone = samples["sample_id"].gather(np.setdiff1d(np.arange(samples.height), rows)).to_list()
        if lone:
            what = counted(len(lone), "sample")
            yield _Part(f"{what} {kind}", BY_SAMPLES, Finding(kind, name, what, because=some(lone)))


def _touched(both: _Matched, labels: Bool, pictures: Bool) -> Iterator[_Part]:
    parts = (("label", labels, BY_LABELS), ("picture", pictures, ALL))
    for what, differs, moves in parts:
        if not differs.any():
            continue
        values = both.labels() if what == "label" else both.shared("digest")
        first, count = int(np.argmax(differs)), int(differs.sum())
        ids = both.shared("sample_id")[0].filter(pl.Series(differs)).to_list()
        a, b = (series[first] for series in values)
        because = f"at {some(ids)}"
        finding = Finding.of("dataset", both.records[0].name, what, a, b, float(count), because)
        yield _Part(counted(count, what), moves, finding)


def _classes(both: _Matched) -> Iterator[_Part]:
    a, b = both.records
    if a.class_ids != b.class_ids:
        finding = _of_lists(a.name, "class_ids", a.class_ids, b.class_ids)
        yield _Part("classes", BY_SPACE, finding)


def _facts(a: DatasetRecord, b: DatasetRecord) -> Iterator[Finding]:
    """Yield what differs of the records and is no part of the fingerprint."""
    for what in ("class_names", "spaces"):
        ours, theirs = getattr(a, what), getattr(b, what)
        if ours != theirs:
            yield _of_lists(a.name, what, ours, theirs)


def _of_lists(name: str, what: str, a: Sequence[str], b: Sequence[str]) -> Finding:
    return Finding.of("dataset", name, what, len(a), len(b), None, unlike(a, b))
