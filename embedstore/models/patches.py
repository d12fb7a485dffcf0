"""Patch features of an image tower: what its blocks or stages put out, and the output itself.

Layers are numbered as the tower's own library does: transformer blocks from 0, stages of a
convolutional network from 0, where the stem of a ResNet counts.

Dimensions: B pictures, H, W pixels, h, w, d rows, columns and features of a layer, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from embedstore.errors import ModelError
from embedstore.models.cells import layer_cells, watched
from embedstore.models.hub import brief
from embedstore.transform import Cells


class PatchTower(Protocol):
    """One pass through an image tower that keeps some layers."""

    def __call__(self, pixels: Tensor, layers: Sequence[int] | None) -> tuple[Any, list[Tensor]]:
        """(B, 3, H, W) -> the tower's output, and (B, d, h, w) of each layer; all where None."""


def timm_tower(module: Any) -> PatchTower:
    """Return the pass through a timm model; its output is that of `forward_features`."""

    def tower(pixels: Tensor, layers: Sequence[int] | None) -> tuple[Any, list[Tensor]]:
        indices = None if layers is None else list(layers)
        output, maps = module.forward_intermediates(pixels, indices=indices, output_fmt="NCHW")
        return output, maps

    return tower


def open_clip_tower(visual: Any) -> PatchTower:
    """Return the pass through an open_clip image tower; its output is the embedding."""
    from open_clip.modified_resnet import ModifiedResNet

    if hasattr(visual, "trunk"):
        trunk = timm_tower(visual.trunk)

        def wrapped(pixels: Tensor, layers: Sequence[int] | None) -> tuple[Any, list[Tensor]]:
            output, maps = trunk(pixels, layers)
            return visual.head(visual.trunk.forward_head(output)), maps

        return wrapped

    def tower(pixels: Tensor, layers: Sequence[int] | None) -> tuple[Any, list[Tensor]]:
        if layers is None or isinstance(visual, ModifiedResNet):
            # This ResNet stops at the last layer asked for, so it is asked for all five.
            output = visual.forward_intermediates(pixels, indices=None)
            maps: list[Tensor] = output["image_intermediates"]
            chosen = range(len(maps)) if layers is None else layers
            return output["image_features"], [maps[layer] for layer in chosen]
        output = visual.forward_intermediates(pixels, indices=list(layers))
        return output["image_features"], output["image_intermediates"]

    return tower


def hooked_tower(module: nn.Module, parts: Sequence[nn.Module]) -> PatchTower:
    """Return the pass through any module whose `parts` put out (B, d, h, w)."""

    def tower(pixels: Tensor, layers: Sequence[int] | None) -> tuple[Any, list[Tensor]]:
        kept: dict[int, Tensor] = {}
        chosen = range(len(parts)) if layers is None else layers
        hooks = [parts[layer].register_forward_hook(_keep(kept, layer)) for layer in chosen]
        try:
            output = module(pixels)
        finally:
            for hook in hooks:
                hook.remove()
        return output, [kept[layer] for layer in chosen]

    return tower


def _keep(kept: dict[int, Tensor], layer: int) -> Callable[..., None]:
    def hook(_module: nn.Module, _given: Any, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise ModelError(
                f"layer {layer} gives no map (B, d, h, w) of features; name another part as layer"
            )
        kept[layer] = output.clone()  # what follows may work in place

    return hook


@dataclass(frozen=True, slots=True)
class PatchLayer:
    """What can be said of a layer before it sees a picture."""

    shape: tuple[int, int, int]  # h, w, d
    cells: Cells


def patch_layers(tower: PatchTower, module: nn.Module, pixels: Tensor) -> tuple[PatchLayer, ...]:
    """Describe every layer, seen in one pass; none where the tower has no maps.

    Parameters
    ----------
    tower
        The pass.
    module
        Where its convolutions and poolings are.
    pixels
        (B, 3, H, W)

    Raises
    ------
    ModelError
        If the pass fails.
    """
    try:
        with torch.inference_mode(), watched(module) as steps:
            maps = tower(pixels, None)[1]
    except (AssertionError, AttributeError, NotImplementedError):  # how libraries say no
        return ()
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"the layers of this model cannot be read ({brief(error)}); leave out --patches"
        ) from error
    height, width = pixels.shape[2:]
    cells = layer_cells((height, width), [(m.shape[2], m.shape[3]) for m in maps], steps)
    return tuple(
        PatchLayer((m.shape[2], m.shape[3], m.shape[1]), c)
        for m, c in zip(maps, cells, strict=True)
    )
