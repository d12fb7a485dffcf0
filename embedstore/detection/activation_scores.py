"""Scores from changed activations: the energy of logits once features or weights are changed.

They are made for pooled features that are not negative, after a ReLU, under a linear head that does
not normalise; elsewhere they mean nothing. Percentiles default to those for ImageNet. As in OpenOOD
v1.5 (Zhang et al., 2023) features are changed once pooled. A reference is needed by all, be it only
to see that its features are not negative.

Dimensions: N samples of the reference, B of a block, C classes, D embedding, K activations kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from embedstore.detection.linear import LinearHead, energy, linear_head
from embedstore.detection.score import UndefinedScoreError, score
from embedstore.detection.subject import Block, Subject
from embedstore.errors import EmbedStoreError, UnknownNameError

Bool = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Variant = Literal["b", "p", "s"]

#: A negative activation of this share of the largest is float16's rounding.
ROUNDING = 2.0**-10


@dataclass(frozen=True, slots=True)
class Rectified:
    """Energy of activations that are cut at a threshold."""

    head: LinearHead
    threshold: float

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        return energy(self.head.logits(np.minimum(block.features, np.float32(self.threshold))))


@dataclass(frozen=True, slots=True)
class Shaped:
    """Energy of the largest activations, changed as the variant says."""

    head: LinearHead
    n_kept: int  # K
    variant: Variant

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        x = block.features
        kept = largest(x, self.n_kept)
        if self.variant == "b":
            fill = x.sum(axis=1, dtype=np.float64) / self.n_kept
            return energy(self.head.logits(kept * fill[:, None].astype(np.float32)))
        pruned = x * kept
        if self.variant == "p":
            return energy(self.head.logits(pruned))
        factor = sharpening(x, pruned)
        return energy(self.head.logits(pruned * factor[:, None]))


@dataclass(frozen=True, slots=True)
class Scaled:
    """Energy of all activations times a factor a sample."""

    head: LinearHead
    n_kept: int  # K

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        x = block.features
        factor = sharpening(x, x * largest(x, self.n_kept))
        return energy(self.head.logits(x * factor[:, None]))


@dataclass(frozen=True, slots=True)
class Sparse:
    """Energy under the weights that contribute most."""

    head: LinearHead  # other weights are zero

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        return energy(self.head.logits(block.features))


@score("react", "head", "reference")
def react(subject: Subject, *, percentile: float = 90.0) -> Rectified:
    """Energy once activations are cut at a percentile of the reference's (Sun et al., 2021).

    Parameters
    ----------
    subject
        Its head is linear, its features are not negative.
    percentile
        Of all activations of all samples, linear between two; the paper's 90.

    Raises
    ------
    UndefinedScoreError
        If the head is not linear or normalises, or features are negative.
    """
    _check_percentile(percentile)
    head = _plain_head(subject)
    counts = np.zeros(2**16, np.int64)
    for features in _activations(subject):
        bits = features.astype(np.float16).view(np.uint16)  # exact: they are stored so
        counts += np.bincount(bits.ravel(), minlength=2**16)
    return Rectified(head, _percentile(counts, percentile))


@score("ash", "head", "reference")
def ash(subject: Subject, *, percentile: float = 90.0, variant: Variant = "s") -> Shaped:
    """Energy of the largest activations of each sample (Djurisic et al., 2023).

    Of equal activations at the edge, those of the first dimensions are kept.

    Parameters
    ----------
    subject
        Its head is linear, its features are not negative.
    percentile
        Share of a sample's activations that become zero; the paper's 90 of ASH-S on ImageNet (its
        ASH-B has 65, ASH-P 60).
    variant
        `s` times exp(sum before / sum after), `p` as they are, `b` all equal to sum before / K.

    Raises
    ------
    UndefinedScoreError
        If the head is not linear or normalises, or features are negative.
    """
    if variant not in get_args(Variant):
        raise UnknownNameError("variant of ASH", variant, get_args(Variant))
    n_kept = _n_kept(subject.n_dims, percentile)
    head = _plain_head(subject)
    _refuse_signed(subject)
    return Shaped(head, n_kept, variant)


@score("scale", "head", "reference")
def scale(subject: Subject, *, percentile: float = 85.0) -> Scaled:
    """Energy of activations times exp(sum of all / sum of the largest) (Xu et al., 2024).

    Parameters
    ----------
    subject
        Its head is linear, its features are not negative.
    percentile
        Share of a sample's activations that are not among the largest; the paper's 85.

    Raises
    ------
    UndefinedScoreError
        If the head is not linear or normalises, or features are negative.
    """
    n_kept = _n_kept(subject.n_dims, percentile)
    head = _plain_head(subject)
    _refuse_signed(subject)
    return Scaled(head, n_kept)


@score("dice", "head", "reference")
def dice(subject: Subject, *, percentile: float = 70.0) -> Sparse:
    """Energy under the weights that contribute most (Sun & Li, 2022).

    A weight's contribution is its product with the reference's mean activation.

    Parameters
    ----------
    subject
        Its head is linear, its features are not negative.
    percentile
        Of all contributions, linear between two: weights above it are kept, others become zero;
        the paper's 70 for ImageNet (its CIFAR-10 and OpenOOD: 90).

    Raises
    ------
    UndefinedScoreError
        If the head is not linear or normalises, or features are negative.
    """
    _check_percentile(percentile)
    head = _plain_head(subject)
    total, n_samples = np.zeros(head.weights.shape[1]), 0
    for features in _activations(subject):
        total += features.sum(axis=0, dtype=np.float64)
        n_samples += len(features)
    contributions = total / n_samples * head.weights
    kept = contributions > np.percentile(contributions, percentile)
    return Sparse(LinearHead(head.weights * kept, head.bias))


def largest(x: F32, n_kept: int) -> Bool:
    """Mark the K largest of each row, of equal ones the first: (B, D) -> (B, D)."""
    place = x.shape[1] - n_kept
    edge = np.partition(x, place, axis=1)[:, place, None]
    kept = x >= edge
    surplus = kept.sum(axis=1) > n_kept
    if surplus.any():
        rows, edge = x[surplus], edge[surplus]
        above, equal = rows > edge, rows == edge
        spare = n_kept - above.sum(axis=1, keepdims=True)
        kept[surplus] = above | (equal & (np.cumsum(equal, axis=1) <= spare))
    return kept


def sharpening(x: F32, pruned: F32) -> F32:
    """Exponential of the sum before over the sum after, 1 if that is zero: (B, D) twice -> (B,)."""
    before, after = (values.sum(axis=1, dtype=np.float64) for values in (x, pruned))
    ratio = np.divide(before, after, out=np.zeros_like(before), where=after > 0)
    with np.errstate(over="ignore"):
        factor: F32 = np.exp(ratio).astype(np.float32)
    if not np.isfinite(factor).all():
        raise UndefinedScoreError(
            f"activations are multiplied by exp({ratio.max():.3g}), beyond what float32 holds; "
            "choose a lower percentile"
        )
    return factor


def _plain_head(subject: Subject) -> LinearHead:
    """Return the head, or say why activations before it mean nothing."""
    head = linear_head(subject)
    if subject.head.normalize:
        raise UndefinedScoreError(
            f"head {subject.head_name!r} brings features to unit length: they are no activations"
        )
    return head


def _refuse_signed(subject: Subject) -> None:
    """Go through the reference for nothing but the sign of its features."""
    for _ in _activations(subject):
        pass


def _activations(subject: Subject) -> Iterator[F32]:
    """Yield the reference's features, refusing negative ones: blocks of (B, D)."""
    for block in subject.reference_blocks():
        lowest = float(block.features.min())
        if lowest < -ROUNDING * float(block.features.max()):
            raise UndefinedScoreError(
                f"features are signed (as low as {lowest:.3g}): they are no activations after a "
                "ReLU"
            )
        yield block.features


def _percentile(counts: I64, percentile: float) -> float:
    """Interpolate as NumPy does, of counts by float16's bits: (65536,) -> scalar."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)[counts > 0].astype(np.float64)
    order = np.argsort(values)
    values, up_to = values[order], np.cumsum(counts[counts > 0][order])
    place = (up_to[-1] - 1) * percentile / 100
    below, above = values[np.searchsorted(up_to, [np.floor(place), np.ceil(place)], side="right")]
    return float(below + (above - below) * (place % 1))


def _n_kept(n_dims: int, percentile: float) -> int:
    """Return how many of D activations are kept, rounded as in the papers' code; at least one."""
    _check_percentile(percentile)
    return max(1, n_dims - round(n_dims * percentile / 100))


def _check_percentile(percentile: float) -> None:
    if not 0 <= percentile <= 100:
        raise EmbedStoreError(f"percentile={percentile} is not from 0 to 100; try percentile=90")
