"""What a store keeps besides block runs: data sets, models, texts and heads, as records and tables.

Dimensions: N samples, M texts, C classes, D embedding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.errors import DatasetError, IdentityError, UnknownNameError
from embedstore.store import layout
from embedstore.store.arrays import StoredArray
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import Manifest, commit, read_checked, read_manifest
from embedstore.store.names import checked_name
from embedstore.store.records import Record, read_record, write_record
from embedstore.store.shards import from_metadata, lay_out, pack, zarr_json
from embedstore.store.tables import from_parquet, to_parquet


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A data set as the store knows it, without its pictures."""

    name: str
    source: str  # as the user gave it
    class_list: str  # name of the classes' list: `imagenet`, or the data set's own
    class_ids: tuple[str, ...]  # (C,) WordNet ids, or names where there are none; () without labels
    class_names: tuple[str, ...]  # (C,)
    n_samples: int  # N
    fingerprint: str  # of ids, labels and every picture's bytes
    listing: str = ""  # of paths, sizes and times: equal, and the pictures need not be read again


def fingerprint(samples: pl.DataFrame, class_ids: tuple[str, ...]) -> str:
    """Digest of the classes in their order, of ids, labels, and the digest of each picture."""
    digest = sha256("\0".join(class_ids).encode("utf-8", "surrogatepass") + b"\n")
    rows = samples.select("sample_id", "label", "digest").iter_rows()
    for sample_id, label, picture in rows:
        class_id = "" if label is None else class_ids[label]
        digest.update("\0".join((sample_id, class_id, picture)).encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()


def save_dataset(files: LocalFiles, record: DatasetRecord, samples: pl.DataFrame) -> None:
    """Commit a data set, or find it committed with the same content.

    Raises
    ------
    DatasetError
        If the store has another data set of that name.
    """
    checked_name("data set", record.name)
    folder = layout.dataset(record.name)
    body = {
        "name": record.name,
        "source": record.source,
        "class_list": record.class_list,
        "class_ids": list(record.class_ids),
        "class_names": list(record.class_names),
        "n_samples": record.n_samples,
        "fingerprint": record.fingerprint,
        "listing": record.listing,
    }
    contents = {"dataset.json": write_record(body), "samples.parquet": to_parquet(samples)}
    commit(files, folder, "dataset", contents, {"n_rows": record.n_samples})
    found, _ = load_dataset(files, record.name)
    if found.fingerprint != record.fingerprint:
        raise DatasetError(
            f"data set {record.name!r} is in the store with other content "
            f"({found.n_samples} samples from {found.source}, now {record.n_samples} from "
            f"{record.source}); give this one another name: --data NAME={record.source}"
        )


def load_dataset(files: LocalFiles, name: str) -> tuple[DatasetRecord, Manifest]:
    """Return a data set's record and manifest."""
    folder = layout.dataset(name)
    manifest = read_manifest(files, folder)
    if manifest is None:
        raise UnknownNameError("data set", name, committed(files, "datasets"))
    body = _record_in(files, folder, "dataset.json", manifest)
    body["class_ids"], body["class_names"] = tuple(body["class_ids"]), tuple(body["class_names"])
    return DatasetRecord(**body), manifest


def load_samples(files: LocalFiles, name: str) -> pl.DataFrame:
    """Return the data set's samples: N rows."""
    _, manifest = load_dataset(files, name)
    return from_parquet(read_checked(files, layout.dataset(name), "samples.parquet", manifest))


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
    templates: tuple[str, ...]  # (T,) each with one {}; () for captions
    class_list: str  # name of the classes' list
    class_ids: tuple[str, ...]  # (C,)
    class_names: tuple[str, ...]  # (C,)


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
    }
    contents = {"texts.json": write_record(body), "texts.parquet": to_parquet(texts)}
    facts = {"n_rows": texts.height}
    folder = layout.texts(record.name)
    manifest = commit(files, folder, "texts", contents, facts)
    if _record_in(files, folder, "texts.json", manifest) != body:
        raise IdentityError(
            f"text set {record.name!r} is in the store with other classes or templates; "
            "rename your file of classes or templates"
        )
    return manifest


def load_texts(files: LocalFiles, name: str) -> tuple[TextsRecord, pl.DataFrame]:
    """Return a text set's record and its texts: M rows."""
    folder = layout.texts(name)
    manifest = read_manifest(files, folder)
    if manifest is None:
        raise UnknownNameError("text set", name, committed(files, "texts"))
    body = _record_in(files, folder, "texts.json", manifest)
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


def _record_in(files: LocalFiles, folder: str, name: str, manifest: Manifest) -> Record:
    return read_record(read_checked(files, folder, name, manifest), f"{folder}/{name}")


def _short(value: str | None) -> str:
    return "none" if value is None else value[:12]


__all__ = [
    "DatasetRecord", "ModelRecord", "TextsRecord", "array_files", "committed", "fingerprint",
    "load_array", "load_dataset", "load_model", "load_samples", "load_texts", "save_dataset",
    "save_model", "save_texts",
]  # fmt: skip
