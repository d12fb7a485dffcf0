"""Making a data set known to the store before any model runs over it.

Dimensions: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from embedstore.datasets.sources import Listing, Source, describe, with_class_list
from embedstore.encode.progress import Progress
from embedstore.encode.request import limited_name
from embedstore.labels import class_map
from embedstore.prompts import ClassList, imagenet
from embedstore.store import Store
from embedstore.store.captions import caption_set, save_captions
from embedstore.store.datasets import DatasetRecord, save_annotations, save_dataset

#: The annotations that a source brings along.
SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set that the store knows, with its pictures at hand."""

    record: DatasetRecord
    samples: pl.DataFrame  # N rows
    source: Source

    @property
    def classes(self) -> ClassList | None:
        """What prompts name; None without labels."""
        return prompted_classes(self.record)

    @property
    def class_lists(self) -> list[ClassList]:
        """Lists that zero-shot heads are made over: its own, and ImageNet's where a map asks."""
        lists = [] if self.classes is None else [self.classes]
        maps = [class_map(name) for name in self.record.spaces]
        members = {m for mapped in maps for group in mapped.members.values() for m in group}
        if imagenet() not in lists and members and members <= set(imagenet().ids):
            lists.append(imagenet())
        return lists


def prompted_classes(record: DatasetRecord) -> ClassList | None:
    """Return what prompts name: all of ImageNet's classes for some of them; None without labels."""
    if not record.class_ids:
        return None
    if set(record.class_ids) <= set(imagenet().ids):
        return imagenet()
    return ClassList(record.class_list, record.class_ids, record.class_names)


def register(
    store: Store,
    name: str,
    source: Source,
    listing: Listing,
    limit: int | None,
    progress: Progress,
) -> Dataset:
    """Make a data set known to the store, or find it there with the same content.

    With a `limit` below its size, it is another data set, of that many pictures, evenly spaced. Its
    list of classes is the whole one's, as that of corrupted pictures is: heads are the same.
    """
    for notice in listing.notices:
        progress.notice(notice)
    n_whole = len(listing.paths)
    if limit is not None and limit < n_whole:
        listing = _limited(with_class_list(listing, name), limit)
        name = limited_name(name, limit, n_whole)
    known = store.dataset(name) if name in store.datasets else None
    progress.begin(f"reading {name}", len(listing.paths))
    record, samples = describe(name, source, listing, known, progress.advance)
    progress.end()
    captions = {caption_set(c, name): texts for c, texts in listing.captions.items() if any(texts)}
    if samples is not None:
        record = replace(record, spaces=tuple(listing.spaces), captions=tuple(captions))
        save_dataset(store.files, record, samples)
    if listing.annotations is not None and listing.annotations.width:
        save_annotations(store.files, name, SOURCE, listing.annotations, {"source": source.spec})
    for text_set, texts in captions.items():
        save_captions(store.files, text_set, name, texts)
    return Dataset(record, store.samples(name), source)


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
        annotations=None if listing.annotations is None else listing.annotations[rows],
        captions={name: pick(texts) for name, texts in listing.captions.items()},
        spaces=listing.spaces,
    )
