"""Indexes of archives, kept from one run to the next.

They lie in `$XDG_CACHE_HOME/embedstore/indexes` (`~/.cache` without that variable), never beside
the data, which is often shared and read-only. An entry is known by the archive's path, size and
time of change; one that is damaged is made again, and a cache that cannot be written is none.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from embedstore.datasets import access

#: Of what indexes hold; another version is another entry.
VERSION = 2

#: Bytes by name, or anything that shows its own: an array.
Parts = Mapping[str, Any]


def cached(kind: str, path: str, build: Callable[[], Parts]) -> Parts:
    """Return the index of the archive at `path`, from the cache or newly built.

    Raises
    ------
    OSError
        If there is no archive; and what `build` raises.
    """
    whole = path if access.is_remote(path) else os.path.realpath(path)
    state = access.size_and_change(path)
    entry = folder() / f"{_digest(kind, whole)}-{_digest(VERSION, *state)}.gz"
    try:
        return _unpacked(entry)
    except (OSError, ValueError, EOFError, zlib.error):  # not there or damaged: all the same
        parts = build()
    with contextlib.suppress(OSError):  # a read-only or full cache only costs the next run time
        _keep(entry, parts)
    return parts


def folder() -> Path:
    """Return where indexes are kept."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    # a relative one must be ignored, says the XDG specification
    base = Path(home) if home.startswith("/") else Path("~/.cache").expanduser()
    return base / "embedstore" / "indexes"


def _keep(entry: Path, parts: Parts) -> None:
    """Put the entry in place whole, and take away those of the archive's former states."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    views = {name: memoryview(part).cast("B") for name, part in parts.items()}
    descriptor, aside = tempfile.mkstemp(dir=entry.parent)
    try:
        with open(descriptor, "wb") as raw, gzip.GzipFile("", "wb", 1, raw, 0) as file:  # noqa: PTH123
            file.write(json.dumps({name: view.nbytes for name, view in views.items()}).encode())
            file.write(b"\n")
            for view in views.values():
                file.write(view)
        Path(aside).replace(entry)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    for old in entry.parent.glob(f"{entry.name.partition('-')[0]}-*"):
        if old != entry:
            old.unlink(missing_ok=True)


def _unpacked(entry: Path) -> Parts:
    with gzip.open(entry) as file:
        sizes = json.loads(file.readline())
        parts = {name: file.read(size) for name, size in sizes.items()}
        if file.read(1) or any(len(parts[name]) != size for name, size in sizes.items()):
            raise ValueError("damaged")  # having read to its end, gzip has compared its checksum
    return parts


def _digest(*parts: object) -> str:
    return sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()[:24]
