"""Data sets of the same pictures: corrupted ones, and those that take some of another's.

A corrupted picture has bytes of its own, so that its sample id alone says which picture it is.

Dimensions: N samples.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.store.datasets import DatasetRecord

Bool = npt.NDArray[np.bool_]

#: What names of data sets end in that hold others' pictures corrupted, or some of them.
CORRUPTED = r"--(?P<corruption>[a-z]\w*)--(?P<severity>\d+)"
LIMITED = r"--limit-\d+"
#: What the sources of pictures begin with that are corrupted as they are read.
CORRUPT_SOURCE = "corrupt:"
#: ImageNet's validation pictures, and the benchmarks that are made of them.
IMAGENET = frozenset(
    {"imagenet", "imagenet-1k", "imagenet-val", "imagenet-validation", "imagenet-c",
     "imagenet-3dcc"}
)  # fmt: skip
_ENDING = re.compile(rf"({CORRUPTED}|{LIMITED})+$")
_SOURCE = re.compile(rf"{CORRUPT_SOURCE}[^:]*:[^:]*:")


def of_one_origin(first: DatasetRecord, second: DatasetRecord) -> bool:
    """Whether sample ids of two data sets mean the same pictures, corrupted or not.

    So they do where a name says what the pictures are of, NAME--CORRUPTION--SEVERITY, or where one
    was corrupted as it was read and the source behind it is the other's.
    """
    if _origin(first.name) == _origin(second.name):
        return True
    sources = (first.source, second.source)
    behind = [_SOURCE.sub("", source, count=1) for source in sources]
    return behind[0] == behind[1] and any(s.startswith(CORRUPT_SOURCE) for s in sources)


def copies(ids: pl.Series, of: pl.Series, rows: pl.Series) -> Bool:
    """Return which samples are copies of the `rows` of a data set of one origin: (N,).

    Parameters
    ----------
    ids
        (N,) sample ids.
    of, rows
        Sample ids of the other data set, and which of its samples are meant. Where it shares no
        whole id, the last parts count, as folders of copies differ; but not if it repeats one.
    """
    if not ids.is_in(of.implode()).any():
        parts = [i.str.extract(r"([^/]+)$") for i in (ids, of)]
        if parts[1].n_unique() == len(of):
            ids, of = parts
    return np.asarray(ids.is_in(of.gather(rows).implode()).to_numpy(), np.bool_)


def _origin(name: str) -> str:
    """Return what a data set's pictures are of: a name that several share."""
    clean = _ENDING.sub("", name)
    return "imagenet" if clean.lower() in IMAGENET else clean
