"""Scores by what of a feature lies outside the reference's principal space (Wang et al., 2022).

Features are what the head's weights multiply: of unit length under a head that normalises
(zero-shot), whose bias is mostly zero and so its origin too. Their origin is where logits are
nearest to zero, u = -W⁺ b, over the ID data set's classes . The principal space is that
of the first eigenvectors of the mean outer product of features about u.

Dimensions: B samples of a block, D embedding, P of the principal space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.detection.linear import LinearHead, energy, linear_head
from embedstore.detection.moments import ROUNDING, moments
from embedstore.detection.score import UndefinedScoreError, score
from embedstore.detection.subject import Block, Subject

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Residual:
    """Minus the length of what lies outside the principal space."""

    origin: F64  # (D,) u
    axes: F64  # (D, D - P) the eigenvectors left over
    dim: int  # P

    def lengths(self, features: F32) -> F64:
        """(B, D) -> (B,)."""
        return np.asarray(np.linalg.norm((features - self.origin) @ self.axes, axis=1))

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        return -self.lengths(block.features)


@dataclass(frozen=True, slots=True)
class VirtualLogit:
    """The energy less a virtual logit, `alpha` times the residual's length."""

    residual: Residual
    alpha: float

    @property
    def dim(self) -> int:
        """P."""
        return self.residual.dim

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        virtual = self.alpha * self.residual.lengths(block.features)
        return energy(block.logits) - virtual


@score("residual", "head", "reference")
def residual(subject: Subject, *, dim: int | None = None) -> Residual:
    """Minus the length of the feature's part outside the principal space (Wang et al., 2022).

    Parameters
    ----------
    subject
        Its head is linear.
    dim
        Of the principal space; None: 1,000 where D is at least 2,048, else 512, as in the authors'
        code, and half of D where that leaves nothing.

    Raises
    ------
    UndefinedScoreError
        If the head is not linear, or the reference does not reach beyond the principal space:
        it has too few samples, or embeddings that are all alike.
    """
    origin = _origin(linear_head(subject))
    n_dims = len(origin)
    dim = principal_dim(n_dims) if dim is None else dim
    if not 0 <= dim < n_dims:
        raise UndefinedScoreError(
            f"a principal space of {dim} leaves nothing of {n_dims} dimensions; choose dim from 0 "
            f"to {n_dims - 1}"
        )
    blocks = ((b.features, np.zeros(len(b), np.int64)) for b in subject.reference_blocks())
    squares, axes = np.linalg.eigh(moments(blocks, 1).about(origin))  # ascending
    if squares[n_dims - dim - 1] <= ROUNDING * squares.sum():
        raise UndefinedScoreError(
            f"the reference does not reach beyond a principal space of {dim} dimensions; take a "
            "larger one, or a smaller dim"
        )
    return Residual(origin, axes[:, : n_dims - dim], dim)


@score("vim", "head", "reference")
def vim(subject: Subject, *, dim: int | None = None) -> VirtualLogit:
    """Energy less a virtual logit, alpha times the residual's length (Wang et al., 2022).

    Alpha is the reference's mean largest logit over its mean residual length (eq. 6).

    Parameters
    ----------
    subject
        Its head is linear.
    dim
        As of `residual`.

    Raises
    ------
    UndefinedScoreError
        As `residual`, and if the mean largest logit is not above 0.
    """
    outside = residual(subject, dim=dim)
    largest = lengths = 0.0
    for block in subject.reference_blocks():
        largest += float(block.logits.max(axis=1).sum(dtype=np.float64))
        lengths += float(outside.lengths(block.features).sum())
    if largest <= 0:  # a bias as SigLIP's makes them so, and alpha would count against ID samples
        raise UndefinedScoreError(
            "the reference's largest logits are not above 0 on average: they give the virtual "
            "logit no scale"
        )
    return VirtualLogit(outside, largest / lengths)


def _origin(head: LinearHead) -> F64:
    """Return the shortest features whose logits are nearest to zero, u = -W⁺ b: (D,)."""
    if not head.bias.any():
        return np.zeros(head.weights.shape[1])
    weights, bias = head.weights.astype(np.float64), head.bias.astype(np.float64)
    return np.asarray(np.linalg.lstsq(weights, -bias, rcond=None)[0])


def principal_dim(n_dims: int) -> int:
    """Return the default dimension of the principal space: D -> P."""
    if n_dims >= 2048:
        return 1000
    return 512 if n_dims > 512 else n_dims // 2
