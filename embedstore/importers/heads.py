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
from embedstore.heads.stored import head_record, load_head, save_head
from embedstore.importers.arrays import ArrayFile, decoded, widened
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
    if not dim:
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
    said = _number(file, "scale") if parts.scale is None else parts.scale
    log = _number(file, "logit_scale") if said is None else None
    if log is not None:
        raise DatasetError(
            f"{file.path} has logit_scale {log:g}, perhaps a logarithm as CLIP keeps it; give "
            f"--scale {np.exp(log):.6g} if it is, else --scale {log:g}"
        )
    scale = 1.0 if said is None else said
    if not 0 < scale < np.inf:
        raise DatasetError(
            f"the scale of {file.path} is {scale:g}, and logits are multiplied by a number above "
            "0; give it with --scale"
        )
    return scale


def _normalize(file: ArrayFile, parts: Parts) -> bool:
    said = _fact(file, "normalize") if parts.normalize is None else str(parts.normalize)
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    if said is None or said.lower() not in known:
        what = "does not say" if said is None else f"says {said!r} of"
        raise DatasetError(
            f"{file.path} {what} whether embeddings are brought to unit length first; give "
            "--normalize (CoOp, MaPLe, zero-shot weights) or --no-normalize (a plain linear layer)"
        )
    return known[said.lower()]


def _class_ids(file: ArrayFile, classes: ClassList | None, n_classes: int) -> tuple[str, ...]:
    ids = _said_ids(file) if classes is None else classes.ids
    if ids is None and n_classes == len(imagenet().ids):
        ids = imagenet().ids
    if ids is None or len(ids) != n_classes:
        counted = "none are named" if ids is None else f"{len(ids):,} are named"
        raise DatasetError(
            f"weights of {file.path} are of {n_classes:,} classes, and {counted}; give the list, "
            "in the order of the rows, with --classes imagenet or --classes FILE"
        )
    return ids


def _said_ids(file: ArrayFile) -> tuple[str, ...] | None:
    """Return the class ids that the file itself names, if it does."""
    found: Any = None
    if "class_ids" in file.texts:
        found = _json(file.texts["class_ids"])
    elif "class_ids" in file.arrays:
        found = decoded(file.arrays["class_ids"].array).tolist()
    else:
        return None
    ids = tuple(map(str, found)) if isinstance(found, list) else ()
    if not ids or len(set(ids)) < len(ids):
        raise DatasetError(
            f"class_ids of {file.path} are no list of different ids; mend it there, or give "
            "--classes imagenet or --classes FILE"
        )
    return ids


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _fact(file: ArrayFile, name: str) -> str | None:
    """Return what the file says besides weights: a text of safetensors, or an array of one."""
    if name in file.texts:
        return file.texts[name]
    if name in file.arrays and file.arrays[name].array.size == 1:
        return str(decoded(widened(file.arrays[name].array)).reshape(()).item())
    return None


def _number(file: ArrayFile, name: str) -> float | None:
    said = _fact(file, name)
    try:
        return None if said is None else float(said)
    except ValueError as error:
        raise DatasetError(
            f"{name} of {file.path} is {said!r}, no number; give it with --scale"
        ) from error


def _floats(file: ArrayFile, name: str) -> F32:
    values = widened(np.array(file.arrays[name].array))
    if values.dtype.kind != "f":
        raise DatasetError(
            f"array {name!r} of {file.path} holds {values.dtype}, where a head has floats; name "
            "another, or convert it"
        )
    with np.errstate(over="ignore"):  # what float32 does not hold is refused below
        narrowed: F32 = values.astype(np.float32)
    if not np.isfinite(narrowed).all():
        row = int(np.argwhere(~np.isfinite(narrowed))[0][0])
        raise NonFiniteError(
            f"array {name!r} of {file.path} holds NaN, infinity or what float32 does not hold in "
            f"row {row} (counted from 0); check what trained it"
        )
    return narrowed


def _equal(a: F32 | None, b: F32 | None) -> bool:
    return (a is None) == (b is None) and np.array_equal(np.asarray(a), np.asarray(b))


def _refuse_another(
    store: Store, model: str, name: str, head: Head, origin: dict[str, str]
) -> None:
    found: dict[str, Any] = head_record(store, model, name)
    there = load_head(store, model, name)
    same = (
        there.class_ids == head.class_ids
        and (there.scale, there.normalize) == (float(head.scale), head.normalize)
        and found["origin"] == origin
        # One file may hold several heads: which arrays were meant, only their numbers say.
        and _equal(there.weights, head.weights)
        and _equal(there.bias, head.bias)
    )
    if not same:
        raise IdentityError(
            f"model {model!r} has another head named {name!r} in the store; give this one another "
            "name: --name NAME"
        )
