"""Patch features in a store: a folder of its own for each layer of a model over a data set.

Layers are numbered from 0. How many the model has stands in every layer's manifest, so that the
last one is found without the model.
"""

from __future__ import annotations

from embedstore.errors import StoreError, UnknownNameError
from embedstore.store import layout
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import Manifest, read_manifest
from embedstore.store.plans import PLAN

LAST = "last"


def layer_index(layer: int | str, n_layers: int) -> int | None:
    """Return the number of a layer named `last`, by number, or from the end; None if not there."""
    try:
        index = n_layers - 1 if layer == LAST else int(layer)
    except ValueError:
        return None
    index += n_layers if index < 0 else 0
    return index if 0 <= index < n_layers else None


def begun_layers(files: LocalFiles, model: str, dataset: str) -> list[int]:
    """Return the layers of which a model has anything over a data set, finished or begun."""
    folders = files.folders(f"models/{model}/patches/{dataset}")
    return sorted(int(name) for name in folders if name.isdecimal())


def finished_layers(files: LocalFiles, model: str, dataset: str) -> dict[int, Manifest]:
    """Return the manifests of the layers that are finished, the first layer first."""
    layers = begun_layers(files, model, dataset)
    found = {n: read_manifest(files, layout.patches(model, dataset, n)) for n in layers}
    return {layer: manifest for layer, manifest in found.items() if manifest is not None}


def find_layer(
    files: LocalFiles, model: str, dataset: str, layer: int | str
) -> tuple[str, Manifest]:
    """Return folder and manifest of a finished layer.

    Raises
    ------
    StoreError
        If it was begun, but is not finished.
    UnknownNameError
        If the store does not have it.
    """
    finished = finished_layers(files, model, dataset)
    n_layers = next((int(m.facts["n_layers"]) for m in finished.values()), 0)
    index = layer_index(layer, n_layers)
    if index in finished:
        return layout.patches(model, dataset, index), finished[index]
    begun = [n for n in begun_layers(files, model, dataset) if n not in finished]
    begun = [n for n in begun if n == index] if finished else begun
    if any(files.exists(f"{layout.patches(model, dataset, n)}/{PLAN}") for n in begun):
        raise StoreError(
            f"patches of model {model!r} over data set {dataset!r} are not finished (layers "
            f"{', '.join(map(str, begun))}); run the same embedstore encode command again"
        )
    if not finished:
        raise StoreError(
            f"the store has no patches of model {model!r} over data set {dataset!r}; encode them "
            f"with: embedstore encode ... --patches {layer}"
        )
    raise UnknownNameError(
        f"layer of {model!r} over {dataset!r} ({n_layers} layers)", str(layer), map(str, finished)
    )
