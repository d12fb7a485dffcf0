"""WiSE-FT of heads (Wortsman et al., 2022): weights between those of two heads.

Dimensions: C classes, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import EmbedStoreError
from embedstore.heads.head import Head
from embedstore.heads.recipes import Effort, Made, Notice, Recipe
from embedstore.heads.stored import head_digest, load_fitted, load_head
from embedstore.store import Store

F32 = npt.NDArray[np.float32]


def interpolate(start: Head, end: Head, alpha: float) -> Head:
    """Return ``(1 - alpha) * start + alpha * end``, scales included, classes in `start`'s order.

    Raises
    ------
    EmbedStoreError
        If a head is not linear, or the two differ in classes, dimensions or normalisation.
    """
    if not 0 <= alpha <= 1:
        raise EmbedStoreError(f"--alpha {alpha} is not in [0, 1]; try --alpha .5")
    for role, head in (("--from", start), ("--to", end)):
        if not head.linear:
            what = "is native" if head.native else "has a cache"
            raise EmbedStoreError(
                f"the head of {role} {what}: it is not all weights; choose a linear one"
            )
    differing = sorted(set(start.class_ids) ^ set(end.class_ids))
    if differing:
        raise EmbedStoreError(
            f"the two heads differ in {len(differing)} classes, such as {differing[0]!r}; choose "
            "heads of the same classes"
        )
    if start.normalize != end.normalize:
        raise EmbedStoreError(
            "one head is over embeddings of unit length (normalize), the other is not; fit the "
            "latter with: embedstore head fit --normalize"
        )
    (w0, b0), (w1, b1) = _effective(start), _effective(end)
    if w0.shape[1] != w1.shape[1]:
        raise EmbedStoreError(
            f"the two heads are over embeddings of {w0.shape[1]} and {w1.shape[1]} dimensions; "
            "choose heads of one model"
        )
    column = {class_id: i for i, class_id in enumerate(end.class_ids)}
    order = [column[class_id] for class_id in start.class_ids]
    near, far = np.float32(1 - alpha), np.float32(alpha)
    weights, bias = near * w0 + far * w1[order], near * b0 + far * b1[order]
    return Head(start.class_ids, weights, bias, normalize=start.normalize)


def _effective(head: Head) -> tuple[F32, F32]:
    """Weights with the scale in them, as logits use them, and a bias: (C, D), (C,)."""
    assert head.weights is not None
    bias = np.zeros(len(head.class_ids), np.float32) if head.bias is None else head.bias
    return np.float32(head.scale) * head.weights, bias


@dataclass(frozen=True, slots=True, kw_only=True)
class WiseFT(Recipe):
    """A head between two others of the model."""

    kind: ClassVar[str] = "wise-ft"
    start: str  # head at alpha 0
    end: str  # head at alpha 1
    alpha: float = 0.5

    @property
    def default_name(self) -> str:
        """Kind, alpha and the two heads."""
        return f"{self.kind}-{self.alpha:g}--{self.start}--{self.end}"

    def inputs(self, store: Store, model: str) -> dict[str, str]:
        """Digests of the two heads."""
        names = {"start digest": self.start, "end digest": self.end}
        return {key: head_digest(store, model, name) for key, name in names.items()}

    def effort(self, store: Store, model: str) -> Effort:
        """Two heads in memory, and the new one."""
        head = self._head(store, model)
        assert head.weights is not None
        return Effort(0, 0, 0, len(head.class_ids), 3 * head.weights.nbytes)

    def make(self, store: Store, model: str, _notice: Notice) -> Made:
        """Interpolate; what either head was fitted on had a say in this one."""
        parents = [load_fitted(store, model, name) for name in (self.start, self.end)]
        frames = [frame for frame in parents if frame is not None]
        fitted = pl.concat(frames).unique(maintain_order=True) if frames else None
        return Made(self._head(store, model), {}, fitted)

    def _head(self, store: Store, model: str) -> Head:
        start, end = (load_head(store, model, name) for name in (self.start, self.end))
        return interpolate(start, end, self.alpha)
