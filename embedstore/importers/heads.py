"""Heads that others trained: CoOp, MaPLe, FLYP, a linear probe, any weights over an embedding.

Dimensions: C classes, D embedding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import DatasetError, IdentityError, NonFiniteError
from embedstore.heads.head import Head
from embedstore.heads.stored import head_record, save_head
from embedstore.importers.arrays import ArrayFile, widened
from embedstore.importers.models import imported_model
from embedstore.importers.report import Report
from embedstore.prompts import ClassList, imagenet
from embedstore.store import Store
from embedstore.store.names import checked_name

F32 = npt.NDArray[np.float32]
#: Names that classifiers' weights and biases have.
USUAL_WEIGHTS = (
    "weights", "weight", "classifier.weight", "head.weight", "fc.weight",
    "classification_head.weight", "text_features",
)  # fmt: skip
USUAL_BIASES = ("bias", "classifier.bias", "head.bias", "fc.bias", "classification_head.bias")


@dataclass(frozen=True, slots=True)
class Parts:
    """How a file's arrays make a head; None: as the file says."""

    weights: str | None = None  # name of the (C, D) array
    bias: str | None = None  # name of the (C,) array
    scale: float | None = None
    normalize: bool | None = None


def import_head(
    store: Store,
    file: ArrayFile,
    model: str,
    name: str,
    *,
    parts: Parts | None = None,
    classes: ClassList | None = None,
) -> Report:
    """Keep weights, bias and scale as a head of the model, which stored embeddings can go through.

    Parameters
    ----------
    store, file, model, name
        From where to where.
    parts
        What of the file is what.
    classes
        C classes in the order of the weights' rows; where None, the file's, or ImageNet's.

    Raises
    ------
    DatasetError
        If weights do not fit the model's embeddings, the classes or the bias, or the file does not
        say what the head needs.
    NonFiniteError
        If a weight is NaN or infinite.
    IdentityError
        If the model has another head of that name.
    """
    checked_name("model", model)
    checked_name("head", name)
    parts = parts or Parts()
    weights = _weights(file, parts)
    dim = store.model(model).embedding_dim if model in store.models else 0
    _check_dimension(file, weights, dim, model)
    head = Head(
        class_ids=_class_ids(file, classes, len(weights)),
        weights=weights,
        bias=_bias(file, parts, len(weights)),
        scale=_scale(file, parts),
        normalize=_normalize(file, parts),
    )
    if model not in store.models:
        imported_model(store, model, embedding_dim=weights.shape[1], origin=file.origin)
    already = name in store.heads(model)
    origin = {"kind": "imported", **file.origin}
    if already:
        _refuse_another(store, model, name, head, origin)
    save_head(store, model, name, head, origin)
    said = f"scale {head.scale:g}, {'on unit' if head.normalize else 'on raw'} embeddings"
    what = f"head {name!r} of {model}: {len(weights):,} classes x {weights.shape[1]}, {said}"
    return Report(what, already, [])


def _weights(file: ArrayFile, parts: Parts) -> F32:
    found = file.find(parts.weights, USUAL_WEIGHTS, "--weights")
    if found is None:
        raise DatasetError(
            f"{file.path} has several arrays; say which are the weights with --weights: it has "
            f"{file.names}"
        )
    weights = _floats(file, found)
    if weights.ndim != 2 or 0 in weights.shape:
        raise DatasetError(
            f"weights of {file.path} are of shape {weights.shape}; a head has (classes, embedding)"
        )
    return weights


def _check_dimension(file: ArrayFile, weights: F32, dim: int, model: str) -> None:
    if dim and weights.shape[1] != dim:
        remedy = "give the weights of this model"
        if weights.shape[0] == dim:
            remedy = "they look transposed: save weights.T"
        raise DatasetError(
            f"weights of {file.path} are of shape {weights.shape}, and embeddings of model "
            f"{model!r} have {dim} numbers; {remedy}"
        )


def _bias(file: ArrayFile, parts: Parts, n_classes: int) -> F32 | None:
    name = parts.bias or next((b for b in USUAL_BIASES if b in file.arrays), None)
    if name is None:
        return None
    bias = _floats(file, str(file.find(name, (), "--bias")))
    if bias.shape != (n_classes,):
        raise DatasetError(
            f"bias {name!r} of {file.path} is of shape {bias.shape}; one number for each of the "
            f"{n_classes} classes is needed"
        )
    return bias


def _scale(file: ArrayFile, parts: Parts) -> float:
    if parts.scale is not None:
        return parts.scale
    said = _fact(file, "scale")
    if said is not None:
        return float(said)
    log = _fact(file, "logit_scale")
    if log is not None:
        raise DatasetError(
            f"{file.path} has logit_scale {float(log):g}, perhaps a logarithm as CLIP keeps it; "
            f"give --scale {np.exp(float(log)):.6g} if it is, else --scale {float(log):g}"
        )
    return 1.0


def _normalize(file: ArrayFile, parts: Parts) -> bool:
    said = parts.normalize if parts.normalize is not None else _fact(file, "normalize")
    if said is None:
        raise DatasetError(
            f"{file.path} does not say whether embeddings are brought to unit length first; give "
            "--normalize (CoOp, MaPLe, zero-shot weights) or --no-normalize (a plain linear layer)"
        )
    return said in (True, "true", "True", "1") or (isinstance(said, float) and bool(said))


def _class_ids(file: ArrayFile, classes: ClassList | None, n_classes: int) -> tuple[str, ...]:
    ids = None if classes is None else classes.ids
    if ids is None and "class_ids" in file.texts:
        ids = tuple(json.loads(file.texts["class_ids"]))
    if ids is None and "class_ids" in file.arrays:
        ids = tuple(map(str, file.arrays["class_ids"].array))
    if ids is None and n_classes == len(imagenet().ids):
        ids = imagenet().ids
    if ids is None or len(ids) != n_classes:
        counted = "none are named" if ids is None else f"{len(ids):,} are named"
        raise DatasetError(
            f"weights of {file.path} are of {n_classes:,} classes, and {counted}; give the list, "
            "in the order of the rows, with --classes imagenet or --classes FILE"
        )
    return ids


def _fact(file: ArrayFile, name: str) -> float | str | None:
    """Return what the file says besides weights: a text of safetensors, or an array of one."""
    if name in file.texts:
        return file.texts[name]
    if name in file.arrays and file.arrays[name].array.size == 1:
        return float(widened(file.arrays[name].array).reshape(()))
    return None


def _floats(file: ArrayFile, name: str) -> F32:
    values = widened(np.array(file.arrays[name].array))
    if values.dtype.kind != "f":
        raise DatasetError(
            f"array {name!r} of {file.path} holds {values.dtype}, where a head has floats; name "
            "another, or convert it"
        )
    narrowed: F32 = values.astype(np.float32)
    if not np.isfinite(narrowed).all():
        row = int(np.argwhere(~np.isfinite(narrowed))[0][0])
        raise NonFiniteError(
            f"array {name!r} of {file.path} holds NaN or infinity in row {row} (counted from 0); "
            "check what trained it"
        )
    return narrowed


def _refuse_another(
    store: Store, model: str, name: str, head: Head, origin: dict[str, str]
) -> None:
    found: dict[str, Any] = head_record(store, model, name)
    same = (
        found["class_ids"] == list(head.class_ids)
        and (found["scale"], found["normalize"]) == (float(head.scale), head.normalize)
        and found["origin"] == origin
    )
    if not same:
        raise IdentityError(
            f"model {model!r} has another head named {name!r} in the store; give this one another "
            "name: --name NAME"
        )
