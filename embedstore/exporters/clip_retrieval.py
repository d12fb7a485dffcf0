"""Embeddings as clip-retrieval lays them out, so that its index and its server take them.

Pictures that failed are left out, as clip-retrieval leaves them out. Dimensions: N samples, D
embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.exporters.arrays import finished_run, write_npy
from embedstore.exporters.files import Export, Job
from embedstore.exporters.selection import Chosen, refuse_nothing
from embedstore.exporters.tables import named_labels, write_table
from embedstore.store import Store, layout
from embedstore.store.runs import BlockRun

#: Rows of a part, about: what clip-retrieval writes at most by default.
PART_ROWS = 1_000_000
IMAGES, TEXTS, METADATA = "img_emb", "text_emb", "metadata"


@dataclass(frozen=True, slots=True)
class Part:
    """Whole blocks of a run, and which of their rows are there."""

    number: str
    blocks: range
    rows: npt.NDArray[np.int64]  # of the data set


def embeddings(chosen: Chosen, _format: str) -> Export:
    """Write each run as a folder of parts: images, metadata, captions where each has one."""
    runs, store = chosen.over_datasets(), chosen.store
    refuse_nothing(runs, chosen, "embeddings")
    jobs: list[Job] = []
    notices: list[str] = []
    folders: list[Path] = []
    for model, dataset in runs:
        folder = chosen.path / f"{model}--{dataset}" if len(runs) > 1 else chosen.path
        folders += [folder / kind for kind in (IMAGES, TEXTS, METADATA)]
        captions, said = _captions(store, model, dataset)
        notices += said
        jobs += _jobs(store, model, dataset, folder, captions)
    return Export(jobs, notices, folders)


@dataclass(frozen=True, slots=True)
class Captions:
    """A caption for each sample, and where its embedding is, if the model has one."""

    texts: pl.Series  # (N,)
    run: BlockRun | None
    rows: npt.NDArray[np.int64]  # (N,) of the text set


def _jobs(
    store: Store, model: str, dataset: str, folder: Path, captions: Captions | None
) -> Iterator[Job]:
    run = finished_run(store, layout.images(model, dataset))
    n_columns = run.plan.arrays[0].shape[1]
    columns = named_labels(store, dataset).select("sample_id", "label", image_path="path")
    if captions is not None:
        columns = columns.with_columns(captions.texts.alias("caption"))
    for part in _parts(run, store.failures(model, dataset)["row"]):
        shape = (len(part.rows), n_columns)
        path = folder / IMAGES / f"{IMAGES}_{part.number}.npy"
        write = partial(write_npy, shape, np.dtype(np.float16), partial(_rows, run, part))
        yield Job(path, write, f"{shape[0]:,} x {shape[1]:,} embeddings, float16")
        if captions is not None and captions.run is not None:
            path = folder / TEXTS / f"{TEXTS}_{part.number}.npy"
            blocks = partial(_texts, store, captions, part)
            yield Job(path, partial(write_npy, shape, np.dtype(np.float32), blocks))
        frame = columns[part.rows].lazy()
        path = folder / METADATA / f"{METADATA}_{part.number}.parquet"
        yield Job(path, partial(write_table, frame, "parquet"))


def _parts(run: BlockRun, failed: pl.Series) -> list[Part]:
    step = max(1, PART_ROWS // run.plan.block_rows)
    starts = range(0, run.plan.n_blocks, step)
    width = len(str(len(starts) - 1))
    there = np.ones(run.plan.n_rows, bool)
    there[failed.to_numpy()] = False
    parts = []
    for i, first in enumerate(starts):
        blocks = range(first, min(first + step, run.plan.n_blocks))
        start, stop = run.plan.rows(blocks[0])[0], run.plan.rows(blocks[-1])[1]
        rows = start + np.flatnonzero(there[start:stop])
        parts.append(Part(str(i).zfill(width), blocks, rows))
    return [part for part in parts if len(part.rows)]


def _rows(run: BlockRun, part: Part) -> Iterator[npt.NDArray[Any]]:
    for block in part.blocks:
        rows = run.read(block, "embeddings")
        yield rows[~np.isnan(rows).all(axis=1)]


def _captions(store: Store, model: str, dataset: str) -> tuple[Captions | None, Sequence[str]]:
    """Return the first caption of each sample, if each has one, and what is left out."""
    for name in store.dataset(dataset).captions:
        texts = store.texts(name)[1].with_row_index("row")
        n_all = texts.height
        first = texts.group_by("sample_index").first().sort("sample_index")
        if first.height < store.dataset(dataset).n_samples:
            return None, [f"captions of {dataset} are left out: some samples have none"]
        notices = []
        if n_all > first.height:
            notices.append(f"of {n_all:,} captions of {dataset}, the first of each sample is kept")
        run = None
        if name in store.text_sets(model):
            run = finished_run(store, layout.text_embeddings(model, name))
        return Captions(first["text"], run, first["row"].cast(pl.Int64).to_numpy()), notices
    return None, []


def _texts(store: Store, captions: Captions, part: Part) -> Iterator[npt.NDArray[Any]]:
    assert captions.run is not None
    model, name = captions.run.folder.split("/")[1::2]
    stored = store.text_embeddings(model, name)
    for start in range(0, len(part.rows), captions.run.plan.block_rows):
        rows = part.rows[start : start + captions.run.plan.block_rows]
        yield stored[captions.rows[rows]]
