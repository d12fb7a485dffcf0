"""What stands beside a data set's samples: annotations and captions.

Dimensions: N samples of a store, K samples that both hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.differences.causes import Cause, Level
from embedstore.differences.findings import ONLY, Finding, counted, place
from embedstore.differences.pair import Pair
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord

I64 = npt.NDArray[np.int64]


def compare_annotations(
    name: str, samples: tuple[pl.DataFrame, pl.DataFrame], rows: tuple[I64, I64]
) -> tuple[dict[str, Cause], list[Finding]]:
    """Compare the annotations of a data set: samples of N rows each, (K,), (K,).

    Returns
    -------
    tuple
        A cause and a finding for each column that differs, or that one store alone has.
    """
    own = [[c for c in frame.columns if c not in schema.SAMPLES] for frame in samples]
    findings = [
        Finding(kind, place(name, column), "annotation")
        for kind, here, there in zip(ONLY, own, own[::-1], strict=True)
        for column in here
        if column not in there
    ]
    columns = sorted(set(own[0]) ^ set(own[1]))
    for column in (c for c in own[0] if c in own[1]):
        sides = zip(samples, rows, strict=True)
        count = _n_unequal(*(frame[column].gather(taken) for frame, taken in sides))
        if count:
            columns.append(column)
            because = f"annotation of {counted(count, 'sample')}"
            findings.append(Finding("dataset", name, column, None, None, float(count), because))
    return {c: _cause(name, f"annotation {c} differs") for c in columns}, findings


def _n_unequal(a: pl.Series, b: pl.Series) -> int:
    if a.dtype == b.dtype:
        return int(a.ne_missing(b).sum())
    return sum(x != y for x, y in zip(a.to_list(), b.to_list(), strict=True))


def compare_captions(
    pair: Pair, a: DatasetRecord, b: DatasetRecord
) -> tuple[dict[str, Cause], list[Finding]]:
    """Compare the captions of a data set, in each language that both have."""
    causes, findings = {}, []
    for name in (texts for texts in a.captions if texts in b.captions):
        (_, ours), (_, theirs) = pair.both(Store.texts, name)
        if not ours.equals(theirs):
            where = place(a.name, name)
            findings.append(Finding.of("dataset", where, "captions", ours.height, theirs.height))
            causes[name] = _cause(a.name, f"{name} differ")
    return causes, findings


def _cause(dataset: str, reason: str) -> Cause:
    return Cause(Level.DATASET, dataset, reason, frozenset({"number"}))
