"""Embeddings that others computed, as a run of the store.

Dimensions: N samples, R rows of the file, D embedding, B rows of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.errors import DatasetError, NonFiniteError, UnknownNameError
from embedstore.importers.annotations import dataset_of
from embedstore.importers.captions import captions_of, import_captions
from embedstore.importers.clip_retrieval import (
    CAPTION,
    is_clip_retrieval,
    read_captions,
    read_images,
)
from embedstore.importers.matching import Match
from embedstore.importers.matrices import I64, Floats, Matrix, read_matrix
from embedstore.importers.models import imported_model
from embedstore.importers.report import Report
from embedstore.importers.rows import Ids, below_one_folder, find_ids, match_rows, row_numbers
from embedstore.importers.samples import import_samples, listing_of
from embedstore.importers.tables import Table
from embedstore.prompts import ClassList
from embedstore.store import Store, layout
from embedstore.store.captions import caption_set, save_captions
from embedstore.store.datasets import DatasetRecord
from embedstore.store.names import checked_name
from embedstore.store.plans import Plan
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out

LAYOUTS = ("auto", "npy", "clip-retrieval", "parquet")
#: Names that arrays and columns of embeddings have.
USUAL = ("embeddings", "embedding", "image_embeddings", "features", "image_features", "emb")
#: Stage of a failure that comes with an import.
STAGE = "import"
BLOCK_ROWS = 8192
_IMPORTED = {"kind": "imported"}


@dataclass(frozen=True, slots=True)
class Given:
    """Embeddings of images, and of their captions if these came along."""

    images: Matrix  # (R, D)
    captions: Matrix | None = None  # (R, D)


def read_embeddings(path: str | Path, layout_name: str = "auto", array: str | None = None) -> Given:
    """Open a file of embeddings, or a folder of clip-retrieval.

    Parameters
    ----------
    path
        .npy, .npz, safetensors, Parquet with a column of lists, or the folder.
    layout_name
        One of `LAYOUTS`: `npy` stands for all files of arrays.
    array
        Name of the array or column, where there are several.

    Raises
    ------
    DatasetError
        If it holds no embeddings in that layout; pickled files are refused.
    """
    path = Path(path).expanduser()
    if layout_name not in LAYOUTS:
        raise UnknownNameError("layout of embeddings", layout_name, LAYOUTS)
    if path.is_dir():
        if layout_name not in ("auto", "clip-retrieval") or not is_clip_retrieval(path):
            raise DatasetError(
                f"{path} is a folder without img_emb, so not clip-retrieval's; name a file, or the "
                "folder that clip inference wrote"
            )
        images = read_images(path)
        return Given(images, read_captions(path, images))
    if layout_name == "clip-retrieval":
        raise DatasetError(f"{path} is no folder, as clip-retrieval writes them; check the path")
    return Given(read_matrix(path, array, USUAL, "embeddings"))


def import_embeddings(
    store: Store,
    given: Given,
    model: str,
    dataset: str,
    *,
    ids: str | None = None,
    order: str | None = None,
    classes: ClassList | None = None,
    advance: Callable[[int], None] = lambda _n: None,
) -> Report:
    """Keep embeddings as the model's run over a data set: float16, rows brought to its samples.

    A sample without a row, or with a row that is NaN throughout, becomes a failure. A data set that
    is not in the store is made of the ids, if there are any.

    Parameters
    ----------
    store, given, model, dataset
        From where to where.
    ids
        File or column of the rows' ids; by their usual names where it is None.
    order
        Which order rows without ids are stated to have.
    classes
        Of a data set that is made.
    advance
        Called with the samples done since the last call.

    Raises
    ------
    DatasetError
        If rows cannot be told apart, or no id is a sample's.
    NonFiniteError
        If a row is NaN in part, infinite, or beyond float16.
    IdentityError
        If the store has another model, or other embeddings, there.
    """
    checked_name("model", model)
    found, notices = find_ids(given.images, ids), []
    if dataset not in store.datasets and found is not None:
        notices += _made(store, dataset, found, classes)
    samples = dataset_of(store, dataset)["sample_id"]
    if found is not None:
        _keep_captions(store, dataset, found)
    matched = match_rows(given.images, found, samples, order, dataset)
    imported_model(store, model, embedding_dim=given.images.shape[1], origin=given.images.origin)
    rows = row_numbers(matched)
    run = _planned(store, model, store.dataset(dataset), given.images, rows)
    already = run.manifest is not None
    for block in run.missing():
        start, stop = run.plan.rows(block)
        taken = given.images.take(rows[start:stop])
        stored, failures = _stored(taken, rows[start:stop], start, given.images.path)
        run.commit(block, {"embeddings": stored}, failures=failures, provenance=_IMPORTED)
        advance(stop - start)
    manifest = run.finish(_facts(store, dataset, given.images, matched))
    write_pointer(store.files, model, dataset)
    if given.captions is not None:
        notices += _with_captions(store, model, dataset, given.captions, found, matched)
    n_failures = int(manifest.facts["n_failures"])
    what = f"{model} on {dataset}: {len(rows):,} x {given.images.shape[1]} embeddings"
    notices += matched.notices(given.images.path.name, dataset)
    if n_failures:
        notices.append(f"{n_failures:,} samples have no embedding: failures of stage {STAGE!r}")
    return Report(what, already, notices)


def _made(store: Store, dataset: str, ids: Ids, classes: ClassList | None) -> list[str]:
    """Make a data set of the rows' ids, and of what else their table says; return notices."""
    rows = ids.table.select(ids.table.columns)
    simple = [c for c, t in rows.schema.items() if not t.is_nested() and t != pl.Binary]
    captions = captions_of(rows[CAPTION]) if CAPTION in simple else []
    rest = rows.select(c for c in simple if c not in (CAPTION, ids.column))
    kept = pl.DataFrame([below_one_folder(ids.values).alias(ids.column), *rest.get_columns()])
    table = Table(ids.table.path, ids.table.digest, kept.lazy(), tuple(kept.columns))
    name = caption_set("captions", dataset)
    report = import_samples(
        store,
        table,
        dataset,
        id_column=ids.column,
        classes=classes,
        captions=[name] if any(captions) else [],
    )
    return [f"made of {ids.table.path.name}: {report.what}", *report.notices]


