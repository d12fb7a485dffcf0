"""How many candidates score above each caption and its picture, tile by tile.

The matrix of all scores is never there: each thread holds one tile. A first pass takes the scores
of captions with their own pictures, over the tiles that hold such a pair (captions lie in the order
of their pictures, so these are few); a second one counts, over all tiles, in both directions at
once. All products have one shape, the edges padded, and one thread each, so that equal embeddings
have scores equal to the last bit wherever they stand. It knows arrays, not where these are kept.

Dimensions: N pictures, M captions, D embedding; tiles of T x S.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import blas_on_one_core, over_rows
from embedstore.kernels.ranks import count_in_tile

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

#: T and S: a tile of 2 MiB a thread, where smaller products are slower by a tenth.
TILE = (512, 1024)


@dataclass(frozen=True, slots=True)
class PairCounts:
    """What scores above, and at least as high as, each caption with its own picture."""

    scores: F32  # (M,) cosine of a caption and its picture
    captions_above: I64  # (M,) captions that the picture is nearer to
    captions_reaching: I64  # (M,) captions that it is at least as near to, this one among them
    pictures_above: I64  # (M,) pictures that the caption is nearer to
    pictures_reaching: I64  # (M,) likewise, its own among them


def count_pairs(pictures: F32, captions: F32, picture_of: I64) -> PairCounts:
    """Count what comes before each caption and its picture: (N, D), (M, D), (M,) -> (M,) x 5.

    Parameters
    ----------
    pictures, captions
        Of unit length, or zero.
    picture_of
        (M,) row of the picture that each caption belongs to, ascending.
    """
    tiles = _Tiles(pictures, captions, np.searchsorted(picture_of, np.arange(len(pictures) + 1)))
    n_captions = len(captions)
    own = np.empty(n_captions, np.float32)
    in_row = np.zeros((2, n_captions), np.int64)
    in_column = np.zeros((2, n_captions), np.int64)
    lock = Lock()

    def score(start: int, stop: int) -> None:
        for row, column, product in tiles.products(range(start, stop), own_pairs=True):
            first, last = tiles.owned_within(row, column)
            own[first:last] = product[picture_of[first:last] - row, np.arange(first, last) - column]

    def count(start: int, stop: int) -> None:
        for row, column, product in tiles.products(range(start, stop)):
            owned = tiles.owned[row : row + TILE[0] + 1]
            found = np.zeros((2, min(TILE[1], n_captions - column)), np.int32)
            count_in_tile(product, column, owned, own, in_row, found)
            with lock:
                in_column[:, column : column + TILE[1]] += found

    with blas_on_one_core():  # threads of BLAS would wait while ours count
        over_rows(score, tiles.n_rows, grain=1)
        over_rows(count, tiles.n_rows, grain=1)
    return PairCounts(own, *in_row, *in_column)


@dataclass(frozen=True, slots=True)
class _Tiles:
    pictures: F32  # (N, D)
    captions: F32  # (M, D)
    owned: I64  # (N + 1,) captions of each picture: from one entry to the next

    @property
    def n_rows(self) -> int:
        """Rows of tiles."""
        return -(-len(self.pictures) // TILE[0])

    def owned_within(self, row: int, column: int) -> tuple[int, int]:
        """Return the captions of a tile, from one to before the other, whose pictures are there."""
        first, last = self.owned[row], self.owned[min(row + TILE[0], len(self.pictures))]
        return max(int(first), column), min(int(last), column + TILE[1])

    def products(self, rows: range, *, own_pairs: bool = False) -> Iterator[tuple[int, int, F32]]:
        """Yield tiles of some rows of tiles, or those that hold a caption and its picture.

        Yields
        ------
        tuple
            The tile's first picture and caption, and its scores, (T, S), until the next one.
        """
        product = np.empty(TILE, np.float32)
        for row in (i * TILE[0] for i in rows):
            pictures = _padded(self.pictures, row, TILE[0])
            for column in range(0, len(self.captions), TILE[1]):
                first, last = self.owned_within(row, column)
                if own_pairs and first >= last:
                    continue
                captions = _padded(self.captions, column, TILE[1])
                np.matmul(pictures, captions.T, out=product)
                yield row, column, product


def _padded(embeddings: F32, start: int, size: int) -> F32:
    """Return some rows, (size, D): zeros beyond the last."""
    rows = embeddings[start : start + size]
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), rows.shape[1]), np.float32)])


__all__ = ["PairCounts", "count_pairs"]
