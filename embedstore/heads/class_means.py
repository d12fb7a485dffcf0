"""Nearest class mean (Mensink et al., 2013): one pass over the embeddings, no solver.

Dimensions: N samples, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt

from embedstore.errors import DatasetError, EmbedStoreError, UnknownNameError
from embedstore.heads.head import Head, unit
from embedstore.heads.recipes import Fitted, Notice
from embedstore.heads.splits import Split
from embedstore.heads.training import Training, checked

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Metric = Literal["cosine", "euclidean"]


def fit_class_means(
    embeddings: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    class_ids: Sequence[str],
    *,
    metric: Metric = "cosine",
    scale: float = 1.0,
) -> Head:
    """Fit a nearest-class-mean head: (N, D), (N,) -> a head of the classes that have samples.

    With `cosine`, logits are `scale` times the cosine with the mean of a class's unit embeddings;
    with `euclidean`, they are ``scale * (2 x @ m - |m|^2)``: minus the squared distance to the mean
    m of its embeddings as they are, but for |x|^2, which all classes share.

    Parameters
    ----------
    embeddings, labels
        (N, D) and (N,) class indices.
    class_ids
        Of all classes that `labels` count.
    metric, scale
        As above. The scale changes confidences, not predictions.

    Raises
    ------
    DatasetError
        If there is only one class, or labels and embeddings do not fit.
    NonFiniteError
        If an embedding holds NaN or infinity.
    EmbedStoreError
        If there is no such metric, or the scale is not positive.
    """
    _check_settings(metric, scale)
    x, y = checked(embeddings, labels, len(class_ids))
    return class_means([(y, x)], class_ids, metric, scale)


def class_means(
    blocks: Iterable[tuple[I64, F32]], class_ids: Sequence[str], metric: Metric, scale: float
) -> Head:
    """Fit as :func:`fit_class_means` does, on blocks of labels and embeddings."""
    from scipy.sparse import csr_array

    n_classes, cosine = len(class_ids), metric == "cosine"
    sums: F64 | None = None
    counts = np.zeros(n_classes, np.int64)
    for labels, x in blocks:
        counts += np.bincount(labels, minlength=n_classes)
        rows = unit(x).astype(np.float64) if cosine else x.astype(np.float64)
        places = (labels, np.arange(len(labels)))
        one_hot = csr_array((np.ones(len(labels)), places), shape=(n_classes, len(labels)))
        sums = one_hot @ rows if sums is None else sums + one_hot @ rows
    seen = np.flatnonzero(counts)
    if len(seen) < 2:
        raise DatasetError(
            "there is only one class to fit on; take more samples or a data set of several classes"
        )
    assert sums is not None
    means = sums[seen] / counts[seen, None]
    names = tuple(class_ids[int(i)] for i in seen)
    if cosine:
        return Head(names, unit(means.astype(np.float32)), scale=scale, normalize=True)
    bias = (-scale * np.square(means).sum(axis=1)).astype(np.float32)
    return Head(names, (2 * means).astype(np.float32), bias, scale=scale)


def _check_settings(metric: str, scale: float) -> None:
    if metric not in get_args(Metric):
        raise UnknownNameError("metric", metric, get_args(Metric))
    if not 0 < scale < np.inf:
        raise EmbedStoreError(f"--scale {scale} is not positive; try --scale 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMean(Fitted):
    """A nearest-class-mean head. Confidences are those of `scale`; predictions need none."""

    kind: ClassVar[str] = "class-mean"
    metric: Metric = "cosine"
    scale: float = 1.0

    def __post_init__(self) -> None:
        Fitted.__post_init__(self)
        _check_settings(self.metric, self.scale)

    def split(self, samples: Training) -> Split:
        """Take all: nothing is to be chosen."""
        return Split(np.arange(len(samples)), np.zeros(0, np.int64))

    def fit(self, samples: Training, split: Split, _notice: Notice) -> tuple[Head, dict[str, Any]]:
        """Sum over the shards."""
        labels = samples.labels
        blocks = ((labels[chosen], x) for chosen, x in samples.blocks(split.fit))
        return class_means(blocks, samples.dataset.class_ids, self.metric, self.scale), {}

    def memory(self, samples: Training, _split: Split) -> int:
        """Sums in float64, and a shard in float32 and float64, whatever N."""
        shard = len(next(samples.embeddings.blocks()))
        return 8 * 2 * len(samples.dataset.class_ids) * samples.dim + 12 * shard * samples.dim
