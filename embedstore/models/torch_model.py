"""What all adapters over a ``torch.nn.Module`` share: moving, compiling, identity.

Dimensions: B pictures, H, W pixels, D embedding, C classes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from embedstore.models.base import Model
from embedstore.models.digests import (
    json_digest,
    tokenizer_digest,
    transform_digest,
    weights_digest,
)
from embedstore.transform import Transform


class TorchModel(Model):
    """A model whose work is done by one module."""

    def __init__(self, module: nn.Module, transform: Transform) -> None:
        self.module: Any = module.float().eval().requires_grad_(False)
        self.transform = transform
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._images: Any = self._forward_images
        self._identity: dict[str, str] = {}

    @property
    def identity(self) -> dict[str, str]:
        """Digests of weights, architecture, tokenizer and transform."""
        return dict(self._identity)

    def _seal(self, architecture: object) -> None:
        """Fix the identity, while weights are still those that were loaded, in float32."""
        self._identity = {
            "weights": weights_digest(self.module.state_dict()),
            "architecture": json_digest(architecture),
            "tokenizer": tokenizer_digest(self),
            "transform": transform_digest(self.transform),
        }

    def to(self, device: torch.device, dtype: torch.dtype, *, compile: bool = False) -> None:  # noqa: A002
        """Move to `device` in pure `dtype` (no autocast), channels-last on CUDA."""
        self.device, self.dtype = torch.device(device), dtype
        self.module.to(device=self.device, dtype=dtype)
        if self.device.type == "cuda":
            self.module.to(memory_format=torch.channels_last)
        if compile:
            self._images = torch.compile(self._forward_images)

    def embed_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) -> embeddings (B, D) not normalised, and the native head's logits (B, C)."""
        if self.device.type == "cuda":
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            embeddings, logits = self._images(pixels)
        return embeddings, logits

    @abstractmethod
    def _forward_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Do the work of :meth:`embed_images`; the part that may be compiled."""


def probe_pixels(transform: Transform, n_pictures: int = 2) -> Tensor:
    """Return reproducible noise of the model's input size: (n_pictures, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n_pictures, 3, *transform.size, generator=generator)
