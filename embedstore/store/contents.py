"""What a store keeps besides block runs: models, texts and small arrays, as records and tables.

Dimensions: M texts, C classes, D embedding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.errors import IdentityError, UnknownNameError
from embedstore.store import layout
from embedstore.store.arrays import StoredArray
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import Manifest, commit, read_checked, read_manifest
from embedstore.store.names import checked_name
from embedstore.store.records import Record, read_record, write_record
from embedstore.store.shards import from_metadata, lay_out, pack, zarr_json
from embedstore.store.tables import from_parquet, to_parquet


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as the store knows it: identity, which must match, and facts."""

    name: str
    spec: str
    identity: Mapping[str, str]  # weights, architecture, tokenizer, transform, precision
    embedding_dim: int  # D
    has_text: bool  # whether it has a text tower
    has_own_head: bool  # whether it has a classifier of its own
    provenance: Mapping[str, str]  # versions and device of the first run
    factors: Mapping[str, Any] = field(default_factory=dict)  # the six factors, where known
    weights_files: str = ""  # of sizes and times of local weights: equal, and they need not be read


def save_model(files: LocalFiles, record: ModelRecord) -> ModelRecord:
    """Record a model, or find it recorded with the same identity; return what is recorded.

    Raises
    ------
    IdentityError
        If a field of the identity differs, by that field's name.
    """
    checked_name("model", record.name)
    body = {
        "name": record.name,
        "spec": record.spec,
        "identity": dict(record.identity),
        "embedding_dim": record.embedding_dim,
        "has_text": record.has_text,
        "has_own_head": record.has_own_head,
        "provenance": dict(record.provenance),
        "factors": dict(record.factors),
        "weights_files": record.weights_files,
    }
    files.create(layout.model_record(record.name), write_record(body))
    found = load_model(files, record.name)
    for name in sorted({*record.identity, *found.identity}):
        wanted, there = record.identity.get(name), found.identity.get(name)
        if wanted != there:
            same = f", or ask for the same: --precision {there}" if name == "precision" else ""
            raise IdentityError(
                f"model {record.name!r} is in the store with another {name} "
                f"({_short(there)}, now {_short(wanted)}); give this one another name: "
                f"--model NAME={record.spec}{same}"
            )
    return found


def load_model(files: LocalFiles, name: str) -> ModelRecord:
    """Return a model's record."""
    key = layout.model_record(name)
    try:
        body = read_record(files.read(key), key)
    except FileNotFoundError as error:
        known = [m for m in files.folders("models") if files.exists(layout.model_record(m))]
        raise UnknownNameError("model", name, known) from error
    return ModelRecord(**body)


@dataclass(frozen=True, slots=True)
class TextsRecord:
    """A text set: prompts over classes, or captions of a data set."""

    name: str
    kind: str  # prompts or captions
    templates: tuple[str, ...]  # (T,) each with one {}; () for captions and descriptions
    class_list: str  # name of the classes' list
    class_ids: tuple[str, ...]  # (C,)
    class_names: tuple[str, ...]  # (C,)
    dataset: str = ""  # whose captions these are


def save_texts(files: LocalFiles, record: TextsRecord, texts: pl.DataFrame) -> Manifest:
    """Commit a text set, or find it committed with the same texts.

    Raises
    ------
    IdentityError
        If the store has other texts of that name.
    """
    checked_name("text set", record.name)
    body = {
        "name": record.name,
        "kind": record.kind,
        "templates": list(record.templates),
        "class_list": record.class_list,
        "class_ids": list(record.class_ids),
        "class_names": list(record.class_names),
        "dataset": record.dataset,
    }
    contents = {"texts.json": write_record(body), "texts.parquet": to_parquet(texts)}
    facts = {"n_rows": texts.height}
    folder = layout.texts(record.name)
    manifest = commit(files, folder, "texts", contents, facts)
    found = from_parquet(read_checked(files, folder, "texts.parquet", manifest))
    if record_in(files, folder, "texts.json", manifest) != body or not found.equals(texts):
        remedy = "rename your file of classes or templates"
        if record.dataset:
            remedy = f"give the data set another name than {record.dataset!r}"
        raise IdentityError(f"text set {record.name!r} is in the store with other texts; {remedy}")
    return manifest


def load_texts(files: LocalFiles, name: str) -> tuple[TextsRecord, pl.DataFrame]:
    """Return a text set's record and its texts: M rows."""
    folder = layout.texts(name)
    manifest = read_manifest(files, folder)
    if manifest is None:
        raise UnknownNameError("text set", name, committed(files, "texts"))
    body = record_in(files, folder, "texts.json", manifest)
    for key in ("templates", "class_ids", "class_names"):
        body[key] = tuple(body[key])
    return TextsRecord(**body), from_parquet(read_checked(files, folder, "texts.parquet", manifest))


def array_files(array: schema.ArraySchema, data: npt.NDArray[Any]) -> dict[str, Any]:
    """Return a whole array's files by name, for a commit: its `zarr.json` and its shards."""
    layout_ = lay_out(array, data.shape, max(1, len(data)))
    contents: dict[str, Any] = {f"{array.name}/zarr.json": zarr_json(layout_)}
    for shard in range(layout_.n_shards):
        start, stop = layout_.rows(shard)
        contents[layout_.key(shard)] = pack(layout_, data[start:stop])
    return contents


def load_array(files: LocalFiles, folder: str, name: str, manifest: Manifest) -> StoredArray:
    """Return an array of a committed folder."""
    body = json.loads(read_checked(files, folder, f"{name}/zarr.json", manifest))
    return StoredArray(files, folder, from_metadata(name, body), manifest.files)


def committed(files: LocalFiles, folder: str) -> list[str]:
    """Return the names below `folder` that have a manifest."""
    return [n for n in files.folders(folder) if files.exists(f"{folder}/{n}/manifest.json")]


def record_in(files: LocalFiles, folder: str, name: str, manifest: Manifest) -> Record:
    """Return a JSON record of a committed folder, checked."""
    return read_record(read_checked(files, folder, name, manifest), f"{folder}/{name}")


def _short(value: str | None) -> str:
    return "none" if value is None else value[:12]


__all__ = [
    "ModelRecord", "TextsRecord", "array_files", "committed", "load_array", "load_model",
    "load_texts", "record_in", "save_model", "save_texts",
]  # fmt: skip
