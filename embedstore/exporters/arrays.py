"""Embeddings and logits as .npy, with what their rows and columns are beside them.

Dimensions: N samples, M texts, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DamagedError, StoreError
from embedstore.exporters.files import Advance, Export, Job
from embedstore.exporters.selection import Chosen, refuse_nothing
from embedstore.exporters.tables import named_labels, write_table
from embedstore.heads.stored import load_head
from embedstore.kernels.half import widen
from embedstore.prompts import imagenet
from embedstore.store import Store, layout
from embedstore.store.logits import not_kept
from embedstore.store.runs import BlockRun

Blocks = Callable[[], Iterator[npt.NDArray[Any]]]


def embeddings(chosen: Chosen, _format: str) -> Export:
    """Write each run's embeddings as stored, (N, D) float16, and its samples beside them."""
    runs, store = chosen.over_datasets(), chosen.store
    refuse_nothing(runs, chosen, "embeddings")
    jobs: list[Job] = []
    for model, dataset in runs:
        run = finished_run(store, layout.images(model, dataset))
        shape = run.plan.arrays[0].shape
        path = chosen.place((model, dataset), len(runs), ".npy")
        what = f"{shape[0]:,} x {shape[1]:,} embeddings, float16"
        blocks = partial(_blocks, run, "embeddings")
        jobs.append(Job(path, partial(write_npy, shape, np.dtype(np.float16), blocks), what))
        jobs.append(_samples(store, dataset, path))
    return Export(jobs)


def text_embeddings(chosen: Chosen, _format: str) -> Export:
    """Write each model's embeddings of each text set, (M, D) float32, and its texts beside them."""
    sets, store = chosen.with_texts(), chosen.store
    refuse_nothing(sets, chosen, "text embeddings")
    jobs: list[Job] = []
    for model, texts in sets:
        run = finished_run(store, layout.text_embeddings(model, texts))
        shape = run.plan.arrays[0].shape
        path = chosen.place((model, texts), len(sets), ".npy")
        what = f"{shape[0]:,} x {shape[1]:,} embeddings of texts, float32"
        blocks = partial(_blocks, run, "embeddings")
        jobs.append(Job(path, partial(write_npy, shape, np.dtype(np.float32), blocks), what))
        frame = store.texts(texts)[1]
        jobs.append(
            Job(_beside(path, ".texts.parquet"), partial(write_table, frame.lazy(), "parquet"))
        )
    return Export(jobs)


def logits(chosen: Chosen, _format: str) -> Export:
    """Write each run's logits, (N, C) float32, its samples and the columns' classes beside them."""
    runs, store = chosen.with_logits(), chosen.store
    bare = [not_kept(store.files, *run) for run in chosen.without_logits()]
    if bare and not runs:
        raise StoreError(bare[0])
    refuse_nothing(runs, chosen, "logits")
    jobs: list[Job] = []
    for model, dataset, head in runs:
        run = finished_run(store, layout.logits(model, dataset, head))
        shape = run.plan.arrays[0].shape
        path = chosen.place((model, dataset, head), len(runs), ".npy")
        what = f"{shape[0]:,} x {shape[1]:,} logits, float32"
        blocks = partial(_logits, run)
        jobs.append(Job(path, partial(write_npy, shape, np.dtype(np.float32), blocks), what))
        jobs.append(_samples(store, dataset, path))
        classes = _classes(store, model, dataset, head)
        jobs.append(Job(_beside(path, ".classes.csv"), partial(write_table, classes.lazy(), "csv")))
    return Export(jobs, bare)


def write_npy(
    shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Blocks, file: IO[bytes], advance: Advance
) -> None:
    """Write blocks of rows as one .npy, of which only a block is in memory.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    blocks
        Yields its rows, in order.
    file, advance
        Where to, and what is called with the bytes written since the last call.
    """
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks():
        advance(file.write(block.astype(dtype, copy=False).tobytes()))


def finished_run(store: Store, folder: str) -> BlockRun:
    """Return a run that has a manifest, to be read a block at a time."""
    run = BlockRun.planned(store.files, folder)
    if run is None:
        raise DamagedError(
            f"{folder}/plan.json is missing; see what else is with: embedstore verify"
        )
    return run


def _blocks(run: BlockRun, name: str) -> Iterator[npt.NDArray[Any]]:
    return (run.read(block, name) for block in range(run.plan.n_blocks))


def _logits(run: BlockRun) -> Iterator[npt.NDArray[Any]]:
    for block in range(run.plan.n_blocks):
        centred = np.ascontiguousarray(run.read(block, "logits"))
        yield widen(centred.view(np.uint16), run.read(block, "maximum"))


def _samples(store: Store, dataset: str, path: Path) -> Job:
    frame = named_labels(store, dataset).select("sample_id", "path", "label")
    return Job(_beside(path, ".samples.parquet"), partial(write_table, frame.lazy(), "parquet"))


def _classes(store: Store, model: str, dataset: str, head: str) -> pl.DataFrame:
    """Return id and name of each column."""
    record = store.dataset(dataset)
    known = dict(zip(imagenet().ids, imagenet().names, strict=True))
    known |= dict(zip(record.class_ids, record.class_names, strict=True))
    ids = load_head(store, model, head).class_ids
    return pl.DataFrame({"id": ids, "name": [known.get(class_id, class_id) for class_id in ids]})


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name.removesuffix('.npy')}{ending}")
