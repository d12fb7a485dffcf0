"""Making a data set known to the store before any model runs over it.

Dimensions: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.datasets.sources import Listing, Source, describe
from embedstore.encode.progress import Progress
from embedstore.encode.request import limited_name
from embedstore.prompts import ClassList, imagenet
from embedstore.store import Store
from embedstore.store.contents import DatasetRecord, save_dataset


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set that the store knows, with its pictures at hand."""

    record: DatasetRecord
    samples: pl.DataFrame  # N rows
    source: Source

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """(N,) into the data set's classes, -1 where there is none."""
        return self.samples["label"].fill_null(-1).to_numpy()

    @property
    def classes(self) -> ClassList | None:
        """What prompts name: all of ImageNet's classes for some of them; None without labels."""
        if not self.record.class_ids:
            return None
        if set(self.record.class_ids) <= set(imagenet().ids):
            return imagenet()
        return ClassList(self.record.class_list, self.record.class_ids, self.record.class_names)


def register(
    store: Store,
    name: str,
    source: Source,
    listing: Listing,
    limit: int | None,
    progress: Progress,
) -> Dataset:
    """Make a data set known to the store, or find it there with the same content.

    With a `limit` below its size, it is another data set, of that many pictures, evenly spaced.
    """
    for notice in listing.notices:
        progress.notice(notice)
    if limit is not None and limit < len(listing.paths):
        name = limited_name(name, limit, len(listing.paths))
        listing = _limited(listing, limit)
    known = store.dataset(name) if name in store.datasets else None
    progress.begin(f"reading {name}", len(listing.paths))
    record, samples = describe(name, source, listing, known, progress.advance)
    progress.end()
    if samples is None:
        samples = store.samples(name)
    else:
        save_dataset(store.files, record, samples)
    return Dataset(record, samples, source)


def _limited(listing: Listing, limit: int) -> Listing:
    rows = [i * len(listing.paths) // limit for i in range(limit)]

    def pick(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in rows]

    return Listing(
        sample_ids=pick(listing.sample_ids),
        paths=pick(listing.paths),
        labels=pick(listing.labels),
        n_bytes=pick(listing.n_bytes),
        changed=pick(listing.changed),
        classes=listing.classes,
    )
