"""Where each picture lies in a tar shard: built in one walk, kept by `index_cache`, compact.

A million members take 60 MB as bytes and numbers, where Python's objects would take 250.
Dimensions: M pictures of a shard, in its order.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.datasets import access, tar_headers
from embedstore.datasets.endings import ENDINGS
from embedstore.datasets.index_cache import Parts, cached
from embedstore.datasets.readers import cannot_read
from embedstore.errors import DatasetError
from embedstore.store.tables import from_parquet, to_parquet

#: Files of a sample beside its picture: a class, a record, a caption.
SIDECARS = (".cls", ".json", ".txt")
#: Sidecars kept as Python objects before they become columns.
CHUNK = 16_384
#: Largest sidecar that is read, bytes.
SIDECAR_BYTES = 4 << 20

TEXTS = {"stem": pl.String, "ending": pl.String, "text": pl.String}

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class TarIndex:
    """What a shard holds."""

    keys: bytes  # paths end to end, NUL for `/`, so that keys sort part by part
    ends: U64  # (M,) of each key
    offsets: U64  # (M,) of each picture's bytes
    sizes: U64  # (M,) bytes
    sidecars: pl.DataFrame  # stem, ending, text
    folders: list[str]  # topmost ones that hold anything but pictures
    passed: list[tuple[str, str]]  # (path, kind) of members left out

    def key(self, row: int) -> bytes:
        """Return one key."""
        return self.keys[self.ends[row - 1] if row else 0 : self.ends[row]]


def tar_index(path: str) -> TarIndex:
    """Return the shard's index.

    Raises
    ------
    DatasetError
        If the shard cannot be read, is compressed, cut short or damaged, or names a member out of
        itself.
    """
    try:
        parts = cached("tar", path, lambda: _built(path))
    except OSError as error:
        raise cannot_read(path, error) from error
    ends, offsets, sizes = (
        np.frombuffer(parts[name], np.uint64) for name in ("ends", "offsets", "sizes")
    )
    sidecars = from_parquet(parts["sidecars"])
    folders, passed = json.loads(parts["rest"])
    return TarIndex(parts["keys"], ends, offsets, sizes, sidecars, folders, passed)


def _built(path: str) -> Parts:
    n_bytes, _ = access.size_and_change(path)
    found = _Found()
    with access.stream(path) as file:
        walk = tar_headers.Walk(path, file, n_bytes)
        for name, kind, start, size in walk.members():
            parts = name
            if "./" in name or "//" in name or name.endswith("/"):
                parts = str(PurePosixPath(name))  # ./a//b is a/b
            if parts.startswith(".") or "/." in parts:  # hidden, as in a folder
                continue
            if kind == tar_headers.FOLDER:
                found.folders.add(parts.partition("/")[0])
            elif kind not in tar_headers.FILES:
                found.passed.append((parts, "link" if kind in b"12" else "special file"))
            else:
                _add(found, walk, parts, start, size)
    return found.parts()


def _add(found: _Found, walk: tar_headers.Walk, name: str, start: int, size: int) -> None:
    dot = name.rfind(".")
    ending = name[dot:].lower()
    if ending in ENDINGS:
        found.keys += name.replace("/", "\0").encode()
        found.ends.append(len(found.keys))
        found.offsets.append(start)
        found.sizes.append(size)
        return
    if "/" in name:  # a class even where it has no picture
        found.folders.add(name.partition("/")[0])
    if ending in SIDECARS and size <= SIDECAR_BYTES:
        walk.file.seek(start)
        try:
            text = walk.file.read(size).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DatasetError(f"{name} in {walk.path} is not UTF-8; save it as UTF-8") from error
        found.sidecars.append((name[:dot], ending, text))
        if len(found.sidecars) == CHUNK:
            found.flush()
    elif ending in SIDECARS:
        found.passed.append((name, "sidecar of more than 4 MiB"))


@dataclass(slots=True)
class _Found:
    """What a walk has found so far."""

    keys: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    texts: list[pl.DataFrame] = field(default_factory=list)
    sidecars: list[tuple[str, str, str]] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    passed: list[tuple[str, str]] = field(default_factory=list)

    def flush(self) -> None:
        self.texts.append(pl.DataFrame(self.sidecars, schema=TEXTS, orient="row"))
        self.sidecars = []

    def parts(self) -> Parts:
        self.flush()
        return {
            "keys": bytes(self.keys),  # no longer with room to grow
            "ends": self.ends,
            "offsets": self.offsets,
            "sizes": self.sizes,
            "sidecars": to_parquet(pl.concat(self.texts)),
            "rest": json.dumps([sorted(self.folders), self.passed]).encode(),
        }
