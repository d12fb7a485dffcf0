"""Heads in a store.

Dimensions: C classes, D embedding, K keys of a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from embedstore.errors import IdentityError, UnknownNameError
from embedstore.heads.head import Cache, Head
from embedstore.schema import ArraySchema
from embedstore.store import Store, layout
from embedstore.store.contents import array_files, load_array
from embedstore.store.manifest import (
    FileEntry,
    Manifest,
    commit,
    read_checked,
    read_manifest,
)
from embedstore.store.names import checked_name
from embedstore.store.records import Record, read_record, write_record
from embedstore.store.tables import from_parquet, table, to_parquet

WEIGHTS = ArraySchema("weights", ("class", "embedding"), "float32", "logit per unit of embedding")
BIAS = ArraySchema("bias", ("class",), "float32", "logit")
KEYS = ArraySchema("keys", ("key", "embedding"), "float32", "of unit length")

#: One row a key of a cache, row i of the keys: the column of its class.
KEY_CLASSES = {"class_index": pl.Int32}
#: One row a sample that had a say in a head: which it is, so that it never judges the head.
FITTED = {
    "fingerprint": pl.String,  # of the data set
    "row": pl.Int64,  # of the data set
    "digest": pl.String,  # of the picture, which other data sets may hold too; "" where unknown
}
_KEY_CLASSES, _FITTED = "keys.parquet", "fitted.parquet"


def save_head(
    store: Store,
    model: str,
    name: str,
    head: Head,
    origin: Mapping[str, Any] | None = None,
    fitted: pl.DataFrame | None = None,
) -> Manifest:
    """Commit a head, or find it committed: of equal origins, or without any of equal weights.

    Parameters
    ----------
    store, model, name
        Where it belongs; `name` is the text set's, `own`, or a fitted head's.
    head
        The head.
    origin
        What it was made from: a text set's name and digest, the model's own classifier, a fit.
    fitted
        The samples that had a say in it, columns of `FITTED`; None: none of the store's.

    Raises
    ------
    IdentityError
        If the model has another head of that name.
    """
    checked_name("head", name)
    body = {
        "native": head.native,
        "scale": float(head.scale),
        "normalize": head.normalize,
        "class_ids": list(head.class_ids),
        "origin": dict(origin or {}),
    }
    contents: dict[str, Any] = {}
    for schema, values in ((WEIGHTS, head.weights), (BIAS, head.bias)):
        if values is not None:
            contents |= array_files(schema, np.asarray(values, np.float32))
    if head.cache is not None:
        body["cache"] = {"alpha": float(head.cache.alpha), "beta": float(head.cache.beta)}
        contents |= array_files(KEYS, np.asarray(head.cache.keys, np.float32))
        contents[_KEY_CLASSES] = to_parquet(table(KEY_CLASSES, {"class_index": head.cache.classes}))
    if fitted is not None:
        contents[_FITTED] = to_parquet(fitted.select(pl.col(c).cast(t) for c, t in FITTED.items()))
    contents = {"head.json": write_record(body), **contents}
    manifest = commit(store.files, layout.head(model, name), "head", contents)
    data = read_checked(store.files, layout.head(model, name), "head.json", manifest)
    entries = {key: FileEntry.of(value) for key, value in contents.items()}
    if data != contents["head.json"] or (not origin and entries != manifest.files):
        raise IdentityError(
            f"model {model!r} has another head named {name!r} in the store (other classes, scale, "
            "weights or origin); give this model another name, --model NAME=SPEC, or your prompts' "
            "file"
        )
    return manifest


def load_head(store: Store, model: str, name: str) -> Head:
    """Return a model's head, its arrays copied into memory."""
    folder, manifest = layout.head(model, name), _manifest(store, model, name)
    body = head_record(store, model, name)
    arrays = {
        schema.name: np.array(load_array(store.files, folder, schema.name, manifest))
        for schema in (WEIGHTS, BIAS, KEYS)
        if f"{schema.name}/zarr.json" in manifest.files
    }
    cache = None
    if "cache" in body:
        data = read_checked(store.files, folder, _KEY_CLASSES, manifest)
        classes = from_parquet(data)["class_index"].to_numpy().astype(np.int64)
        cache = Cache(arrays["keys"], classes, **body["cache"])
    return Head(
        class_ids=tuple(body["class_ids"]),
        weights=arrays.get("weights"),
        bias=arrays.get("bias"),
        scale=body["scale"],
        normalize=body["normalize"],
        cache=cache,
    )


def head_record(store: Store, model: str, name: str) -> Record:
    """Return what is recorded of a head besides its arrays: classes, scale, origin."""
    folder, manifest = layout.head(model, name), _manifest(store, model, name)
    data = read_checked(store.files, folder, "head.json", manifest)
    return read_record(data, f"{folder}/head.json")


def head_digest(store: Store, model: str, name: str) -> str:
    """Return the digest of all that makes a head."""
    return _manifest(store, model, name).digest


def load_fitted(store: Store, model: str, name: str) -> pl.DataFrame | None:
    """Return the samples that had a say in a head, columns of `FITTED`; None: none of the store's.

    A head made of text, or a model's own, has none that the store knows of.
    """
    folder, manifest = layout.head(model, name), _manifest(store, model, name)
    if _FITTED not in manifest.files:
        return None
    return from_parquet(read_checked(store.files, folder, _FITTED, manifest))


def _manifest(store: Store, model: str, name: str) -> Manifest:
    manifest = read_manifest(store.files, layout.head(model, name))
    if manifest is None:
        store.model(model)  # raises where the model is not there either
        raise UnknownNameError(f"head of model {model!r}", name, store.heads(model))
    return manifest