def _keep_captions(store: Store, dataset: str, ids: Ids) -> None:
    """Keep the captions that a data set was made with; a stopped import may have left them out."""
    record = store.dataset(dataset)
    if record.captions and record.listing == listing_of(ids.table):
        texts = captions_of(ids.table.select([CAPTION])[CAPTION])
        save_captions(store.files, record.captions[0], dataset, texts)


def _planned(
    store: Store, model: str, record: DatasetRecord, images: Matrix, rows: I64
) -> BlockRun:
    block_rows = min(BLOCK_ROWS, record.n_samples)
    shape = (record.n_samples, images.shape[1])
    plan = Plan(
        kind="images",
        n_rows=record.n_samples,
        block_rows=block_rows,
        batch_rows=block_rows,
        precision=str(images.dtype),
        inputs={"fingerprint": record.fingerprint, **input_digests(images, rows)},
        arrays=(lay_out(schema.EMBEDDINGS, shape, block_rows),),
    )
    return BlockRun.start(store.files, layout.images(model, record.name), plan)


def input_digests(matrix: Matrix, rows: I64) -> dict[str, str]:
    """Return digests of a file and of the order in which its rows are taken, for a plan."""
    return {"file": matrix.digest, "order of rows": sha256(rows.tobytes()).hexdigest()}


def _stored(
    taken: Floats, rows: I64, start: int, path: Path
) -> tuple[npt.NDArray[np.float16], list[Failure]]:
    """Return a block as stored, and its failures: (B, D), (B,) -> (B, D) float16."""
    absent = np.asarray(np.isnan(taken).all(axis=1))
    with np.errstate(over="ignore"):
        stored = taken.astype(np.float16)
    refuse_non_finite(taken, stored, absent, rows, path)
    reasons = {True: f"its row in {path.name} is NaN", False: f"{path.name} has no row for it"}
    failures = [
        Failure(start + int(i), STAGE, reasons[bool(rows[i] >= 0)]) for i in np.flatnonzero(absent)
    ]
    return stored, failures


def refuse_non_finite(
    given: Floats, stored: Floats, absent: npt.NDArray[np.bool_], rows: I64, path: Path
) -> None:
    """Raise if a row that is there holds what cannot be stored, by its number in the file."""
    wrong = np.flatnonzero(~np.isfinite(stored).all(axis=1) & ~absent)
    if not len(wrong):
        return
    row, values = rows[wrong[0]], given[wrong[0]]
    if np.isfinite(values).all():
        limit = f"{np.finfo(stored.dtype).max:,.0f}" if stored.dtype == np.float16 else "float32"
        raise NonFiniteError(
            f"row {row} of {path} (counted from 0) holds {np.abs(values).max():g}, beyond {limit}, "
            "the largest that is stored; scale the array down, or mend that row"
        )
    raise NonFiniteError(
        f"row {row} of {path} (counted from 0) holds NaN or infinity beside numbers; mend it, or "
        "make all of it NaN where the sample failed"
    )


def _facts(store: Store, dataset: str, matrix: Matrix, matched: Match) -> dict[str, Any]:
    return {
        "fingerprint": store.dataset(dataset).fingerprint,
        "provenance": {**_IMPORTED, **matrix.origin, **matched.facts()},
    }


def _with_captions(
    store: Store, model: str, dataset: str, captions: Matrix, ids: Ids | None, matched: Match
) -> list[str]:
    if ids is None or CAPTION not in ids.table.columns:
        return [f"embeddings of captions are left out: the metadata has no column {CAPTION!r}"]
    texts = ids.table.select([CAPTION])[CAPTION].cast(pl.String)
    return import_captions(store, model, dataset, captions, texts, matched)
