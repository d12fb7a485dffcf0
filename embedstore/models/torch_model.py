"""What all adapters over a ``torch.nn.Module`` share: moving, compiling, identity.

Dimensions: B pictures, H, W pixels, D embedding, C classes; h, w, d rows, columns and features of a
layer's patches.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from embedstore.errors import ModelError
from embedstore.heads import Head
from embedstore.models.base import Model
from embedstore.models.digests import (
    json_digest,
    tokenizer_digest,
    transform_digest,
    weights_digest,
)
from embedstore.models.patches import PatchLayer, PatchTower, patch_layers
from embedstore.transform import Cells, Transform


class TorchModel(Model):
    """A model whose work is done by one module.

    A subclass sets `_tower` where the module gives patch features, and calls :meth:`_settle` when
    all that :meth:`_derive` reads is there.
    """

    def __init__(self, module: nn.Module, transform: Transform, architecture: object) -> None:
        self.module: Any = module.float().eval().requires_grad_(False)
        self.transform = transform
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._architecture = architecture
        self._images: Any = self._forward_images
        self._patches: Any = self._forward_patches
        self._tower: PatchTower | None = None
        self._layers: tuple[PatchLayer, ...] | None = None
        self._one_pass = False
        self._identity: dict[str, str] = {}

    @property
    def identity(self) -> dict[str, str]:
        """Digests of weights, architecture, tokenizer and transform."""
        return dict(self._identity)

    def _settle(self) -> None:
        """Derive what follows from the weights, while they are those that were loaded, in float32.

        Called again when the weights are others: what the model says of itself is theirs then.
        """
        self._derive()
        self._identity = {
            "weights": weights_digest(self.module.state_dict()),
            "architecture": json_digest(self._architecture),
            "tokenizer": tokenizer_digest(self),
            "transform": transform_digest(self.transform),
        }

    @property
    def head_beside(self) -> Head | None:
        """A linear classifier that is no part of the module, as a user's own model may have."""
        return None

    def reload(self, state: Mapping[str, Tensor], head: Head | None = None) -> None:
        """Take other weights of the same names and shapes, and a classifier beside them."""
        if head is not None:
            raise ModelError("this model keeps its classifier in its module; give no other head")
        self.module.load_state_dict(dict(state))
        self._settle()

    @abstractmethod
    def _derive(self) -> None:
        """Set what depends on the weights: dimension of the embedding, head, scale."""

    def to(self, device: torch.device, dtype: torch.dtype, *, compile: bool = False) -> None:  # noqa: A002
        """Move to `device` in pure `dtype` (no autocast), channels-last on CUDA."""
        self.device, self.dtype = torch.device(device), dtype
        self.module.to(device=self.device, dtype=dtype)
        if self.device.type == "cuda":
            self.module.to(memory_format=torch.channels_last)
        if compile:
            self._images = torch.compile(self._forward_images)
            self._patches = torch.compile(self._forward_patches)

    def embed_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) -> embeddings (B, D) not normalised, and the native head's logits (B, C)."""
        with torch.inference_mode():
            embeddings, logits = self._images(self._placed(pixels))
        return embeddings, logits

    @property
    def patch_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(h, w, d) of each layer whose patches can be had; found in one pass when first asked."""
        return tuple(layer.shape for layer in self._described())

    @property
    def patch_cells(self) -> tuple[Cells, ...]:
        """Where the cells of each layer lie on the input; found in the same pass."""
        return tuple(layer.cells for layer in self._described())

    def _described(self) -> tuple[PatchLayer, ...]:
        if self._layers is None:
            self._layers = ()
            if self._tower is not None:
                pixels = self._placed(probe_pixels(self.transform).to(self.device, self.dtype))
                self._layers = patch_layers(self._tower, self.module, pixels)
                self._one_pass = bool(self._layers) and self._agrees(pixels)
        return self._layers

    def embed_with_patches(
        self, pixels: Tensor, layers: Sequence[int]
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Embeddings and logits as :meth:`embed_images`, and each layer's patches: (B, h, w, d)."""
        n_layers = len(self.patch_shapes)
        if any(not 0 <= layer < n_layers for layer in layers):
            raise ModelError(no_layer(layers, n_layers))
        with torch.inference_mode():
            embeddings, logits, maps = self._patches(self._placed(pixels), list(layers))
        return embeddings, logits, [m.permute(0, 2, 3, 1) for m in maps]

    def _placed(self, pixels: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return pixels.contiguous(memory_format=torch.channels_last)
        return pixels

    def _agrees(self, pixels: Tensor) -> bool:
        """Whether the pass that keeps layers gives the same bits as the one that does not."""
        assert self._tower is not None
        with torch.inference_mode():
            plain = self._forward_images(pixels)
            both = self._finish_images(pixels, self._tower(pixels, [0])[0])
        return all(
            (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
            for a, b in zip(plain, both, strict=True)
        )

    def _forward_patches(
        self, pixels: Tensor, layers: list[int]
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Embed and keep layers: in one pass where that changes no bit, else in two."""
        assert self._tower is not None
        output, maps = self._tower(pixels, layers)
        if self._one_pass:
            return *self._finish_images(pixels, output), maps
        return *self._forward_images(pixels), maps

    def _finish_images(self, pixels: Tensor, output: Any) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        """Make embeddings and a native head's logits of what the tower puts out."""
        return output, None

    @abstractmethod
    def _forward_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Do the work of :meth:`embed_images`; the part that may be compiled."""


def no_layer(layers: Sequence[object], n_layers: int) -> str:
    """Return what is wrong with `layers` of which one at least is not there."""
    named = ", ".join(map(str, layers))
    if not n_layers:
        return "this model gives no patch features; leave out --patches, or choose another model"
    return (
        f"layer {named} is not there: this model has {n_layers}, 0 to {n_layers - 1}, or -1 to "
        f"-{n_layers} from the end; name some of these"
    )


def probe_pixels(transform: Transform, n_pictures: int = 2) -> Tensor:
    """Return reproducible noise of the model's input size: (n_pictures, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n_pictures, 3, *transform.size, generator=generator)
