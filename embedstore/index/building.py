"""Making an index of a model's stored embeddings, and finding it again.

Dimensions: n rows without NaN, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import DamagedError, StoreError
from embedstore.index import library
from embedstore.index.exact import Metric, check_k, check_metric
from embedstore.index.kinds import (
    TRAINING_ROWS,
    Kind,
    Size,
    apply_settings,
    choose,
    untrained,
)
from embedstore.index.opened import Index
from embedstore.index.recall import Measured, sampled, tune, without
from embedstore.index.rows import Floats, gathered, prepared
from embedstore.index.subject import Subject
from embedstore.store.indexes import FILE, IndexPlace, is_current
from embedstore.store.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    map_checked,
    read_manifest,
    write_manifest,
)

#: Float32 rows added at once: few enough to show how it goes.
ADDED_BYTES = 16 * 2**20
I64 = npt.NDArray[np.int64]


def place_of(subject: Subject, kind: Kind, metric: Metric) -> IndexPlace:
    """Return where an index lies, there or not."""
    return IndexPlace(subject.model, subject.part, subject.name, f"{kind}-{metric}")


def build(
    subject: Subject,
    *,
    kind: str = "auto",
    metric: Metric = "ip",
    advance: Callable[[int], None] = lambda _n: None,
) -> tuple[Index, bool]:
    """Make an index and keep it in the store, or find it there; return whether it was made.

    One of other embeddings, or a damaged one, is made anew.

    Parameters
    ----------
    subject
        What to index.
    kind
        `flat`, `hnsw`, `ivf`, `ivfpq`, or `auto`: see :func:`embedstore.index.kinds.choose`.
    metric
        `ip`: inner products of rows brought to unit length, that is cosines. `l2`: squared
        Euclidean distances of rows as they are.
    advance
        Called with the count of rows that were added since the last call.

    Raises
    ------
    MissingExtraError
        If FAISS is not installed.
    EmbedStoreError
        If there is no row, or no such kind or metric.
    """
    library.faiss()
    check_metric(metric)
    check_k(1, subject.n_rows)
    chosen = choose(kind, Size(subject.n_rows, subject.dim))
    place, files = place_of(subject, chosen, metric), subject.store.files
    with suppress(DamagedError, FileNotFoundError):
        if is_current(files, place):
            return load(subject, chosen, metric), False
    if files.exists(f"{place.folder}/{MANIFEST}"):  # now: later it may be another builder's
        files.delete_folder(place.folder)
    index, measured = _filled(subject, chosen, metric, advance)
    _keep(index, place, measured)
    return load(subject, chosen, metric), True


def load(subject: Subject, kind: Kind, metric: Metric) -> Index:
    """Open an index that was built, mapped into memory, its digest checked once a process.

    Raises
    ------
    StoreError
        If there is none, or it is of other embeddings.
    DamagedError
        If its file is not the one that was committed, or is no index of these embeddings.
    MissingExtraError
        If FAISS is not installed.
    """
    faiss = library.faiss()
    place, files = place_of(subject, kind, metric), subject.store.files
    remedy = f"build it with: {subject.command} --kind {kind} --metric {metric}"
    manifest = read_manifest(files, place.folder)
    if manifest is None:
        raise StoreError(f"there is no index {place.folder}; {remedy}")
    if not is_current(files, place):
        raise StoreError(f"the index {place.folder} is of embeddings that are gone; {remedy}")
    try:
        map_checked(files, place.folder, FILE, manifest)
        flag = getattr(faiss, "IO_FLAG_MMAP_IFC", faiss.IO_FLAG_MMAP)
        index = faiss.read_index(str(files.path(f"{place.folder}/{FILE}")), flag)
    except (DamagedError, RuntimeError) as error:
        raise DamagedError(f"the index {place.folder} is damaged; {remedy}") from error
    measure = faiss.METRIC_INNER_PRODUCT if metric == "ip" else faiss.METRIC_L2
    expected = (kind, subject.n_rows, subject.dim, measure)
    if (manifest.facts["kind"], index.ntotal, index.d, index.metric_type) != expected:
        raise DamagedError(f"the index {place.folder} is of something else; {remedy}")
    apply_settings(index, manifest.facts["settings"])
    last = np.array(manifest.facts["queries"], np.int64)
    rows = np.append(np.setdiff1d(subject.rows, last), last)
    return Index(subject, kind, metric, index, rows, manifest.facts)


def _filled(
    subject: Subject, kind: Kind, metric: Metric, advance: Callable[[int], None]
) -> tuple[Index, Measured]:
    """Fill an index block by block; the rows that served to measure its recall come last."""
    last = np.zeros(0, np.int64) if kind == "flat" else sampled(subject)
    rows = np.setdiff1d(subject.rows, last)
    index = Index(subject, kind, metric, _trained(subject, kind, metric, rows), rows, {})
    _add(index, without(subject, last), advance)
    measured = Measured({}, 1.0, last) if kind == "flat" else tune(index, last)
    whole = replace(index, rows=np.append(rows, last))
    if len(last):
        _add(whole, [subject.embeddings[last]], advance)
    return whole, measured


def _trained(subject: Subject, kind: Kind, metric: Metric, rows: I64) -> Any:
    """Return an empty index, fitted to rows spread evenly over all where it must be."""
    size = Size(subject.n_rows, subject.dim)
    index = untrained(kind, size, metric)
    if not index.is_trained:
        n_training = min(len(rows), max(256, size.n_lists) * TRAINING_ROWS)
        n_training = max(n_training, 1 << size.code_bits)  # one a code, be it some row twice
        spread = rows[np.arange(n_training) * len(rows) // n_training]
        index.train(prepared(subject.embeddings[spread], normalize=metric == "ip"))
    return index


def _add(index: Index, blocks: Iterable[Floats], advance: Callable[[int], None]) -> None:
    """Add rows without NaN until the index holds as many as it should."""
    unit, dim = index.metric == "ip", index.subject.dim
    for rows, _ in gathered(blocks, dim, normalize=unit, n_bytes=ADDED_BYTES):
        index.faiss.add(rows)
        advance(len(rows))
    if index.faiss.ntotal != len(index.rows):
        raise DamagedError(
            f"{index.subject.name!r} should have {index.subject.n_rows} rows without NaN, and has "
            "not; see what else is wrong with: embedstore verify"
        )


def _keep(index: Index, place: IndexPlace, measured: Measured) -> None:
    """Write an index and its manifest; of builders that race, the first one's stays."""
    faiss, subject = library.faiss(), index.subject
    files, key = subject.store.files, f"{place.folder}/{FILE}"
    facts = {
        "n_rows": subject.n_rows,
        "n_failures": len(subject.failed),
        "kind": index.kind,
        "metric": index.metric,
        "dim": subject.dim,
        "embeddings": subject.digest,
        "settings": measured.settings,
        "recall_at_10": measured.recall,
        "queries": measured.queries.tolist(),
        "faiss": faiss.__version__,
    }
    with files.lock(place.folder):
        if read_manifest(files, place.folder) is not None:
            return
        files.delete(key)  # a killed builder's
        files.create_by(
            key, lambda file: faiss.write_index(index.faiss, faiss.PyCallbackIOWriter(file.write))
        )
        with files.map(key) as data:
            entry = FileEntry.of(data)
        write_manifest(files, place.folder, Manifest("index", {FILE: entry}, facts))
