"""What the answers' pass asks of a model that answers questions about pictures.

Such a model has no embeddings of pictures to classify by: its image tower has no projection into
text space. What it says is how likely each answer is, and which it would write.

Dimensions: B pictures, O options of a question, H, W pixels; h, w, d rows, columns and features of
a layer's patches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.transform import Cells, Transform

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a picture, and the answers whose likelihood is asked for."""

    text: str
    options: tuple[str, ...]  # (O,)


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """How likely a question's options are, each as the whole answer's beginning."""

    sums: npt.NDArray[np.float32]  # (O,) log-likelihood of all tokens, nats
    n_tokens: npt.NDArray[np.int64]  # (O,)

    @property
    def per_token(self) -> npt.NDArray[np.float32]:
        """(O,) `sums` over the count of tokens, nats."""
        return (self.sums / self.n_tokens).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model says of B pictures."""

    likelihoods: list[list[Likelihoods]]  # of each picture and question
    texts: list[list[str]]  # likewise, decoded greedily; no text where that was not asked for
    patches: list[Tensor]  # (B, h, w, d) of each layer asked for


class AnsweringModel(ABC):
    """A language model that sees.

    It is created on the CPU in the precision of its weights, and moved once with :meth:`to`.
    """

    transform: Transform  # what its image tower sees of a picture: all, or the view of the whole
    prompt: str  # what is put around a question, which stands as {question}
    notes: tuple[str, ...] = ()  # what loading had to assume, a sentence each; part of provenance

    @property
    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Return what must not change between runs of one model, a digest or short text a field.

        Fields as of :class:`embedstore.models.base.Model`, and `processor` and `template`.
        """

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to `device` in pure `dtype`."""

    @abstractmethod
    def prepare(self, picture: npt.NDArray[np.uint8]) -> Any:
        """(H, W, 3) RGB -> what :meth:`answer` takes of it; on the CPU, from any thread.

        Raises
        ------
        PictureError
            If nothing would be left of the picture.
        """

    @property
    @abstractmethod
    def patch_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(h, w, d) of each layer of the image tower, the first first."""

    @property
    @abstractmethod
    def patch_cells(self) -> tuple[Cells, ...]:
        """Where the cells of each of these layers lie on the tower's input."""

    @abstractmethod
    def answer(
        self,
        pictures: Sequence[Any],
        questions: Sequence[Sequence[Question]],
        *,
        layers: Sequence[int] = (),
        max_tokens: int = 0,
    ) -> Answered:
        """Answer questions about B pictures, each of which is looked at once.

        Parameters
        ----------
        pictures
            (B,) of :meth:`prepare`.
        questions
            (B,) lists of equal length; where they are empty, pictures are only looked at.
        layers
            Places in `patch_shapes`, ascending, whose patches are wanted.
        max_tokens
            Tokens that are decoded greedily for each question; 0: none.
        """
