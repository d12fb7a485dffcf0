"""Corrupted pictures as a source: `corrupt:KIND:SEVERITY:SOURCE`.

Dimensions: N pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial

import polars as pl

from embedstore.datasets import access
from embedstore.datasets.corrupted.corruption import Corruption
from embedstore.datasets.corrupted.imagenet_c import require_library, warm_up
from embedstore.datasets.corrupted.kinds import corruption
from embedstore.datasets.corrupted.reader import (
    SEPARATOR,
    ContentReader,
    CorruptReader,
    rendering,
)
from embedstore.datasets.readers import FolderReader, Reader
from embedstore.datasets.sources import Listing, Source, open_source, source_kind, with_class_list
from embedstore.errors import DatasetError, EmbedStoreError

#: Column of a manifest that names the depth map beside each picture.
DEPTH = "depth"
#: Columns that describe corrupted pictures, as in the benchmarks of corruptions.
ADDED = ("corruption", "severity")
#: Files asked for at once: remote ones take their time.
ASKED = 16


class CorruptSource(Source):
    """Another source's pictures, corrupted: its ids, labels and classes, without captions.

    ImageNet-C's kinds need the extra `corrupt`; near_focus, far_focus and fog_3d need a column
    `depth` of a manifest, whose paths count from the manifest's folder.
    """

    def __init__(
        self, corruption: Corruption, inner: Source, listed: Callable[[], Listing] | None = None
    ) -> None:
        """Corrupt `inner`; `listed` gives its listing, where several sources share one."""
        if not corruption.needs_depth:
            require_library()
        self.corruption, self.inner = corruption, inner
        self.spec = f"corrupt:{corruption.kind}:{corruption.severity}:{inner.spec}"
        self.rendering = rendering(corruption)
        self._listed = listed or inner.listing

    def listing(self) -> Listing:
        """List the pictures; time of change is the sum of a picture's and its depth map's."""
        clean = self._listed()
        beside = pl.DataFrame() if clean.annotations is None else clean.annotations
        n_rows = len(clean.paths)
        if any(name in beside.columns for name in ADDED):
            raise DatasetError(
                f"{self.inner.spec} is described by {' or '.join(ADDED)} already; corrupt clean "
                "pictures"
            )
        changed: Sequence[int] = clean.changed
        if self.corruption.needs_depth:
            maps = self._maps_changed(beside)
            changed = [a + b for a, b in zip(clean.changed, maps, strict=True)]
        kind, severity = self.corruption.kind, self.corruption.severity
        added = pl.select(
            pl.repeat(kind, n_rows, dtype=pl.String).alias(ADDED[0]),
            pl.repeat(severity, n_rows, dtype=pl.Int64).alias(ADDED[1]),
        )
        annotations = pl.concat([beside, added], how="horizontal")
        return replace(clean, changed=changed, annotations=annotations, captions={})

    def reader(self) -> Reader:
        """Return a reader that corrupts; what that needs is loaded for processes yet to fork."""
        if not self.corruption.needs_depth:
            warm_up(self.corruption)
        return CorruptReader(self.inner.reader(), self.corruption)

    def content(self) -> Reader:
        """Return a reader of what tells one corrupted picture from another, unrendered."""
        return ContentReader(self.inner.reader(), self.corruption)

    def locators(self, samples: pl.DataFrame) -> pl.Series:
        """Return each picture's id, depth map and path."""
        inner = self.inner.locators(samples)
        depth = pl.col(DEPTH).fill_null("") if self.corruption.needs_depth else pl.lit("")
        parts = pl.concat_str("sample_id", depth, inner, separator=SEPARATOR)
        return samples.select(parts.alias("locator")).to_series()

    def _maps_changed(self, annotations: pl.DataFrame) -> list[int]:
        """Return what changes with each depth map: its size and time of change, or 0."""
        kind, reader = self.corruption.kind, self.inner.reader()
        if DEPTH not in annotations.columns or not isinstance(reader, FolderReader):
            raise DatasetError(
                f"{kind} is rendered from depth, and {self.inner.spec} is no manifest with a "
                f"column {DEPTH!r}; list its pictures in csv:FILE, the paths of depth maps there"
            )
        maps = annotations[DEPTH]
        if maps.dtype not in (pl.String, pl.Null):
            raise DatasetError(
                f"column {DEPTH!r} of {self.inner.spec} holds {maps.dtype}, where {kind} needs "
                "paths of depth maps; rename it, and name them there"
            )
        with ThreadPoolExecutor(ASKED) as pool:
            return list(pool.map(lambda m: _changed(reader.root, m), maps))


@source_kind("corrupt")
def open_corrupt(location: str) -> CorruptSource:
    """Open `KIND:SEVERITY:SOURCE`.

    Raises
    ------
    EmbedStoreError
        If a part is missing, or there is no such kind, severity or source.
    """
    kind, _, rest = location.partition(":")
    severity, _, inner = rest.partition(":")
    if not inner:
        raise EmbedStoreError(
            f"corrupt:{location} does not say what to corrupt; write corrupt:KIND:SEVERITY:SOURCE, "
            "such as corrupt:fog:3:folder:/data/pictures"
        )
    return CorruptSource(corruption(kind, severity), open_source(inner))


def with_corruptions(
    name: str, source: Source, corruptions: Sequence[Corruption]
) -> Iterator[tuple[str, Source]]:
    """Yield a data set, then each corrupted one, named NAME--KIND--SEVERITY.

    All of them share one listing; its notices are the clean one's to give. They share the list of
    classes too, so that clean and corrupted pictures are judged by the same zero-shot heads.
    """
    yield name, source
    listed = cache(partial(_listed_for, name, source))
    for one in dict.fromkeys(corruptions):
        yield f"{name}--{one.kind}--{one.severity}", CorruptSource(one, source, listed)


def _listed_for(name: str, source: Source) -> Listing:
    """List pictures for the data sets that are made of data set `name`."""
    return replace(with_class_list(source.listing(), name), notices=())


def _changed(root: str, path: str | None) -> int:
    try:
        return sum(access.size_and_change(access.joined(root, path))) if path else 0
    except OSError:  # recorded as a failure when the picture is rendered
        return 0
