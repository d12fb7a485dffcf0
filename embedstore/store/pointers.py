"""Pointers: what is finished of a run, in one small record, so that one listing describes a store.

They are a cache over the manifests, which alone are the truth.
"""

from __future__ import annotations

from embedstore.errors import DamagedError
from embedstore.store import layout
from embedstore.store.contents import committed
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import read_manifest
from embedstore.store.patches import finished_layers
from embedstore.store.plans import PLAN
from embedstore.store.records import Record, read_record, write_record


def finished(files: LocalFiles, model: str, dataset: str) -> Record | None:
    """Return what the manifests say of a run; None where nothing of it is finished.

    What others computed may come without embeddings, or without logits; an encoder's run counts
    from the moment that its embeddings are finished.
    """
    images = read_manifest(files, layout.images(model, dataset))
    if images is None and files.exists(f"{layout.images(model, dataset)}/{PLAN}"):
        return None
    manifests = [images] if images else []
    heads: Record = {}
    logits = committed(files, f"models/{model}/logits/{dataset}")
    for head in sorted({*logits, *files.folders(f"models/{model}/outcomes/{dataset}")}):
        heads[head] = committed(files, f"models/{model}/outcomes/{dataset}/{head}")
        folders = [layout.outcomes(model, dataset, head, space) for space in heads[head]]
        folders += [layout.logits(model, dataset, head)] if head in logits else []
        manifests += [m for m in (read_manifest(files, f) for f in folders) if m]
    layers = finished_layers(files, model, dataset)
    manifests += layers.values()
    if not manifests:
        return None
    counted = [images] if images else manifests
    return {
        "model": model,
        "dataset": dataset,
        "n_rows": manifests[0].facts["n_rows"],
        "n_failures": max(m.facts.get("n_failures", 0) for m in counted),
        "n_bytes": sum(manifest.n_bytes for manifest in manifests),
        "embeddings": images is not None,
        "logits": logits,  # heads
        "heads": {head: spaces for head, spaces in heads.items() if spaces},
        "patches": list(layers),
    }


def datasets_of(files: LocalFiles, model: str) -> list[str]:
    """Names of the data sets of which a model has anything, finished or begun."""
    parts = ("images", "logits", "outcomes", "patches", "answers")
    return sorted({d for part in parts for d in files.folders(f"models/{model}/{part}")})


def write_pointer(files: LocalFiles, model: str, dataset: str) -> None:
    """Bring a run's pointer up to date, also while others finish other heads of it."""
    record = finished(files, model, dataset)
    if record is None or written(files, model, dataset) == record:
        return
    while record is not None:
        files.replace(layout.pointer(model, dataset), write_record(record))
        last, record = record, finished(files, model, dataset)
        if last == record:
            return


def written(files: LocalFiles, model: str, dataset: str) -> Record | None:
    """Return what a run's pointer says now; None where it is missing or damaged."""
    key = layout.pointer(model, dataset)
    try:
        return read_record(files.read(key), key)
    except (FileNotFoundError, DamagedError):
        return None
