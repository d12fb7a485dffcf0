"""What is in one model's run over one data set: the rows of `embedstore info`."""

from __future__ import annotations

from embedstore.store import answers, layout
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import read_manifest
from embedstore.store.patches import begun_layers
from embedstore.store.plans import PLAN
from embedstore.store.pointers import finished, written
from embedstore.store.runs import BlockRun

#: What a head leaves of a data set.
PARTS = ("logits", "outcomes")


def run_rows(files: LocalFiles, model: str, dataset: str) -> list[tuple[object, ...]]:
    """Return one row a head, layer and protocol of what a model has over a data set."""
    record = finished(files, model, dataset)
    if record is None:
        run = BlockRun.planned(files, layout.images(model, dataset))
        if run is None:
            return answers.asking_rows(files, model, dataset)
        return [(model, dataset, None, run.plan.n_rows, len(run.failures()), 0, run.state)]
    images = read_manifest(files, layout.images(model, dataset))
    common = (record["n_rows"], record["n_failures"])
    rows: list[tuple[object, ...]] = []
    said = written(files, model, dataset)
    if images is not None:
        rows.append((model, dataset, None, *common, images.n_bytes, "finished"))
    elif said is not None and said["embeddings"]:
        rows.append((model, dataset, None, *common, 0, "embeddings are missing"))
    begun_ones = (files.folders(f"models/{model}/{part}/{dataset}") for part in PARTS)
    for head in sorted(set(record["heads"]).union(*begun_ones)):
        logits = read_manifest(files, layout.logits(model, dataset, head))
        begun = files.exists(f"{layout.logits(model, dataset, head)}/{PLAN}")
        complete = (logits is not None or not begun) and bool(record["heads"].get(head))
        n_bytes = (logits.n_bytes if logits else 0) + _outcome_bytes(files, model, dataset, head)
        state = "finished" if complete else "unfinished"
        rows.append((model, dataset, head, *common, n_bytes, state))
    return rows + _patch_rows(files, model, dataset) + answers.asking_rows(files, model, dataset)


def _patch_rows(files: LocalFiles, model: str, dataset: str) -> list[tuple[object, ...]]:
    """Return one row a layer of patch features; they stand where heads do, as `patches/LAYER`."""
    rows: list[tuple[object, ...]] = []
    for layer in begun_layers(files, model, dataset):
        run = BlockRun.planned(files, layout.patches(model, dataset, layer))
        if run is not None:
            n_bytes = run.manifest.n_bytes if run.manifest else 0
            counts = (run.plan.n_rows, len(run.failures()), n_bytes)
            rows.append((model, dataset, f"patches/{layer}", *counts, run.state))
    return rows


def _outcome_bytes(files: LocalFiles, model: str, dataset: str, head: str) -> int:
    spaces = files.folders(f"models/{model}/outcomes/{dataset}/{head}")
    manifests = (
        read_manifest(files, layout.outcomes(model, dataset, head, space)) for space in spaces
    )
    return sum(m.n_bytes for m in manifests if m)
