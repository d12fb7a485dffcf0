"""Stores of pictures and captions whose embeddings are given, for tests of retrieval.

Dimensions: N pictures, M captions, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from embedstore import schema
from embedstore.schema import ArraySchema
from embedstore.store import Store, layout
from embedstore.store.captions import caption_set
from embedstore.store.contents import ModelRecord, TextsRecord, save_model, save_texts
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.store.tables import table

BLOCK_ROWS = 4096


class Captions(NamedTuple):
    """Captions of a data set, in any order."""

    texts: Sequence[str]  # (M,)
    picture_of: Sequence[int]  # (M,) rows of the data set
    embeddings: npt.NDArray[np.floating] | None  # (M, D); None: not encoded


def captioned_store(
    path: Path,
    pictures: npt.NDArray[np.floating],
    captions: Mapping[str, Captions],
    *,
    model: str = "model",
    dataset: str = "data",
    failed: Sequence[int] = (),
    has_text: bool = True,
) -> Store:
    """Make a store of one model over one data set with captions, or add a model to one.

    Parameters
    ----------
    path
        Where to.
    pictures
        (N, D)
    captions
        By name, such as `captions-de`.
    model, dataset
        Names.
    failed
        Rows of pictures that could not be read.
    has_text
        Whether the model has a text tower.
    """
    store = Store.open(path, create=True)
    identity = {"weights": sha256(model.encode()).hexdigest()}
    n_dimensions = pictures.shape[1]
    record = ModelRecord(model, f"python:{model}", identity, n_dimensions, has_text, False, {})
    save_model(store.files, record)
    names = {caption_set(name, dataset): given for name, given in captions.items()}
    _add_dataset(store, dataset, len(pictures), tuple(names))
    embeddings = pictures.astype(np.float16)
    embeddings[list(failed)] = np.nan
    failures = [Failure(row, "decode", "truncated") for row in failed]
    folder = layout.images(model, dataset)
    _commit(store, folder, schema.EMBEDDINGS, embeddings, failures)
    for name, given in names.items():
        columns = {"text": given.texts, "sample_index": given.picture_of}
        texts = TextsRecord(name, "captions", (), "", (), (), dataset)
        save_texts(store.files, texts, table(schema.TEXTS, columns))
        if given.embeddings is not None:
            folder = layout.text_embeddings(model, name)
            _commit(store, folder, schema.TEXT_EMBEDDINGS, given.embeddings.astype(np.float32))
    write_pointer(store.files, model, dataset)
    return store


def _add_dataset(store: Store, name: str, n_samples: int, captions: tuple[str, ...]) -> None:
    ids = [f"{i:06d}" for i in range(n_samples)]
    columns = {
        "sample_id": ids,
        "path": [f"{i}.jpg" for i in ids],
        "label": [None] * n_samples,
        "n_bytes": [1000] * n_samples,
        "digest": [sha256(i.encode()).hexdigest()[:32] for i in ids],
    }
    samples = table(schema.SAMPLES, columns)
    digest = fingerprint(samples, ())
    record = DatasetRecord(name, "folder:given", name, (), (), n_samples, digest, captions=captions)
    save_dataset(store.files, record, samples)


def _commit(
    store: Store,
    folder: str,
    array: ArraySchema,
    rows: npt.NDArray[np.floating],
    failures: Sequence[Failure] = (),
) -> None:
    step = min(BLOCK_ROWS, len(rows))
    arrays = (lay_out(array, rows.shape, step),)
    kind = "images" if array is schema.EMBEDDINGS else "text-embeddings"
    plan = Plan(kind, len(rows), step, step, "float32", {"given": folder}, arrays)
    run = BlockRun.start(store.files, folder, plan)
    for block in run.missing():
        start, stop = plan.rows(block)
        lost = [failure for failure in failures if start <= failure.row < stop]
        run.commit(block, {array.name: rows[start:stop]}, failures=lost)
    run.finish()
