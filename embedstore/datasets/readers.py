"""Reading one picture: light enough for every decoding process to import.

Readers are small, can be pickled, and hold no handle: what is open belongs to the process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from embedstore.datasets import access
from embedstore.errors import DatasetError, PictureError


class Reader(Protocol):
    """Reads one picture; small enough to be sent to every decoding process."""

    def __call__(self, locator: str) -> bytes:
        """Return the picture's bytes; :class:`PictureError` if they cannot be read."""


@dataclass(frozen=True, slots=True)
class FolderReader:
    """Reads files below a folder, local or remote."""

    root: str

    def __call__(self, locator: str) -> bytes:
        """Return the file's bytes."""
        try:
            return access.read(access.joined(self.root, locator))
        except OSError as error:
            raise unreadable(error) from error


@dataclass(frozen=True, slots=True)
class RangeReader:
    """Reads byte ranges of files below a folder; a locator is `FILE@START+BYTES`."""

    root: str

    def __call__(self, locator: str) -> bytes:
        """Return the range's bytes."""
        name, _, place = locator.rpartition("@")
        start, _, n_bytes = place.partition("+")
        try:
            data = access.read_range(access.joined(self.root, name), int(start), int(n_bytes))
        except OSError as error:
            raise unreadable(error) from error
        if len(data) < int(n_bytes):
            raise PictureError("read", f"{name} ends within it: {len(data)} of {n_bytes} bytes")
        return data


def unreadable(error: OSError) -> PictureError:
    """Return the failure of one picture that a file system's error means."""
    return PictureError("read", error.strerror or str(error))


def cannot_read(path: str, error: OSError) -> DatasetError:
    """Return the end of a whole data set that a file system's error means."""
    reason = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
    return DatasetError(f"cannot read {path}: {reason}; check the path, or make it readable")
