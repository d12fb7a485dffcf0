"""What the encoder asks of a model. Adapters subclass :class:`Model`; a user's own model may too.

Dimensions: B pictures or texts of a batch, H, W pixels, D embedding, C classes, L tokens; h, w, d
rows, columns and features of a layer's patches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedstore.errors import ModelError
from embedstore.heads import Head
from embedstore.transform import Cells, Transform

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Model(ABC):
    """An image tower, with a text tower or a classifier of its own, or both.

    A model is created on the CPU in float32 and evaluation mode, and moved once with :meth:`to`.
    It is given pictures already normalised, in its own dtype and on its own device.
    """

    transform: Transform  # what pictures must undergo before `embed_images`
    embedding_dim: int  # D
    has_text: bool = False  # whether `tokenize` and `embed_texts` serve
    cuts_texts: bool = False  # whether tokens may be cut to `token_lengths` with the same result
    logit_scale: float = 1.0  # multiplies cosines; a zero-shot head's scale
    logit_bias: float = 0.0  # added to them (SigLIP); a zero-shot head's bias
    own_head: Head | None = None  # the model's own classifier, native where it is not linear
    notes: tuple[str, ...] = ()  # what loading had to assume, a sentence each; part of provenance

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Return what must not change between runs of one model, a digest or short text a field.

        Fields: `weights` (digest of every tensor's name, shape and float32 bytes), `architecture`,
        `tokenizer` (digest of the ids of a fixed list of texts; empty without text tower),
        `transform`. Precision is added by the encoder.
        """

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype, *, compile: bool = False) -> None:  # noqa: A002
        """Move to `device` in pure `dtype` (no autocast), channels-last on CUDA."""

    @abstractmethod
    def embed_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) -> embeddings (B, D) not normalised, and the native head's logits (B, C)."""

    @property
    def patch_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(h, w, d) of each layer whose patches can be had, the first first; empty without any."""
        return ()

    @property
    def patch_cells(self) -> tuple[Cells, ...]:
        """Where the cells of each of these layers lie on the model's input."""
        return ()

    def embed_with_patches(
        self,
        pixels: Tensor,  # noqa: ARG002
        layers: Sequence[int],  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Do as :meth:`embed_images`, bit for bit, and give each layer's patches: (B, h, w, d).

        Patches are what the block or stage puts out, as Probe3D takes them (El Banani et al.,
        2024): rows from the top, no class or register tokens, neither the tower's final norm nor
        its projection, not of unit length.

        Parameters
        ----------
        pixels
            (B, 3, H, W) as for :meth:`embed_images`.
        layers
            Places in `patch_shapes`, ascending.
        """
        raise ModelError(
            "this model gives no patch features; choose an open_clip or timm model, or name the "
            "layers of your own: ModuleModel(..., layers=[...])"
        )

    def tokenize(self, texts: list[str]) -> Tensor:  # noqa: ARG002
        """Texts -> (B, L) token ids on the CPU, padded to the model's context length."""
        raise ModelError(
            "this model has no text tower; choose one that has, such as an open_clip model"
        )

    def token_lengths(self, tokens: Tensor) -> Tensor:  # noqa: ARG002
        """(B, L) -> (B,) tokens that matter: to the end-of-text mark, or the last not padded."""
        raise ModelError(
            "this model has no text tower; choose one that has, such as an open_clip model"
        )

    def embed_texts(self, tokens: Tensor) -> Tensor:  # noqa: ARG002
        """(B, L') -> (B, D) not normalised; L' < L only if `cuts_texts`."""
        raise ModelError(
            "this model has no text tower; choose one that has, such as an open_clip model"
        )
