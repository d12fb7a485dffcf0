"""Stores of given embeddings, labels and picture digests, made without any model, for tests.

Dimensions: N samples, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embedstore import schema
from embedstore.store import Store, layout
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.store.tables import table


@dataclass(frozen=True, slots=True)
class Given:
    """A data set as one model sees it."""

    embeddings: npt.NDArray[np.floating]  # (N, D); a row of NaN is a failed picture
    labels: Sequence[int | None] | None = None  # (N,) indices of `classes`
    classes: Sequence[str] = ()  # (C,) ids, which are names too
    digests: Sequence[str] | None = None  # (N,) of the pictures; all different where it is None


def given_store(
    path: Path, datasets: Mapping[str, Given], *, model: str = "model", block_rows: int = 256
) -> Store:
    """Make a store of one model over data sets whose embeddings are given, or add a model to one.

    Parameters
    ----------
    path
        Where to.
    datasets
        By name.
    model
        Its name.
    block_rows
        Rows of a block, and so of a shard at most.
    """
    store = Store.open(path, create=True)
    (dim,) = {given.embeddings.shape[1] for given in datasets.values()}
    identity = {"weights": sha256(model.encode()).hexdigest()}
    save_model(store.files, ModelRecord(model, f"python:{model}", identity, dim, True, False, {}))
    for name, given in datasets.items():
        _add_dataset(store, name, given)
        _add_run(store, model, name, given.embeddings, block_rows)
    return store


def _add_dataset(store: Store, name: str, given: Given) -> None:
    n_samples = len(given.embeddings)
    ids = [f"{name}-{i:06d}" for i in range(n_samples)]
    digests = [sha256(i.encode()).hexdigest()[:32] for i in ids]
    columns = {
        "sample_id": ids,
        "path": [f"{i}.jpg" for i in ids],
        "label": given.labels or [None] * n_samples,
        "n_bytes": [1000] * n_samples,
        "digest": given.digests or digests,
    }
    samples, classes = table(schema.SAMPLES, columns), tuple(given.classes)
    digest = fingerprint(samples, classes)
    record = DatasetRecord(name, "folder:given", name, classes, classes, n_samples, digest)
    save_dataset(store.files, record, samples)


def _add_run(
    store: Store,
    model: str,
    dataset: str,
    embeddings: npt.NDArray[np.floating],
    block_rows: int,
) -> None:
    digest = store.dataset(dataset).fingerprint
    step = min(block_rows, len(embeddings))
    arrays = (lay_out(schema.EMBEDDINGS, embeddings.shape, step),)
    plan = Plan("images", len(embeddings), step, step, "float32", {"fingerprint": digest}, arrays)
    run = BlockRun.start(store.files, layout.images(model, dataset), plan)
    failed = np.flatnonzero(np.isnan(embeddings).any(axis=1)).tolist()
    for block in run.missing():
        start, stop = plan.rows(block)
        failures = [Failure(r, "decode", "truncated") for r in failed if start <= r < stop]
        rows = embeddings[start:stop].astype(np.float16)
        run.commit(block, {"embeddings": rows}, failures=failures)
    run.finish({"fingerprint": digest})
    write_pointer(store.files, model, dataset)
