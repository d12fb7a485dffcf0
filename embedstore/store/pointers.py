"""Pointers: what is finished of a run, in one small record, so that one listing describes a store.

They are a cache over the manifests, which alone are the truth.
"""

from __future__ import annotations

from embedstore.errors import DamagedError
from embedstore.store import layout
from embedstore.store.contents import committed
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import read_manifest
from embedstore.store.records import Record, read_record, write_record


def finished(files: LocalFiles, model: str, dataset: str) -> Record | None:
    """Return what the manifests say of a run; None where its embeddings are not finished."""
    images = read_manifest(files, layout.images(model, dataset))
    if images is None:
        return None
    heads: Record = {}
    n_bytes = images.n_bytes
    for head in committed(files, f"models/{model}/logits/{dataset}"):
        logits = read_manifest(files, layout.logits(model, dataset, head))
        spaces = committed(files, f"models/{model}/outcomes/{dataset}/{head}")
        heads[head] = spaces
        n_bytes += logits.n_bytes if logits else 0
        for space in spaces:
            table = read_manifest(files, layout.outcomes(model, dataset, head, space))
            n_bytes += table.n_bytes if table else 0
    return {
        "model": model,
        "dataset": dataset,
        "n_rows": images.facts["n_rows"],
        "n_failures": images.facts["n_failures"],
        "n_bytes": n_bytes,
        "heads": heads,
    }


def write_pointer(files: LocalFiles, model: str, dataset: str) -> None:
    """Bring a run's pointer up to date, also while others finish other heads of it."""
    record = finished(files, model, dataset)
    if record is None or _written(files, model, dataset) == record:
        return
    while record is not None:
        files.replace(layout.pointer(model, dataset), write_record(record))
        written, record = record, finished(files, model, dataset)
        if written == record:
            return


def _written(files: LocalFiles, model: str, dataset: str) -> Record | None:
    """Return what the pointer says now; None where it is missing or damaged."""
    key = layout.pointer(model, dataset)
    try:
        return read_record(files.read(key), key)
    except (FileNotFoundError, DamagedError):
        return None
