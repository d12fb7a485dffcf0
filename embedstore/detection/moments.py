"""Class means and covariances of embeddings, streamed; and what whitens them.

It knows arrays, not stores. Of D = 1,024 dimensions and 1,000 classes it holds 40 MiB besides the
block at hand, however many samples there are.

Dimensions: N samples, B samples of a block, C classes, D embedding, R dimensions that vary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import NonFiniteError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
#: (B, D) embeddings and the (B,) classes that they belong to.
Labelled = tuple[npt.NDArray[np.floating], I64]

#: Variance along a direction below this share of that along all is rounding, and counts as none;
#: what float16 rounds off a LayerNorm's zero sum is some 1e-11 (1,024 dimensions).
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Moments:
    """Means of classes, and how samples scatter about the mean of all."""

    classes: I64  # (C,) that have samples, ascending
    counts: I64  # (C,) samples
    means: F64  # (C, D)
    mean: F64  # (D,) of all samples
    scatter: F64  # (D, D) sum of outer products about `mean`

    @property
    def n_samples(self) -> int:
        """N."""
        return int(self.counts.sum())

    def about(self, origin: F64) -> F64:
        """Sum outer products about another point: (D,) -> (D, D)."""
        offset = self.mean - origin
        return np.asarray(self.scatter + self.n_samples * np.outer(offset, offset))

    def within(self) -> F64:
        """Sum outer products of samples about the mean of their class: (D, D)."""
        between = np.sqrt(self.counts)[:, None] * (self.means - self.mean)
        return np.asarray(self.scatter - between.T @ between)


class _Sums:
    """Sums about the first sample: little cancels, and what is constant stays exactly zero.

    Products are of float64: a symmetric one costs half a general one, thus no more than in float32,
    and directions of little variance keep their digits.
    """

    def __init__(self, first: npt.NDArray[np.floating], n_classes: int) -> None:
        self.origin = first[0].astype(np.float64)
        self.counts = np.zeros(n_classes, np.int64)
        self.by_class = np.zeros((n_classes, first.shape[1]))
        self.products = np.zeros((first.shape[1], first.shape[1]))

    def add(self, embeddings: npt.NDArray[np.floating], classes: I64) -> None:
        """Take a block in: (B, D), (B,)."""
        from scipy.sparse import csr_array

        x = embeddings - self.origin
        self.products += x.T @ x
        self.counts += np.bincount(classes, minlength=len(self.counts))
        places = (classes, np.arange(len(x)))
        self.by_class += csr_array((np.ones(len(x)), places), (len(self.counts), len(x))) @ x


def moments(blocks: Iterable[Labelled], n_classes: int) -> Moments:
    """Sum embeddings over blocks, in one pass.

    Parameters
    ----------
    blocks
        At least one sample; classes 0 to `n_classes` - 1.
    n_classes
        Some may be without samples.

    Raises
    ------
    NonFiniteError
        If an embedding holds NaN or infinity.
    """
    sums: _Sums | None = None
    for embeddings, classes in blocks:
        sums = _Sums(embeddings, n_classes) if sums is None else sums
        sums.add(embeddings, classes)
    assert sums is not None, "there is at least one sample"
    if not np.isfinite(sums.products).all():
        raise NonFiniteError(
            "embeddings of the reference hold NaN or infinity; encode or import that data set again"
        )
    offset = sums.by_class.sum(axis=0) / sums.counts.sum()
    seen = np.flatnonzero(sums.counts)
    means = sums.origin + sums.by_class[seen] / sums.counts[seen, None]
    scatter = sums.products - sums.counts.sum() * np.outer(offset, offset)
    return Moments(seen, sums.counts[seen], means, sums.origin + offset, scatter)


def of_unit_length(embeddings: npt.NDArray[np.floating]) -> F64:
    """Bring rows to unit length in float64; a row of zeros stays: (B, D) -> (B, D)."""
    wide = embeddings.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths == 0, 1, lengths))


def fourth_moment(centred: Iterable[F64]) -> float:
    """Sum the fourth powers of lengths: blocks of (B, D) -> scalar."""
    return float(sum(np.square(np.einsum("ij,ij->i", x, x)).sum() for x in centred))


def ledoit_wolf(covariance: F64, n_samples: int, fourth: float) -> float:
    """Return how far to shrink towards a multiple of the identity (Ledoit & Wolf, 2004).

    The same as `sklearn.covariance.ledoit_wolf_shrinkage`, of sums that can be streamed.

    Parameters
    ----------
    covariance
        (D, D) mean of the outer products of centred samples.
    n_samples
        N.
    fourth
        :func:`fourth_moment` of the centred samples.
    """
    n_dims = len(covariance)
    trace, squares = float(np.trace(covariance)), float(np.square(covariance).sum())
    spread = (squares - trace**2 / n_dims) / n_dims
    noise = (fourth / n_samples - squares) / (n_dims * n_samples)
    return min(noise / spread, 1.0) if noise > 0 and spread > 0 else 0.0


def shrunk(covariance: F64, shrinkage: float) -> F64:
    """Mix with the identity of equal trace: (D, D) -> (D, D)."""
    identity = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.asarray((1 - shrinkage) * covariance + shrinkage * identity)


def whitening(covariance: F64, whole_variance: float) -> F64:
    """Return axes along which samples have unit variance: (D, D) -> (D, R).

    ``W @ W.T`` is the covariance's pseudo-inverse. Directions whose variance is at most `ROUNDING`
    of `whole_variance` are left out.

    Parameters
    ----------
    covariance
        Symmetric.
    whole_variance
        Trace of the covariance of all samples: rounding is in proportion to it.
    """
    variances, axes = np.linalg.eigh(covariance)
    varies = variances > ROUNDING * whole_variance
    return np.asarray(axes[:, varies] / np.sqrt(variances[varies]))
