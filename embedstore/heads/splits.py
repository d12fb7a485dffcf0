"""Splits of samples by a hash of their ids: the same on every machine, whatever else is there.

Dimensions: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from embedstore.errors import DatasetError

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: Share of a training set that regularisation is chosen on.
VALIDATION = 0.2


@dataclass(frozen=True, slots=True)
class Split:
    """Which samples a head is fitted on, and on which others its settings are chosen."""

    fit: I64  # ascending
    validation: I64  # ascending; none where nothing is to be chosen

    @property
    def used(self) -> I64:
        """All samples that had a say in the head: what is left may judge it."""
        return np.sort(np.concatenate([self.fit, self.validation]))


def hashed(ids: Sequence[str], seed: int, purpose: str) -> F64:
    """Return a number in [0, 1) for each id: (N,). Other seeds and purposes give unrelated ones."""
    salt = f"{seed}\0{purpose}\0".encode()
    digests = b"".join(
        blake2b(salt + i.encode("utf-8", "surrogatepass"), digest_size=8).digest() for i in ids
    )
    return (np.frombuffer(digests, ">u8") >> 11).astype(np.float64) / 2.0**53


def fraction_of(ids: Sequence[str], fraction: float, seed: int) -> I64:
    """Return the samples on the inner side of a split: about `fraction` of them, ascending."""
    return np.flatnonzero(hashed(ids, seed, "fraction") < fraction)


def validation_split(ids: Sequence[str], labels: I64, seed: int) -> Split:
    """Set about a fifth aside, at least one sample of each class staying: (N,), (N,) -> Split."""
    numbers = hashed(ids, seed, "validation")
    aside = (numbers < VALIDATION) & (places(labels, -numbers) > 0)
    return Split(np.flatnonzero(~aside), np.flatnonzero(aside))


def shots_split(
    ids: Sequence[str], labels: I64, class_ids: Sequence[str], shots: int, seed: int
) -> Split:
    """Choose `shots` samples a class to fit on, and up to min(shots, 4) more to validate on.

    Validation follows the few-shot protocol of CoOp (Zhou et al., 2022) and Tip-Adapter.

    Raises
    ------
    DatasetError
        If a class has samples, but fewer than `shots`.
    """
    counts = np.bincount(labels, minlength=len(class_ids))
    few = np.flatnonzero((counts > 0) & (counts < shots))
    if few.size:
        raise DatasetError(
            f"{few.size} of {int((counts > 0).sum())} classes have fewer than {shots} samples that "
            f"may be fitted on: {class_ids[few[0]]!r} has {counts[few[0]]}; ask for fewer: "
            f"--shots {counts[counts > 0].min()}"
        )
    place = places(labels, hashed(ids, seed, "shots"))
    last = shots + min(shots, 4)
    return Split(np.flatnonzero(place < shots), np.flatnonzero((place >= shots) & (place < last)))


def places(labels: I64, numbers: F64) -> I64:
    """Return each sample's place from 0 within its class, by rising number: (N,), (N,) -> (N,)."""
    order = np.lexsort((numbers, labels))
    firsts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    sizes = np.diff(np.append(firsts, len(labels)))
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - np.repeat(firsts, sizes)
    return place
