"""FAISS indexes in a store: where they lie, and whether they still are of what they were made of.

A cache: an index can be made again from the embeddings, whose manifest's digest it carries. This
module knows folders and manifests; what is in the files, `embedstore.index` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from embedstore.errors import DamagedError
from embedstore.store import layout
from embedstore.store.contents import committed
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import read_manifest

Part = Literal["images", "texts"]
PARTS: tuple[Part, ...] = ("images", "texts")
FILE = "index.faiss"


@dataclass(frozen=True, slots=True, order=True)
class IndexPlace:
    """One index of one model's embeddings."""

    model: str
    part: Part  # of which embeddings
    name: str  # of the data set, or text set
    key: str  # kind and metric, such as hnsw-ip

    @property
    def folder(self) -> str:
        """Where it lies."""
        return layout.index(self.model, self.part, self.name, self.key)

    @property
    def source(self) -> str:
        """Where the embeddings lie."""
        return source(self.model, self.part, self.name)


def source(model: str, part: Part, name: str) -> str:
    """Return the folder of the embeddings that an index is over."""
    folder = layout.images if part == "images" else layout.text_embeddings
    return folder(model, name)


def index_places(files: LocalFiles, model: str) -> list[IndexPlace]:
    """Return the model's indexes that were committed, sorted."""
    base = f"models/{model}/indexes"
    return [
        IndexPlace(model, part, name, key)
        for part in PARTS
        for name in files.folders(f"{base}/{part}")
        for key in committed(files, f"{base}/{part}/{name}")
    ]


def is_current(files: LocalFiles, place: IndexPlace) -> bool:
    """Whether the index was made of the embeddings that are there now."""
    made, embeddings = read_manifest(files, place.folder), read_manifest(files, place.source)
    return (
        made is not None
        and embeddings is not None
        and made.facts["embeddings"] == embeddings.digest
    )


def current_indexes(files: LocalFiles, model: str, datasets: Sequence[str]) -> list[str]:
    """Return the folders of what is current of a model's indexes, over these data sets and texts.

    Those that a copy is worth.
    """
    return [
        place.folder
        for place in index_places(files, model)
        if (place.part == "texts" or place.name in datasets) and is_current(files, place)
    ]


def stale_indexes(files: LocalFiles) -> Iterator[str]:
    """Yield the folders of indexes whose embeddings have changed, or are not there any more."""
    for model in files.folders("models"):
        for place in index_places(files, model):
            with suppress(DamagedError):  # one of both manifests: `verify` says so
                if not is_current(files, place):
                    yield place.folder


def index_rows(files: LocalFiles, model: str) -> list[tuple[object, ...]]:
    """Return a row an index of what `embedstore info` shows: where heads stand, `indexes/KEY`."""
    rows: list[tuple[object, ...]] = []
    for place in index_places(files, model):
        manifest = read_manifest(files, place.folder)
        assert manifest is not None, "it is committed"
        counts = (manifest.facts["n_rows"], manifest.facts["n_failures"], manifest.n_bytes)
        state = "finished" if is_current(files, place) else "stale"
        rows.append((model, place.name, f"indexes/{place.key}", *counts, state))
    return rows


__all__ = [
    "FILE", "PARTS", "IndexPlace", "Part", "current_indexes", "index_places", "index_rows",
    "is_current", "source", "stale_indexes",
]  # fmt: skip
