"""Planted patch maps: the feature of a cell is a function of what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from embedstore.transform import Transform

Array = np.ndarray[Any, np.dtype[Any]]
#: Pictures of 320 x 240, of which the model sees 224 x 224 in the middle, scaled by 14/15.
SIZE = (320, 240)
TRANSFORM = Transform((224, 224), (224, 224))
SCALE, LEFT = 224 / 240, (int(320 * 224 / 240) - 224) / 2
CELLS = 28


def cell_centres() -> Array:
    """Where the cells' centres lie in a picture, x and y: (784, 2)."""
    sides = (np.arange(CELLS) + 0.5) * 224 / CELLS  # of the input, from its corner
    width = int(320 * SCALE)  # truncated, as torchvision does
    x = (sides + LEFT) * 320 / width - 0.5
    y = sides * 240 / 224 - 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def waves(places: Array, shortest: float, seed: int = 0) -> Array:
    """Features of places, (N, K) -> (N, 64): smooth, and distinct where `shortest` parts them."""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(32, places.shape[1]))
    lengths = shortest * 2 ** random.uniform(0, 3, 32)
    phases = places @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T
    phases = 2 * np.pi * phases / lengths
    return np.concatenate([np.cos(phases), np.sin(phases)], axis=1)


@pytest.fixture(scope="session")
def centres() -> Array:
    return cell_centres()


@pytest.fixture(scope="session")
def planted() -> Callable[..., Array]:
    """A map of what cells show, given as places: (784, K) -> (28, 28, 64)."""

    def plant(places: Array, shortest: float) -> Array:
        return waves(places, shortest).reshape(CELLS, CELLS, -1).astype(np.float32)

    return plant


@pytest.fixture(scope="session")
def transform() -> Transform:
    return TRANSFORM
