"""Stores of drawn embeddings, with text sets of several shapes and the heads that they make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from embedstore import Store, schema
from embedstore.heads.applying import apply_head
from embedstore.store import layout
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.store.tables import table
from embedstore.testing.simulate.samples import numbered
from embedstore.testing.stores import random_store
from embedstore.testing.texts import add_prompts, add_zero_shot_head

N_CLASSES, N_TEMPLATES, DIM = 5, 4, 8
IDS = tuple(f"class-{i}" for i in range(N_CLASSES))
SCALE, BIAS = 20.0, -3.0
AddImages = Callable[..., None]


def drawn(n_rows: int, seed: int, dim: int = DIM) -> np.ndarray:
    """Embeddings of several lengths: (M, D)."""
    random = np.random.default_rng(seed)
    lengths = random.uniform(0.5, 2, (n_rows, 1))
    return (random.normal(size=(n_rows, dim)) * lengths).astype(np.float32)


def add_templates(store: Store, name: str, embeddings: np.ndarray, ids: tuple[str, ...]) -> str:
    """Put texts of each class by each template into the store: (C, T, D)."""
    C, T, D = embeddings.shape
    class_index, template_index = np.repeat(np.arange(C), T), np.tile(np.arange(T), C)
    templates = [f"{name} {t} of a {{}}." for t in range(T)]
    rows = embeddings.reshape(C * T, D).astype(np.float32)
    return add_prompts(store, "m", name, ids, rows, class_index, template_index, templates)


@pytest.fixture
def store(tmp_path) -> Store:
    """600 ID and 600 OOD pictures of random embeddings, three failed in each; two text sets."""
    store = random_store(
        tmp_path / "s",
        models=("m",),
        datasets=("id", "ood"),
        n_samples=600,
        dim=DIM,
        block_rows=128,
        failed=(3, 129, 599),
    )
    four = drawn(N_CLASSES * N_TEMPLATES, 1).reshape(N_CLASSES, N_TEMPLATES, DIM)
    add_templates(store, "four", four, IDS)
    described = [3, 0, 0, 1, 1, 2, 1, 3, 4]
    add_prompts(store, "m", "described", IDS, drawn(9, 2), described, [0, 0, 1, 0, 1, 0, 2, 1, 0])
    for name in ("four--classes", "described--classes"):
        add_zero_shot_head(store, "m", name, scale=SCALE, bias=BIAS)
        apply_head(store, "m", "id", name)
        apply_head(store, "m", "ood", name)
    return store


@pytest.fixture
def add_images() -> AddImages:
    """Put a data set of given embeddings, (N, D), NaN where a picture failed, into a store."""

    def put(store: Store, name: str, embeddings, labels=None, ids=(), spaces=()) -> None:
        n = len(embeddings)
        names = numbered(np.zeros(n, np.int64) if labels is None else labels)
        columns = {"sample_id": names, "path": names, "digest": names}
        samples = table(schema.SAMPLES, columns | ({} if labels is None else {"label": labels}))
        digest = fingerprint(samples, tuple(ids))
        record = DatasetRecord(
            name, f"folder:{name}", name, tuple(ids), tuple(ids), n, digest, spaces=tuple(spaces)
        )
        save_dataset(store.files, record, samples)
        inputs = {"fingerprint": record.fingerprint}
        array = lay_out(schema.EMBEDDINGS, embeddings.shape, 64)
        plan = Plan("images", len(embeddings), 64, 64, "float32", inputs, (array,))
        run = BlockRun.start(store.files, layout.images("m", name), plan)
        for block in run.missing():
            start, stop = plan.rows(block)
            rows = embeddings[start:stop].astype(np.float16)
            failed = start + np.flatnonzero(np.isnan(rows).any(axis=1))
            failures = [Failure(int(row), "decode", "truncated") for row in failed]
            run.commit(block, {"embeddings": rows}, failures=failures)
        run.finish(inputs)

    return put
