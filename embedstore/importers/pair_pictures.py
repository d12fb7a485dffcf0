"""Rows and sizes of the pictures that pairs name.

Dimensions: N samples.
"""

from __future__ import annotations

import difflib
import io
import warnings
from collections.abc import Callable, Iterable
from functools import cached_property

import polars as pl

from embedstore.datasets.pictures import FORMATS
from embedstore.datasets.sources import open_source
from embedstore.errors import DatasetError, EmbedStoreError, PictureError, require
from embedstore.importers.annotations import dataset_of
from embedstore.importers.given_pairs import GivenView
from embedstore.importers.matching import NAMED, without_ending
from embedstore.store import Store

Size = tuple[int, int]


class Pictures:
    """The pictures of one data set of a store, which may not be at hand any more."""

    def __init__(self, store: Store, dataset: str) -> None:
        samples = dataset_of(store, dataset)
        self.dataset, self.source = dataset, store.dataset(dataset).source
        self._rows = {name: row for row, name in enumerate(samples["sample_id"])}
        self._samples = samples
        self._sizes: dict[int, Size | None] = {}

    def find(self, sample_id: str) -> int | None:
        """Return the row of a sample, whose id may have a picture's ending; None if not there."""
        if sample_id in self._rows:
            return self._rows[sample_id]
        return self._rows.get(without_ending(pl.Series([sample_id]))[0])

    def refuse_unknown(self, named: Iterable[tuple[str, str]]) -> None:
        """Raise if ids are no samples': pairs of an id and of what messages call its place.

        Raises
        ------
        DatasetError
            It names the first few, and an id like the first.
        """
        unknown = {i: where for i, where in named if self.find(i) is None}
        if not unknown:
            return
        first = next(iter(unknown))
        near = difflib.get_close_matches(first, self._rows, n=1)
        close = f"; close to {first!r} is {near[0]!r}" if near else ""
        said = ", ".join(map(repr, list(unknown)[:NAMED]))
        more = f" and {len(unknown) - NAMED:,} more" if len(unknown) > NAMED else ""
        raise DatasetError(
            f"{said}{more} are no samples of data set {self.dataset!r} ({unknown[first]}){close}: "
            "mend the ids, or name another --data"
        )

    def size(self, row: int, view: GivenView, where: str) -> Size:
        """Return a picture's width and height: its file's, or else those that are given.

        Raises
        ------
        DatasetError
            If neither is there, or they differ.
        """
        if row not in self._sizes:
            self._sizes[row] = self._size(row)
        found = self._sizes[row] or view.size
        if found is None:
            raise DatasetError(
                f"the picture of {view.sample_id!r} is not at hand ({self.source}), so its size is "
                f"not known for {where}; put its folder back, or add columns width_first, "
                "height_first, width_second, height_second"
            )
        if view.size not in (None, found):
            assert view.size is not None
            raise DatasetError(
                f"the picture of {view.sample_id!r} is {found[0]} x {found[1]} pixels, and "
                f"{view.size[0]} x {view.size[1]} in {where}; mend the one that is wrong"
            )
        return found

    def _size(self, row: int) -> Size | None:
        """Return the size that the picture's header says, as it is stored, not turned by EXIF."""
        if self._read is None:
            return None
        require("PIL", "encode")
        from PIL import Image

        try:
            data = self._read(row)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                    return picture.size
        except (PictureError, OSError, ValueError, SyntaxError):
            return None

    @cached_property
    def _read(self) -> Callable[[int], bytes] | None:
        """Return what reads the picture of a row, or None where the source is not there."""
        try:
            source = open_source(self.source)
            read, locators = source.reader(), source.locators(self._samples)
        except (EmbedStoreError, OSError):  # imported, or on another machine
            return None
        return lambda row: read(locators[row])
