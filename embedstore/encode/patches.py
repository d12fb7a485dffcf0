"""Patch features of a data set: which layers, how their blocks are cut, where they go.

Each layer is a block run of its own, so that it may be asked for later and is finished, repaired
and removed without touching embeddings.

Dimensions: B rows of a block, h, w, d rows, columns and features of a layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore import schema
from embedstore.errors import ModelError
from embedstore.store import Store, layout
from embedstore.store.patches import finished_layers, layer_index
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun, Failure
from embedstore.store.shards import lay_out
from embedstore.transform import Cells, Transform

if TYPE_CHECKING:
    from embedstore.models.answering import AnsweringModel
    from embedstore.models.base import Model

#: Bytes of a block's patches, all layers of a pass together; three blocks may be in memory.
BLOCK_BYTES = 256 * 2**20

#: What is done to a block's output before it is stored: part of a run's identity.
CONVENTION = "output of the layer, no final norm, no class or register tokens, rows from the top"

_SELECTOR = re.compile(r"last|-?\d+")


def selectors(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the layers that a user names, one or several a text: ``last``, ``3``, ``last,-2``.

    Raises
    ------
    ModelError
        If one is no layer.
    """
    named = [part.strip() for text in texts for part in text.split(",")]
    for name in named:
        if not _SELECTOR.fullmatch(name):
            raise ModelError(
                f"--patches {name!r} is no layer; name last, or a number from 0, or from the end "
                "such as -2"
            )
    return tuple(dict.fromkeys(named))


def chosen_layers(model: Model | AnsweringModel, named: Sequence[str]) -> list[int]:
    """Return the numbers of the layers that are named, ascending, each once.

    Raises
    ------
    ModelError
        If the model has no patch features, or no such layer, or does not say where cells lie.
    """
    if not named:
        return []
    from embedstore.models.torch_model import no_layer

    n_layers = len(model.patch_shapes)
    found = {name: layer_index(name, n_layers) for name in selectors(named)}
    unknown = [name for name, layer in found.items() if layer is None]
    if unknown:
        raise ModelError(no_layer(unknown, n_layers))
    if len(model.patch_cells) != n_layers:
        raise ModelError(
            f"this model has {n_layers} layers and says where the cells of "
            f"{len(model.patch_cells)} lie; give its patch_cells one for each of its patch_shapes"
        )
    return sorted({layer for layer in found.values() if layer is not None})


def are_finished(store: Store, names: tuple[str, str], named: Sequence[str], digest: str) -> bool:
    """Whether the store has all layers named, of a model over a data set of this fingerprint."""
    if not named:
        return True
    there = {
        layer: int(manifest.facts["n_layers"])
        for layer, manifest in finished_layers(store.files, *names).items()
        if manifest.facts["fingerprint"] == digest
    }
    n_layers = next(iter(there.values()), 0)
    return all(layer_index(name, n_layers) in there for name in selectors(named))


def row_bytes(shapes: Sequence[tuple[int, int, int]]) -> int:
    """Return the bytes of one picture's patches in layers of these shapes."""
    return sum(math.prod(shape) for shape in shapes) * np.dtype(schema.PATCHES.dtype).itemsize


def fitting_rows(shapes: Sequence[tuple[int, int, int]], batch_rows: int, wanted: int) -> int:
    """Return block rows, whole batches and one at least, whose patches are within `BLOCK_BYTES`."""
    if not shapes:
        return wanted
    n_batches = max(1, BLOCK_BYTES // row_bytes(shapes) // batch_rows)
    return min(wanted, n_batches * batch_rows)


@dataclass(frozen=True, slots=True)
class PatchRun:
    """One layer's patches over a data set, under way."""

    layer: int
    n_layers: int
    transform: Transform  # of the model: where in a picture a patch lies
    cells: Cells  # of the layer, likewise
    run: BlockRun

    def commit(
        self,
        block: int,
        patches: npt.NDArray[np.float16],
        failures: Sequence[Failure],
        provenance: Mapping[str, Any],
    ) -> None:
        """Write a block's patches, (B, h, w, d): NaN in the rows that failed."""
        start = self.run.plan.rows(block)[0]
        patches[[f.row - start for f in failures]] = np.nan
        arrays = {schema.PATCHES.name: patches}
        self.run.commit(block, arrays, failures=failures, provenance=provenance)

    def finish(self) -> None:
        """Commit the layer."""
        facts = {
            "layer": self.layer,
            "n_layers": self.n_layers,
            "convention": CONVENTION,
            "transform": self.transform.record(),
            "cells": self.cells.record(),
            "fingerprint": self.run.plan.inputs["fingerprint"],
        }
        self.run.finish(facts)

    def fills_with(self, images: BlockRun) -> bool:
        """Whether its blocks are those of the images' run, so that one pass fills both."""
        ours, theirs = self.run.plan, images.plan
        return (ours.block_rows, ours.batch_rows) == (theirs.block_rows, theirs.batch_rows)


def start_patches(
    store: Store,
    names: tuple[str, str],
    model: Model | AnsweringModel,
    layers: Sequence[int],
    images: BlockRun,
) -> list[PatchRun]:
    """Plan the layers' runs beside the images' run, or take over the plans that are there.

    While images are unfinished and their blocks are small enough, blocks are theirs.
    """
    if not layers:  # a model need not be asked which it has
        return []
    shapes = model.patch_shapes
    plan = images.plan
    rows = fitting_rows([shapes[n] for n in layers], plan.batch_rows, plan.block_rows)
    runs = []
    for layer in layers:
        shape = (plan.n_rows, *shapes[layer])
        wanted = Plan(
            kind="patches",
            n_rows=plan.n_rows,
            block_rows=rows,
            batch_rows=plan.batch_rows,
            precision=plan.precision,
            inputs={**plan.inputs, "layer": str(layer), "convention": CONVENTION},
            arrays=(lay_out(schema.PATCHES, shape, rows),),
        )
        run = BlockRun.start(store.files, layout.patches(*names, layer), wanted)
        runs.append(PatchRun(layer, len(shapes), model.transform, model.patch_cells[layer], run))
    return runs


def together(runs: Sequence[PatchRun]) -> list[list[PatchRun]]:
    """Group unfinished runs by their blocks: a group goes through the model in one pass."""
    groups: dict[tuple[int, int], list[PatchRun]] = {}
    for patches in runs:
        if patches.run.manifest is None:
            plan = patches.run.plan
            groups.setdefault((plan.block_rows, plan.batch_rows), []).append(patches)
    return list(groups.values())
