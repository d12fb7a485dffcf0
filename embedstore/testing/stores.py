"""Small stores of random numbers, made without any model, for tests.

Dimensions: N samples, C classes, D embedding.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np

from embedstore import schema
from embedstore.heads.head import Head, unit
from embedstore.heads.run import HeadRun, derive
from embedstore.heads.stored import load_head, save_head
from embedstore.labels import judgements
from embedstore.store import Store, layout
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.store.tables import table


def random_store(
    path: Path,
    *,
    models: tuple[str, ...] = ("model",),
    datasets: tuple[str, ...] = ("data",),
    n_samples: int = 40,
    n_classes: int = 5,
    dim: int = 8,
    block_rows: int = 16,
    failed: tuple[int, ...] = (),
    seed: int = 0,
) -> Store:
    """Make a store of `models` x `datasets`, with a head named `own` and its outcomes.

    Parameters
    ----------
    path
        Where to.
    models, datasets
        Names.
    n_samples, n_classes, dim, block_rows
        N, C, D and the rows of a block.
    failed
        Rows of pictures that could not be read.
    seed
        Of all numbers.
    """
    store = Store.open(path, create=True)
    random = np.random.default_rng(seed)
    for dataset in datasets:
        _add_dataset(store, dataset, random, n_samples, n_classes)
    for model in models:
        identity = {"weights": sha256(model.encode()).hexdigest(), "precision": "float32"}
        save_model(
            store.files, ModelRecord(model, f"python:{model}", identity, dim, False, True, {})
        )
        head = Head(
            tuple(f"class-{i}" for i in range(n_classes)),
            unit(random.normal(size=(n_classes, dim)).astype(np.float32)),
            scale=4.0,
            normalize=True,
        )
        save_head(store, model, "own", head)
        for dataset in datasets:
            _add_run(store, model, dataset, random, block_rows, failed)
    return store


def _add_dataset(
    store: Store, name: str, random: np.random.Generator, n_samples: int, n_classes: int
) -> None:
    labels = random.integers(0, n_classes, n_samples)
    ids = [f"class-{label}/{i:05d}" for i, label in enumerate(labels)]
    columns = {
        "sample_id": ids,
        "path": [f"{i}.jpg" for i in ids],
        "label": labels,
        "n_bytes": random.integers(1000, 9000, n_samples),
        "digest": [sha256(i.encode()).hexdigest()[:32] for i in ids],
    }
    samples = table(schema.SAMPLES, columns)
    classes = tuple(f"class-{i}" for i in range(n_classes))
    record = DatasetRecord(
        name, "folder:random", name, classes, classes, n_samples, fingerprint(samples, classes)
    )
    save_dataset(store.files, record, samples)


def _add_run(
    store: Store,
    model: str,
    dataset: str,
    random: np.random.Generator,
    block_rows: int,
    failed: tuple[int, ...],
) -> None:
    record, samples = store.dataset(dataset), store.samples(dataset)
    shape = (record.n_samples, store.model(model).embedding_dim)
    plan = Plan(
        "images",
        record.n_samples,
        block_rows,
        block_rows,
        "float32",
        {"fingerprint": record.fingerprint},
        (lay_out(schema.EMBEDDINGS, shape, block_rows),),
    )
    run = BlockRun.start(store.files, layout.images(model, dataset), plan)
    embeddings = random.normal(size=shape).astype(np.float16)
    embeddings[list(failed)] = np.nan
    for block in run.missing():
        start, stop = plan.rows(block)
        failures = [Failure(r, "decode", "truncated") for r in failed if start <= r < stop]
        run.commit(block, {"embeddings": embeddings[start:stop]}, failures=failures)
    run.finish({"fingerprint": record.fingerprint})
    head = load_head(store, model, "own")
    names = (model, dataset, "own")
    judged = judgements(head.class_ids, record, samples)
    derive(run, [HeadRun.start(store, run, names, head, judged)])
    write_pointer(store.files, model, dataset)
