"""Heads: what turns image embeddings into logits. They know arrays, not where these are kept.

Dimensions: N samples, C classes, D embedding, T templates, K keys of a cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

_AFFINITIES = 2**22  # of samples and keys that are held at once: 16 MiB


@dataclass(frozen=True, slots=True)
class Cache:
    """What Tip-Adapter adds to a head's logits: classes of training samples that look alike.

    ``alpha * exp(-beta * (1 - f @ keys.T)) @ values``, f of unit length, values the keys' one-hot
    classes (Zhang et al., 2022, eq. 4 and 6).
    """

    keys: F32  # (K, D) of unit length
    classes: I64  # (K,) columns of the head, ascending
    alpha: float  # logits that a key equal to the sample adds to its class
    beta: float  # how sharply that falls with the cosine

    def logits(self, embeddings: F32, n_classes: int) -> F32:
        """(N, D) of any length -> (N, C); N x K affinities are never there all at once."""
        added = np.zeros((len(embeddings), n_classes), np.float32)
        step = max(1, _AFFINITIES // max(1, len(self.keys)))
        for start in range(0, len(embeddings), step):
            affinity = unit(embeddings[start : start + step]) @ self.keys.T
            columns, sums = votes(affinity, self.classes, self.beta)
            added[start : start + step, columns] = np.float32(self.alpha) * sums
        return added


def votes(affinity: F32, classes: I64, beta: float) -> tuple[I64, F32]:
    """Sum the keys' votes by class: (N, K) cosines, (K,) ascending -> (V,) classes, (N, V)."""
    starts = np.flatnonzero(np.diff(classes, prepend=-1))
    powers = np.exp(np.float32(beta) * (affinity - np.float32(1)))
    return classes[starts], np.add.reduceat(powers, starts, axis=1)


@dataclass(frozen=True, slots=True)
class Head:
    """``logits = scale * f(x) @ weights.T + bias``, f bringing rows to unit length if `normalize`.

    A head whose `weights` are None is native: the model's own classifier is no linear layer over
    its embedding, so its logits are stored as the model gave them. A `cache` adds its own.
    """

    class_ids: tuple[str, ...]  # (C,) WordNet ids, or names where there are none
    weights: F32 | None  # (C, D)
    bias: F32 | None = None  # (C,)
    scale: float = 1.0
    normalize: bool = False
    cache: Cache | None = None

    @property
    def native(self) -> bool:
        """Whether logits can only come from the model itself."""
        return self.weights is None

    @property
    def linear(self) -> bool:
        """Whether weights and bias are all there is."""
        return self.weights is not None and self.cache is None

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
        if self.cache is not None:
            logits += self.cache.logits(x, len(self.class_ids))
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
