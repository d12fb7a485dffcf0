"""Subjects over small stores of given embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pytest

from embedstore import Store, schema
from embedstore.detection.score import SCORES
from embedstore.detection.subject import Part, Subject
from embedstore.heads.head import Head
from embedstore.heads.stored import save_head
from embedstore.store import layout
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.store.tables import table

F64 = npt.NDArray[np.float64]
N_CLASSES, DIM = 5, 12
Make = Callable[..., Subject]


def add_dataset(store: Store, name: str, labels: Sequence[int | None]) -> None:
    ids = [f"{name}/{i:05d}" for i in range(len(labels))]
    columns = {
        "sample_id": ids,
        "path": [f"{i}.jpg" for i in ids],
        "label": labels,
        "n_bytes": [1] * len(ids),
        "digest": [sha256(i.encode()).hexdigest()[:32] for i in ids],
    }
    samples = table(schema.SAMPLES, columns)
    classes = tuple(f"class-{i}" for i in range(N_CLASSES))
    digest = fingerprint(samples, classes)
    record = DatasetRecord(name, f"folder:{name}", name, classes, classes, len(labels), digest)
    save_dataset(store.files, record, samples)


def add_run(store: Store, dataset: str, embeddings: npt.NDArray[np.floating]) -> None:
    digest, shape = store.dataset(dataset).fingerprint, embeddings.shape
    rows = 32
    laid_out = (lay_out(schema.EMBEDDINGS, shape, rows),)
    plan = Plan("images", len(embeddings), rows, rows, "float32", {"fingerprint": digest}, laid_out)
    run = BlockRun.start(store.files, layout.images("model", dataset), plan)
    failed = np.flatnonzero(np.isnan(embeddings).any(axis=1))
    for block in run.missing():
        start, stop = plan.rows(block)
        failures = [Failure(int(r), "decode", "truncated") for r in failed if start <= r < stop]
        half = embeddings[start:stop].astype(np.float16)
        run.commit(block, {"embeddings": half}, failures=failures)
    run.finish({"fingerprint": digest})
    write_pointer(store.files, "model", dataset)


@pytest.fixture
def head() -> Head:
    """Of seven classes, the data sets' five among them in another order."""
    random = np.random.default_rng(8)
    names = tuple(f"class-{i}" for i in (3, 6, 0, 4, 1, 5, 2))
    weights = random.normal(size=(7, DIM)).astype(np.float32)
    return Head(names, weights, random.normal(size=7).astype(np.float32), scale=1.5)


@pytest.fixture
def make(tmp_path, head) -> Make:
    """Put embeddings of an ID data set and a reference into a store."""

    def make_subject(
        queries: npt.NDArray[np.floating],
        reference: npt.NDArray[np.floating],
        labels: Sequence[int | None] | None = None,
        *,
        under: Head = head,
        rows: npt.NDArray[np.bool_] | None = None,
    ) -> Subject:
        store = Store.open(tmp_path / "store", create=True)
        dim = reference.shape[1]
        identity = {"weights": "model", "precision": "float32"}
        record = ModelRecord("model", "python:model", identity, dim, False, True, {})
        save_model(store.files, record)
        save_head(store, "model", "own", under)
        known = [i % N_CLASSES for i in range(len(reference))] if labels is None else labels
        for name, x, y in (("id", queries, [0] * len(queries)), ("ref", reference, known)):
            add_dataset(store, name, list(y))
            add_run(store, name, x)
        return Subject(store, "model", "own", "id", Part("ref", rows))

    return make_subject


@pytest.fixture
def scores() -> Callable[..., F64]:
    """Fit a score and put all samples of the ID data set through it."""

    def score_all(subject: Subject, name: str, n_rows: int = 2_048, **given: object) -> F64:
        scorer = SCORES[name].function(subject, **given)
        return np.concatenate([scorer(b) for b in subject.blocks(Part("id"), n_rows)])

    return score_all


@pytest.fixture
def plain() -> Callable[[Head], tuple[F64, F64]]:
    """Weights and bias over the data sets' classes, in float64, class by class."""

    def look_up(head: Head) -> tuple[F64, F64]:
        columns = [head.class_ids.index(f"class-{i}") for i in range(N_CLASSES)]
        assert head.weights is not None
        assert head.bias is not None
        weights = np.float64(head.scale) * head.weights[columns].astype(np.float64)
        return weights, head.bias[columns].astype(np.float64)

    return look_up


def halves(seed: int, n_rows: int, *, positive: bool = False) -> F64:
    """Random embeddings as they are read back: (N, D)."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_rows, DIM)) @ random.normal(size=(DIM, DIM)) / 3 + 0.5
    return (np.maximum(x, 0) if positive else x).astype(np.float16).astype(np.float64)


@pytest.fixture
def embeddings() -> Callable[..., F64]:
    """Make random embeddings, as they are read back."""
    return halves
