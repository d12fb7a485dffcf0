"""Data sets in a store: classes, samples, and the annotations beside them.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from embedstore import schema
from embedstore.errors import DatasetError, UnknownNameError
from embedstore.store import layout
from embedstore.store.contents import committed, record_in
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import Manifest, commit, read_checked, read_manifest
from embedstore.store.names import checked_name
from embedstore.store.records import write_record
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
    spaces: tuple[str, ...] = ()  # class maps to judge it in, besides its own classes
    captions: tuple[str, ...] = ()  # text sets of its captions


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
        "spaces": list(record.spaces),
        "captions": list(record.captions),
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
    body = record_in(files, folder, "dataset.json", manifest)
    lists = ("class_ids", "class_names", "spaces", "captions")
    return DatasetRecord(**body | {key: tuple(body.get(key, ())) for key in lists}), manifest


def load_samples(files: LocalFiles, name: str) -> pl.DataFrame:
    """Return the data set's samples, the columns of all annotations beside them: N rows."""
    _, manifest = load_dataset(files, name)
    samples = from_parquet(read_checked(files, layout.dataset(name), "samples.parquet", manifest))
    beside = [load_annotations(files, name, a) for a in annotation_names(files, name)]
    return pl.concat([samples, *beside], how="horizontal") if beside else samples


def annotation_names(files: LocalFiles, dataset: str) -> list[str]:
    """Names of a data set's tables of annotations."""
    return committed(files, f"{layout.dataset(dataset)}/annotations")


def save_annotations(
    files: LocalFiles,
    dataset: str,
    name: str,
    annotations: pl.DataFrame,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Commit further columns of a data set's samples, or find them committed.

    Parameters
    ----------
    files, dataset, name
        Where they belong.
    annotations
        N rows: row i describes row i of the samples.
    origin
        Where they are from: a file's name and digest, counts of rows that found no partner.

    Raises
    ------
    DatasetError
        If rows do not fit, another table has a column of that name, or other annotations are there
        under this name.
    """
    checked_name("table of annotations", name)
    record, _ = load_dataset(files, dataset)
    if annotations.height != record.n_samples:
        raise DatasetError(
            f"annotations of {annotations.height} rows do not fit the {record.n_samples} samples "
            f"of data set {dataset!r}; join them by sample id first"
        )
    _refuse_taken_columns(files, dataset, name, annotations)
    folder = layout.annotation_table(dataset, name)
    facts = {"n_rows": annotations.height, "origin": dict(origin or {})}
    contents = {"table.parquet": to_parquet(annotations)}
    commit(files, folder, "annotations", contents, facts)
    if not load_annotations(files, dataset, name).equals(annotations):
        raise DatasetError(
            f"data set {dataset!r} has other annotations named {name!r} in the store; give these "
            "another name, and their columns too"
        )


def _refuse_taken_columns(
    files: LocalFiles, dataset: str, name: str, annotations: pl.DataFrame
) -> None:
    taken = dict.fromkeys(schema.TAKEN, "the store's own")
    for other in annotation_names(files, dataset):
        if other != name:
            columns = load_annotations(files, dataset, other).columns
            taken |= dict.fromkeys(columns, f"annotations {other!r}")
    for column in annotations.columns:
        if column in taken:
            raise DatasetError(
                f"column {column!r} of data set {dataset!r} is one of {taken[column]}; rename it"
            )


def load_annotations(files: LocalFiles, dataset: str, name: str) -> pl.DataFrame:
    """Return one table of a data set's annotations: N rows."""
    folder = layout.annotation_table(dataset, name)
    manifest = read_manifest(files, folder)
    if manifest is None:
        known = annotation_names(files, dataset)
        raise UnknownNameError(f"annotations of data set {dataset!r}", name, known)
    return from_parquet(read_checked(files, folder, "table.parquet", manifest))
