"""Heads: what turns image embeddings into logits. They know arrays, not where these are kept.

Dimensions: N samples, C classes, D embedding, T templates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Head:
    """``logits = scale * f(x) @ weights.T + bias``, f bringing rows to unit length if `normalize`.

    A head whose `weights` are None is native: the model's own classifier is no linear layer over
    its embedding, so its logits are stored as the model gave them.
    """

    class_ids: tuple[str, ...]  # (C,) WordNet ids, or names where there are none
    weights: F32 | None  # (C, D)
    bias: F32 | None = None  # (C,)
    scale: float = 1.0
    normalize: bool = False

    @property
    def native(self) -> bool:
        """Whether logits can only come from the model itself."""
        return self.weights is None

    def logits(self, embeddings: npt.NDArray[np.floating]) -> F32:
        """(N, D) -> (N, C), in float32."""
        if self.weights is None:
            raise EmbedStoreError(
                "this head is native: its logits come from the model alone, and there are no "
                "weights to apply; use the stored logits"
            )
        x = np.asarray(embeddings, dtype=np.float32)
        if self.normalize:
            x = unit(x)
        logits = x @ (np.float32(self.scale) * self.weights).T
        if self.bias is not None:
            logits += self.bias
        return logits


def unit(x: F32) -> F32:
    """Bring each row to unit length: (N, D) -> (N, D). A row of zeros stays zero."""
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, np.where(norm == 0, np.float32(1), norm), dtype=np.float32)


def zero_shot_weights(texts: F32, class_index: npt.NDArray[np.integer], n_classes: int) -> F32:
    """Mean of normalised texts, normalised (Radford et al., 2021, sec. 3.1.4): (C*T, D) -> (C, D).

    Parameters
    ----------
    texts
        (C*T, D) text embeddings, of any length.
    class_index
        (C*T,) the class that each text names, 0 to C - 1; classes may have different counts.
    n_classes
        C.

    Raises
    ------
    EmbedStoreError
        If a class has no text.
    """
    counts = np.bincount(class_index, minlength=n_classes)
    if (counts == 0).any():
        raise EmbedStoreError(
            f"class {int(np.flatnonzero(counts == 0)[0])} has no text; give every class a prompt"
        )
    sums = np.zeros((n_classes, texts.shape[1]), np.float64)
    np.add.at(sums, class_index, unit(np.asarray(texts, np.float32)))
    return unit((sums / counts[:, None]).astype(np.float32))
