"""What heads there are, and taking one away."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import polars as pl

from embedstore.errors import UnknownNameError
from embedstore.heads.stored import head_record
from embedstore.store import Store, layout
from embedstore.store.contents import committed
from embedstore.store.pointers import datasets_of, write_pointer

#: Columns of the list of heads: null where a head has no such thing.
HEADS = {
    "model": pl.String,
    "head": pl.String,
    "kind": pl.String,
    "n_classes": pl.Int64,
    "trained_on": pl.String,  # data set
    "n_fit": pl.Int64,
    "n_validation": pl.Int64,
    "validation_accuracy": pl.Float64,
    "settings": pl.String,  # that were chosen or given
    "applied_to": pl.Int64,  # data sets
}
_UNREMARKABLE = (("fraction", 1.0), ("seed", 0))
_SHOWN = ("C", "alpha", "beta", "metric", "fraction", "seed", "base", "start", "end")


def heads_table(store: Store, models: str = "*", heads: str = "*") -> pl.DataFrame:
    """Return one row a model and head: how it came about, and over how many data sets it went."""
    rows = []
    for model in (m for m in store.models if fnmatchcase(m, models)):
        applied = [
            head
            for dataset in datasets_of(store.files, model)
            for head in committed(store.files, f"models/{model}/logits/{dataset}")
        ]
        for head in (h for h in store.heads(model) if fnmatchcase(h, heads)):
            row = _row(head_record(store, model, head))
            rows.append({"model": model, "head": head, "applied_to": applied.count(head), **row})
    return pl.DataFrame(rows, schema=HEADS)


def _row(record: dict[str, Any]) -> dict[str, Any]:
    origin = record["origin"]
    facts = origin.get("facts", {})
    known = {
        k: v for k, v in {**origin.get("settings", {}), **facts}.items() if v not in (None, "")
    }
    known = {k: v for k, v in known.items() if (k, v) not in _UNREMARKABLE}
    shown = [
        f"{key} {known[key]:.4g}" if isinstance(known[key], float) else f"{key} {known[key]}"
        for key in _SHOWN
        if key in known
    ]
    return {
        "kind": "native" if record["native"] else origin.get("kind"),
        "n_classes": len(record["class_ids"]),
        "trained_on": known.get("dataset"),
        "n_fit": facts.get("n_fit"),
        "n_validation": facts.get("n_validation"),
        "validation_accuracy": facts.get("validation_accuracy"),
        "settings": ", ".join(shown) or None,
    }


def removable_head(store: Store, model: str, head: str) -> list[str]:
    """Return the folders of a head, its logits and outcomes; the head itself last."""
    store.model(model)
    if head not in store.heads(model):
        raise UnknownNameError(f"head of model {model!r}", head, store.heads(model))
    folders = []
    for dataset in datasets_of(store.files, model):
        folders += [
            f"models/{model}/outcomes/{dataset}/{head}",
            layout.logits(model, dataset, head),
        ]
    folders.append(layout.head(model, head))
    return [folder for folder in folders if store.files.path(folder).is_dir()]


def remove_head(store: Store, model: str, head: str) -> list[str]:
    """Remove a head with its logits and outcomes; return the folders removed."""
    folders = removable_head(store, model, head)
    datasets = datasets_of(store.files, model)
    for dataset in datasets:  # first: a pointer must not say more than is there
        store.files.delete(layout.pointer(model, dataset))
    for folder in folders:
        store.files.delete_folder(folder)
    for dataset in datasets:
        write_pointer(store.files, model, dataset)
    return folders
