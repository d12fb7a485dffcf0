"""Models for `python:` SPECs that load in a second: fixed random projections of the pixels."""

from __future__ import annotations

import os
import time

import torch
from torch import Tensor, nn

from embedstore.models.python_adapter import ModuleModel
from embedstore.transform import Transform

SIZE = 32
TRANSFORM = Transform(size=(SIZE, SIZE), resize_to=(SIZE, SIZE))
DIM = 24


class Projection(nn.Module):
    """(B, 3, H, W) -> (B, D), slowly if TOY_SECONDS says so."""

    def __init__(self, native: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(3 * SIZE * SIZE, DIM, generator=generator) / SIZE
        self.weights = nn.Parameter(weights, requires_grad=False)
        self.native = native

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if pixels.shape[0] > 1:  # a probe at load is one picture
            time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        embeddings = torch.tanh(pixels.flatten(1) @ self.weights)
        if self.native:
            return embeddings, embeddings[:, : len(class_ids())] ** 2 * 5
        return embeddings


def class_ids() -> list[str]:
    return sorted(os.environ["TOY_CLASSES"].split(","))


def _linear() -> nn.Linear:
    layer = nn.Linear(DIM, len(class_ids()))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.zero_()
    return layer


def linear() -> ModuleModel:
    """A model whose head is linear."""
    return ModuleModel(Projection(), TRANSFORM, head=_linear(), class_ids=class_ids())


def native() -> ModuleModel:
    """A model whose head is native."""
    return ModuleModel(Projection(native=True), TRANSFORM, class_ids=class_ids())


def headless() -> ModuleModel:
    """A model without a head."""
    return ModuleModel(Projection(), TRANSFORM)


class Broken(Projection):
    """Gives NaN for every batch of more than one picture."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels) * (float("nan") if pixels.shape[0] > 1 else 1.0)


def broken() -> ModuleModel:
    """A model whose output holds NaN."""
    return ModuleModel(Broken(), TRANSFORM)


class Layered(nn.Module):
    """Two convolutions, whose maps are its layers: (6, 6, 4) and (3, 3, 6)."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.first = nn.Conv2d(3, 4, 5, stride=5)
        self.second = nn.Conv2d(4, 6, 2, stride=2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 5)
            self.second.weight.mul_(gain)

    def forward(self, pixels: Tensor) -> Tensor:
        if pixels.shape[0] > 1:  # as above
            time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        maps = self.second(torch.tanh(self.first(pixels)))
        return torch.tanh(maps).flatten(1)[:, :DIM]


def layered(gain: float = 1.0) -> ModuleModel:
    """A model that gives patch features too."""
    tower = Layered(gain)
    layers = [tower.first, tower.second]
    return ModuleModel(tower, TRANSFORM, _linear(), class_ids(), layers=layers)


def glaring() -> ModuleModel:
    """A model whose last patches are beyond float16, though its embeddings are not."""
    return layered(1e7)
