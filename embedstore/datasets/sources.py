"""Where pictures come from: one protocol, random access, stable order.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TypeVar

import polars as pl

from embedstore import schema
from embedstore.accelerate import n_threads
from embedstore.datasets.readers import Reader
from embedstore.errors import EmbedStoreError, PictureError, UnknownNameError
from embedstore.prompts import ClassList, imagenet
from embedstore.store.datasets import DatasetRecord, fingerprint
from embedstore.store.tables import table

#: Hexadecimal digits of a picture's digest that are kept: 128 bits tell any two pictures apart.
DIGEST_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds, in its stable order."""

    sample_ids: Sequence[str]  # (N,)
    paths: Sequence[str]  # (N,) locators for the reader
    labels: Sequence[int | None]  # (N,) into `classes`
    n_bytes: Sequence[int]  # (N,)
    changed: Sequence[int]  # (N,) times of last change, nanoseconds
    classes: ClassList | None  # None without labels; its name empty where they are its own
    notices: Sequence[str] = field(default=())  # what the user should know
    annotations: pl.DataFrame | None = None  # (N rows) columns that describe samples further
    captions: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)  # (N,) by set
    spaces: Sequence[str] = field(default=())  # label spaces to judge it in, besides its own

    def samples(self) -> pl.DataFrame:
        """Return ids, paths and annotations, as a store has them: N rows."""
        columns = {"sample_id": self.sample_ids, "path": self.paths}
        samples = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
        return samples if self.annotations is None else samples.hstack(self.annotations)


class Source(ABC):
    """A data set's pictures, before the store knows them."""

    spec: str  # as the user gave it
    rendering: str = ""  # how pictures are made of the files, and its version; "": they are them

    @abstractmethod
    def listing(self) -> Listing:
        """List all pictures.

        Raises
        ------
        DatasetError
            If there are none.
        """

    @abstractmethod
    def reader(self) -> Reader:
        """Return what reads a picture by its locator."""

    def content(self) -> Reader:
        """Return what reads, by the same locators, the bytes that a picture's digest is of."""
        return self.reader()

    def locators(self, samples: pl.DataFrame) -> pl.Series:
        """Return what the reader is given for rows of a listing's, or the store's, samples."""
        return samples["path"]


Opener = TypeVar("Opener", bound=Callable[[str], Source])
_KINDS: dict[str, Callable[[str], Source]] = {}


def source_kind(kind: str) -> Callable[[Opener], Opener]:
    """Register what opens a source under the word before the colon."""

    def register(opener: Opener) -> Opener:
        if kind in _KINDS:
            raise EmbedStoreError(f"two sources are named {kind!r}; rename one")
        _KINDS[kind] = opener
        return opener

    return register


def open_source(spec: str) -> Source:
    """Return the source of a SPEC such as `folder:/data/pictures`."""
    # each registers itself
    from embedstore.datasets import folder, manifests, parquet, webdataset  # noqa: F401
    from embedstore.datasets.corrupted import source as corrupted  # noqa: F401

    kind, colon, location = spec.partition(":")
    if not colon or not location:
        raise EmbedStoreError(
            f"data source {spec!r} names no kind; write it as KIND:LOCATION, such as folder:{spec}"
        )
    if kind not in _KINDS:  # presets bring class lists that no other listing needs
        from embedstore.datasets.presets import source  # noqa: F401
    if kind not in _KINDS:
        raise UnknownNameError("kind of data source", kind, _KINDS)
    return _KINDS[kind](location)


def describe(
    name: str,
    source: Source,
    listing: Listing,
    known: DatasetRecord | None = None,
    progress: Callable[[int], None] = lambda _n: None,
) -> tuple[DatasetRecord, pl.DataFrame | None]:
    """Return the data set's record and samples, reading every picture for its digest.

    Parameters
    ----------
    name, source, listing
        The data set.
    known
        What the store has under that name: where its listing (paths, sizes, times of change) is the
        same, and the classes, the pictures are not read again, the record is returned as it is, and
        no samples.
    progress
        Called with the count of pictures read since the last call.
    """
    signature = _signature(listing, source.rendering)
    if known is not None and known.listing == signature and known.source == source.spec:
        return known, None
    described = listing.samples()
    columns = {
        "sample_id": described["sample_id"],
        "path": described["path"],
        "label": listing.labels,
        "n_bytes": listing.n_bytes,
        "digest": _digests(source.content(), source.locators(described), progress),
    }
    samples = table(schema.SAMPLES, columns)
    classes = listing.classes or ClassList(name, (), ())
    record = DatasetRecord(
        name=name,
        source=source.spec,
        class_list=classes.name or own_class_list(name),
        class_ids=classes.ids,
        class_names=classes.names,
        n_samples=samples.height,
        fingerprint=fingerprint(samples, classes.ids),
        listing=signature,
    )
    return record, samples


def own_class_list(name: str) -> str:
    """Return what a data set's own classes are called as a list."""
    # One called `imagenet` may have classes of its own; their list is not ImageNet's.
    return f"{name}-classes" if name == imagenet().name else name


def with_class_list(listing: Listing, name: str) -> Listing:
    """Name the classes of data set `name` after it, where they have no name."""
    classes = listing.classes
    if classes is None or classes.name:
        return listing
    return replace(listing, classes=replace(classes, name=own_class_list(name)))


def _digests(read: Reader, locators: pl.Series, progress: Callable[[int], None]) -> pl.Series:
    def digest(locator: str) -> str:
        try:
            return sha256(read(locator)).hexdigest()[:DIGEST_DIGITS]
        except PictureError:
            return ""  # the encoder meets it again and records why

    digests = [pl.Series(dtype=pl.String)]
    with ThreadPoolExecutor(n_threads()) as pool:
        for start in range(0, len(locators), 512):
            part = locators[start : start + 512]
            digests.append(pl.Series(list(pool.map(digest, part)), dtype=pl.String))
            progress(len(part))
    return pl.concat(digests)


def _signature(listing: Listing, rendering: str) -> str:
    named = listing.classes and (listing.classes.ids, listing.classes.names)  # labels count them
    digest = sha256((repr(named) + rendering).encode("utf-8", "surrogatepass"))
    rows = zip(listing.paths, listing.labels, listing.n_bytes, listing.changed, strict=True)
    for row in rows:
        digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
