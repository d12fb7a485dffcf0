"""Judging many ensembles over the same pictures: one matrix product each, and sums of its rows.

Every thread takes blocks of pictures and runs BLAS on one core, so that products and sums overlap,
logits stay in the cache, and blocks, which are the same on any count of threads, are summed in
their order: so are results.

Dimensions: G ensembles, n pictures, B bins, K members of S classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import blas_on_one_core, n_threads
from embedstore.errors import NonFiniteError
from embedstore.kernels.bins import Bins
from embedstore.kernels.sweep import CONFIDENCE, COUNT, HITS, NLL, Score, tally
from embedstore.labels import LabelSpace
from embedstore.prompt_sweep.images import Images

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
T = TypeVar("T")

#: Pictures of a block: 4 MB of logits over 1,000 classes (products of blocks take 1.05 of the time
#: of a whole one, those of 256 rows 1.07, of 128 rows 1.35: measured).
BLOCK_ROWS = 1024
BLOCK_LOGITS = 2**20
#: Ensembles that share the widening of pictures, unless their weights are too large.
GROUP, GROUP_BYTES = 16, 64 * 2**20


@dataclass(frozen=True, slots=True)
class Measurement:
    """How logits come about and what is measured of them."""

    scale: float  # of logits over cosines
    n_bins: int  # B
    score: Score | None = None  # of each picture; None: none is asked for
    grouping: LabelSpace | None = None  # members to classes; None: each class is one member


@dataclass(frozen=True, slots=True)
class Measured:
    """What one ensemble says of the pictures."""

    sums: F64  # (B, 4) of `kernels.sweep`, by bin of confidence
    scores: F32  # (n,), or (0,) where none was asked for

    @property
    def n_samples(self) -> int:
        """How many pictures have a label."""
        return int(self.sums[:, COUNT].sum())

    @property
    def n_correct(self) -> int:
        """How many of these are judged rightly."""
        return int(self.sums[:, HITS].sum())

    @property
    def nll(self) -> float:
        """Mean over them, nats; NaN without any."""
        return float(self.sums[:, NLL].sum() / self.n_samples) if self.n_samples else np.nan

    @property
    def ece(self) -> float:
        """Expected calibration error; NaN without any."""
        counts = self.sums[:, COUNT].astype(np.int64)
        edges = np.arange(len(counts) + 1) / len(counts)
        bins = Bins(edges[:-1], edges[1:], counts, self.sums[:, CONFIDENCE], self.sums[:, HITS])
        return bins.expected_calibration_error


def in_groups(items: Iterable[T], shape: tuple[int, int]) -> Iterator[list[T]]:
    """Yield items, each with weights of a shape (K, D), as many at a time as are to be measured."""
    size = max(1, min(GROUP, GROUP_BYTES // max(1, 4 * shape[0] * shape[1])))
    remaining = iter(items)
    while group := list(islice(remaining, size)):
        yield group


def measure(weights: Sequence[F32], images: Images, asked: Measurement) -> list[Measured]:
    """Judge ensembles over pictures: G x (K, D), (n, D) -> G results; no logits are kept.

    Parameters
    ----------
    weights
        Of unit length, row i for member i of the label space.
    images
        The pictures, widened once for all G.
    asked
        What to make of cosines.

    Raises
    ------
    NonFiniteError
        If weights or pictures hold NaN or infinity.
    """
    scaled = [_checked(np.float32(asked.scale) * w) for w in weights]
    step = max(1, min(BLOCK_ROWS, BLOCK_LOGITS // max(1, len(scaled[0]))))
    starts = range(0, len(images), step)
    sums = np.zeros((len(starts), len(scaled), asked.n_bins, 4))
    scores = np.zeros((len(scaled), len(images) if asked.score else 0), np.float32)

    def work(block: int) -> None:
        start, stop = starts[block], min(starts[block] + step, len(images))
        _measure_block(scaled, images, (start, stop), asked, sums[block], scores[:, start:stop])

    with blas_on_one_core(), ThreadPoolExecutor(n_threads()) as pool:
        list(pool.map(work, range(len(starts))))
    return [Measured(*found) for found in zip(sums.sum(axis=0), scores, strict=True)]


def _measure_block(
    weights: Sequence[F32],
    images: Images,
    rows: tuple[int, int],
    asked: Measurement,
    sums: F64,
    scores: F32,
) -> None:
    """Fill (G, B, 4) and (G, stop - start) of the pictures `rows`, from start to stop."""
    x, labels = images.block(*rows), images.labels[slice(*rows)]
    logits = np.empty((len(x), len(weights[0])), np.float32)
    for g, w in enumerate(weights):
        np.matmul(x, w.T, out=logits)
        _tally_in_space(logits, labels, sums[g], scores[g], asked)


def _tally_in_space(logits: F32, labels: I64, sums: F64, scores: F32, asked: Measurement) -> None:
    """Fill (B, 4) and (n,) of a block's logits, (n, K), in the label space."""
    score, space = asked.score or "mcm", asked.grouping
    if space is None:
        tally(logits, labels, sums, scores, score, asked.scale)
        return
    if asked.score == "mcm" and space.reduction == "mean":
        # means of powers of plain cosines, which those of logits do not tell
        plain = space.cut(logits / np.float32(asked.scale))
        tally(plain, np.full(len(plain), -1), sums, scores, score)
        scores = scores[:0]
    tally(space.cut(logits), labels, sums, scores, score, asked.scale)


def _checked(weights: F32) -> F32:
    if not np.isfinite(weights).all():
        raise NonFiniteError(
            "text embeddings hold NaN or infinity; see what is damaged with: embedstore verify"
        )
    return weights
