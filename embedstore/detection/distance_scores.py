"""Scores by Mahalanobis distances of embeddings to a reference's class means.

Where the reference has fewer samples, less its classes, than dimensions, its covariance is singular
by count and is shrunk by Ledoit and Wolf's coefficient; a hyper-parameter sets another. Where it is
singular otherwise (a dimension is constant), its pseudo-inverse serves: directions of no more than
`moments.ROUNDING`, 1e-12, of the whole variance are left out, as are samples without a label.

Dimensions: N samples of the reference, B of a block, C classes, D embedding, R that vary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from embedstore.detection.moments import (
    Labelled,
    Moments,
    fourth_moment,
    ledoit_wolf,
    moments,
    of_unit_length,
    shrunk,
    whitening,
)
from embedstore.detection.score import UndefinedScoreError, score
from embedstore.detection.subject import Block, Subject
from embedstore.errors import EmbedStoreError

Floats = npt.NDArray[np.floating]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gaussians:
    """Normal distributions of one covariance, whitened."""

    center: F64  # (D,) near all means, so that little cancels
    axes: F64  # (D, R) whose product with its transpose is the inverse covariance
    means: F64  # (C, R) along the axes

    def least(self, embeddings: Floats) -> F64:
        """Squared Mahalanobis distance to the nearest mean: (B, D) -> (B,)."""
        x = (embeddings - self.center) @ self.axes
        to_means = x @ (-2 * self.means.T)
        to_means += np.square(self.means).sum(axis=1)
        return np.asarray(np.maximum(np.square(x).sum(axis=1) + to_means.min(axis=1), 0))


@dataclass(frozen=True, slots=True)
class Distances:
    """Minus the least distance to a class, less that to all samples where `whole` is there."""

    classes: Gaussians
    whole: Gaussians | None
    normalize: bool
    shrinkage: float  # of the covariance within classes

    def __call__(self, block: Block) -> F64:
        """Score a block: -> (B,)."""
        x = _chosen(block, self.normalize)
        to_whole = 0 if self.whole is None else self.whole.least(x)
        return np.asarray(to_whole - self.classes.least(x))


@score("mahalanobis", "reference")
def mahalanobis(
    subject: Subject, *, normalize: bool = False, shrinkage: float | None = None
) -> Distances:
    """Minus the squared Mahalanobis distance to the nearest class mean (Lee et al., 2018, eq. 2).

    The covariance is tied: the mean outer product of samples less their class's mean (eq. 1). The
    paper's input preprocessing and its ensemble of layers need the model, and are left out.

    Parameters
    ----------
    subject
        Its reference has labels.
    normalize
        Bring embeddings to unit length first; the paper does not.
    shrinkage
        0 to 1, share of the identity in the covariance; None: Ledoit and Wolf's coefficient (2004)
        where N - C < D, and 0 elsewhere, as in the paper.

    Raises
    ------
    UndefinedScoreError
        If the reference has no labels, no class of two samples, or no variance within classes.
    """
    return _distances(subject, normalize, shrinkage, relative=False)


@score("relative-mahalanobis", "reference")
def relative_mahalanobis(
    subject: Subject, *, normalize: bool = False, shrinkage: float | None = None
) -> Distances:
    """Minus the Mahalanobis distance relative to that of all samples (Ren et al., 2021).

    From the squared distance to the nearest class mean, under the covariance within classes, that
    to the mean of all labelled samples is taken off, under the covariance about it.

    Parameters
    ----------
    subject
        Its reference has labels.
    normalize
        Bring embeddings to unit length first; the paper does not.
    shrinkage
        As of `mahalanobis`, for both covariances; None: each has a coefficient of its own.

    Raises
    ------
    UndefinedScoreError
        As `mahalanobis`.
    """
    return _distances(subject, normalize, shrinkage, relative=True)


def _distances(
    subject: Subject, normalize: bool, shrinkage: float | None, *, relative: bool
) -> Distances:
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise EmbedStoreError(f"shrinkage={shrinkage} is not from 0 to 1; try shrinkage=0.1")
    found = _labelled_moments(subject, normalize)
    if shrinkage is None and found.n_samples - len(found.counts) >= len(found.mean):
        shrinkage = 0.0
    within = found.within() / found.n_samples
    of_classes = shrinkage
    if of_classes is None:
        centred = (x - found.means[y] for x, y in _labelled(subject, normalize, found.classes))
        of_classes = ledoit_wolf(within, found.n_samples, fourth_moment(centred))
    classes = _gaussians(found, within, found.means, of_classes)
    if not relative:
        return Distances(classes, None, normalize, of_classes)
    covariance = found.scatter / found.n_samples
    if shrinkage is None:
        centred = (x - found.mean for x, _ in _labelled(subject, normalize, found.classes))
        shrinkage = ledoit_wolf(covariance, found.n_samples, fourth_moment(centred))
    whole = _gaussians(found, covariance, found.mean[None], shrinkage)
    return Distances(classes, whole, normalize, of_classes)


def _gaussians(found: Moments, covariance: F64, means: F64, shrinkage: float) -> Gaussians:
    """(D, D), (C, D) -> whitened."""
    variance = float(np.trace(found.scatter)) / found.n_samples
    axes = whitening(shrunk(covariance, shrinkage), variance)
    if axes.shape[1] == 0:
        raise UndefinedScoreError("embeddings of the reference do not vary within their classes")
    return Gaussians(found.mean, axes, (means - found.mean) @ axes)


def _labelled_moments(subject: Subject, normalize: bool) -> Moments:
    """Return the moments of the samples that have a label."""
    assert subject.reference is not None, "asked for by scores that need it alone"
    name = subject.reference.dataset
    n_classes = len(subject.store.dataset(name).class_ids)
    blocks = _labelled(subject, normalize, np.arange(n_classes))
    first = next(blocks, None)
    if first is None:
        raise UndefinedScoreError(f"no sample of the reference {name!r} has a label")
    found = moments(chain([first], blocks), n_classes)
    if found.counts.max() < 2:
        raise UndefinedScoreError(
            f"no class of the reference {name!r} has two samples, so that there is no covariance "
            "within classes"
        )
    return found


def _labelled(subject: Subject, normalize: bool, classes: I64) -> Iterator[Labelled]:
    """Yield the samples that have a label, each with its place among `classes`: (C,) ascending."""
    for block in subject.reference_blocks():
        known = block.labels >= 0
        if known.any():
            yield _chosen(block, normalize)[known], np.searchsorted(classes, block.labels[known])


def _chosen(block: Block, normalize: bool) -> Floats:
    """(B, D); of unit length in float64: small variances amplify what float32 rounds off."""
    return of_unit_length(block.embeddings) if normalize else block.embeddings
