"""Small stores as an encoder would leave them, alike but for what a test plants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from embedstore import Store, schema
from embedstore.differences.comparing import diff
from embedstore.heads.applying import apply_head
from embedstore.heads.head import Head, unit
from embedstore.heads.stored import save_head
from embedstore.labels import ClassMap
from embedstore.store import layout
from embedstore.store.contents import ModelRecord, TextsRecord, save_model, save_texts
from embedstore.store.datasets import DatasetRecord, fingerprint, save_annotations, save_dataset
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.store.tables import table

N, CLASSES, DIM = 60, ("cat", "dog", "fox", "owl"), 8
PROMPTS = "photo--pets"


@dataclass(frozen=True)
class Recipe:
    """All that a store is made of; a test replaces one thing."""

    labels: tuple[int, ...] = tuple(int(i) for i in np.random.default_rng(1).integers(0, 4, N))
    rows: tuple[int, ...] = tuple(range(N))  # which of N samples, in which order
    pictures: tuple[int, ...] = ()  # samples whose picture is another one
    failed: tuple[int, ...] = ()
    identity: dict[str, str] = field(
        default_factory=lambda: {
            "weights": "ab" * 32,
            "architecture": "cd" * 32,
            "tokenizer": "ef" * 32,
            "transform": "01" * 32,
            "precision": "float32",
        }
    )
    provenance: dict[str, str] = field(default_factory=lambda: {"torch": "2.14.0", "device": "cpu"})
    factors: dict[str, Any] = field(default_factory=dict)
    seed: int = 0  # of the embeddings
    text_seed: int = 0  # of the head
    templates: tuple[str, ...] = ("a photo of a {}.",)
    class_names: tuple[str, ...] = CLASSES
    scale: float = 5.0
    spaces: tuple[ClassMap, ...] = ()
    annotations: dict[str, Sequence[Any]] = field(default_factory=dict)
    model: str = "vit"
    dataset: str = "pets"
    head: str = PROMPTS
    block_rows: int = 16


def build_store(path: Path, recipe: Recipe) -> Store:
    """Make a store of one model over one data set, under a zero-shot head."""
    store = Store.open(path, create=True)
    samples = _samples(recipe)
    record = DatasetRecord(
        recipe.dataset, f"folder:{path}", recipe.dataset, CLASSES, CLASSES, samples.height,
        fingerprint(samples, CLASSES),
    )  # fmt: skip
    save_dataset(store.files, record, samples)
    if recipe.annotations:
        frame = pl.DataFrame(
            {k: [v[i] for i in recipe.rows] for k, v in recipe.annotations.items()}
        )
        save_annotations(store.files, recipe.dataset, "source", frame)
    model = ModelRecord(
        recipe.model, "python:vit", recipe.identity, DIM, True, False, recipe.provenance,
        recipe.factors,
    )  # fmt: skip
    save_model(store.files, model)
    _save_head(store, recipe)
    _save_embeddings(store, recipe, record)
    apply_head(store, recipe.model, recipe.dataset, recipe.head, recipe.spaces)
    return store


def _samples(recipe: Recipe) -> pl.DataFrame:
    digests = [f"{i + 1000 * (i in recipe.pictures):032x}" for i in range(N)]
    columns = {
        "sample_id": [f"{i:03d}" for i in recipe.rows],
        "path": [f"{i:03d}.jpg" for i in recipe.rows],
        "label": [recipe.labels[i] for i in recipe.rows],
        "n_bytes": [1000] * len(recipe.rows),
        "digest": [digests[i] for i in recipe.rows],
    }
    return table(schema.SAMPLES, columns)


def _save_head(store: Store, recipe: Recipe) -> None:
    texts = TextsRecord(
        recipe.head, "prompts", recipe.templates, "pets", CLASSES, recipe.class_names
    )
    prompts = [t.format(name) for name in recipe.class_names for t in recipe.templates]
    save_texts(store.files, texts, table(schema.TEXTS, {"text": prompts}))
    weights = np.random.default_rng(recipe.text_seed).normal(size=(len(CLASSES), DIM))
    head = Head(CLASSES, unit(weights.astype(np.float32)), scale=recipe.scale, normalize=True)
    origin = {"kind": "zero-shot", "texts": f"{recipe.text_seed:064d}"}
    save_head(store, recipe.model, recipe.head, head, origin)


def _save_embeddings(store: Store, recipe: Recipe, record: DatasetRecord) -> None:
    """Embeddings depend on the sample and the seed; another picture has another one."""
    all_rows = np.random.default_rng(recipe.seed).normal(size=(N, DIM)).astype(np.float16)
    all_rows[list(recipe.pictures)] *= -1
    all_rows[list(recipe.failed)] = np.nan
    values = all_rows[list(recipe.rows)]
    n, block = record.n_samples, recipe.block_rows
    array = lay_out(schema.EMBEDDINGS, values.shape, block)
    plan = Plan("images", n, block, 4, "float32", {"fingerprint": record.fingerprint}, (array,))
    run = BlockRun.start(store.files, layout.images(recipe.model, recipe.dataset), plan)
    for number in run.missing():
        start, stop = plan.rows(number)
        failures = [
            Failure(i, "decode", "truncated")
            for i in range(start, stop)
            if recipe.rows[i] in recipe.failed
        ]
        run.commit(number, {"embeddings": values[start:stop]}, failures=failures)
    run.finish({"fingerprint": record.fingerprint})


@pytest.fixture
def recipe() -> Recipe:
    """What stores are made of where nothing is planted."""
    return Recipe()


@pytest.fixture
def build(tmp_path) -> Callable[..., Store]:
    """Make a store of a name; what is planted takes the place of the recipe's own."""

    def built(name: str, **planted: Any) -> Store:
        return build_store(tmp_path / name, replace(Recipe(), **planted))

    return built


@pytest.fixture
def compared(build) -> Callable[..., pl.DataFrame]:
    """Build two stores that differ in what is planted, and say what differs."""

    def compare(
        planted: dict[str, Any], both: dict[str, Any] | None = None, **options: Any
    ) -> pl.DataFrame:
        return diff(build("a", **(both or {})), build("b", **((both or {}) | planted)), **options)

    return compare
