"""Stores of given patch features, made without any model, for tests.

Dimensions: N pictures; h, w, d rows, columns and features of a layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedstore import schema
from embedstore.correspondence.points import Sight
from embedstore.store import Store, layout
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out
from embedstore.testing.given import Given, given_store
from embedstore.transform import Cells, Transform


def even_cells(size: tuple[int, int], shape: tuple[int, ...]) -> Cells:
    """Return h x w cells that part an input of this height and width among them."""
    down, right = (n / m for n, m in zip(size, shape, strict=True))
    return Cells((down, right), ((down - 1) / 2, (right - 1) / 2))


def even_sight(transform: Transform, shape: tuple[int, int]) -> Sight:
    """Return how such a map lies over pictures."""
    return Sight(transform, shape, even_cells(transform.size, shape))


def patched_store(
    path: Path,
    patches: npt.NDArray[np.floating],
    *,
    transform: Transform | None,
    cells: Cells | None = None,
    model: str = "model",
    dataset: str = "data",
    layer: int = 0,
    n_layers: int = 1,
) -> Store:
    """Make a store of one model's patches over a data set, or add a model to one.

    Parameters
    ----------
    path
        Where to.
    patches
        (N, h, w, d); a picture of NaN failed.
    transform
        Of the model; None: the layer does not say, as before there was correspondence.
    cells
        Of the layer; None: the input is parted evenly among them.
    model, dataset
        Names.
    layer, n_layers
        Which layer of how many.
    """
    means = patches.mean(axis=(1, 2), dtype=np.float64)
    store = given_store(path, {dataset: Given(means)}, model=model)
    n_rows = len(patches)
    inputs = {"fingerprint": store.dataset(dataset).fingerprint}
    arrays = (lay_out(schema.PATCHES, patches.shape, n_rows),)
    plan = Plan("patches", n_rows, n_rows, n_rows, "float32", inputs, arrays)
    run = BlockRun.start(store.files, layout.patches(model, dataset, layer), plan)
    for block in run.missing():
        start, stop = plan.rows(block)
        run.commit(block, {schema.PATCHES.name: patches[start:stop].astype(np.float16)})
    facts: dict[str, Any] = {"layer": layer, "n_layers": n_layers, **inputs}
    if transform is not None:
        cells = cells or even_cells(transform.size, patches.shape[1:3])
        facts |= {"transform": transform.record(), "cells": cells.record()}
    run.finish(facts)
    return store
