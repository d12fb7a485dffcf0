"""Heads in a store.

Dimensions: C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from embedstore.errors import IdentityError, UnknownNameError
from embedstore.heads.head import Head
from embedstore.schema import ArraySchema
from embedstore.store import Store, layout
from embedstore.store.contents import array_files, load_array
from embedstore.store.manifest import Manifest, commit, read_checked, read_manifest
from embedstore.store.names import checked_name
from embedstore.store.records import read_record, write_record

WEIGHTS = ArraySchema("weights", ("class", "embedding"), "float32", "logit per unit of embedding")
BIAS = ArraySchema("bias", ("class",), "float32", "logit")


def save_head(
    store: Store, model: str, name: str, head: Head, origin: Mapping[str, Any] | None = None
) -> Manifest:
    """Commit a head, or find it committed with the same bytes.

    Parameters
    ----------
    store, model, name
        Where it belongs; `name` is the text set's, or `own`.
    head
        The head.
    origin
        What it was made from: a text set's name and digest, or the model's own classifier.

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
    contents: dict[str, Any] = {"head.json": write_record(body)}
    for schema, values in ((WEIGHTS, head.weights), (BIAS, head.bias)):
        if values is not None:
            contents |= array_files(schema, np.asarray(values, np.float32))
    manifest = commit(store.files, layout.head(model, name), "head", contents)
    data = read_checked(store.files, layout.head(model, name), "head.json", manifest)
    if data != contents["head.json"]:
        raise IdentityError(
            f"model {model!r} has another head named {name!r} in the store (other classes, scale "
            f"or origin); give this model another name, --model NAME=SPEC, or your prompts' file"
        )
    return manifest


def load_head(store: Store, model: str, name: str) -> Head:
    """Return a model's head, its arrays copied into memory."""
    folder = layout.head(model, name)
    manifest = read_manifest(store.files, folder)
    if manifest is None:
        raise UnknownNameError(f"head of model {model!r}", name, store.heads(model))
    where = f"{folder}/head.json"
    body = read_record(read_checked(store.files, folder, "head.json", manifest), where)
    arrays = {
        schema.name: np.array(load_array(store.files, folder, schema.name, manifest))
        for schema in (WEIGHTS, BIAS)
        if f"{schema.name}/zarr.json" in manifest.files
    }
    return Head(
        class_ids=tuple(body["class_ids"]),
        weights=arrays.get("weights"),
        bias=arrays.get("bias"),
        scale=body["scale"],
        normalize=body["normalize"],
    )
