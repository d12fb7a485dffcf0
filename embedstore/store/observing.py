"""What was read of a store: enough to tell later whether the same reading would find the same.

Records (JSON) name every other file with its digest, so that they, and listings of folders, are all
that need be noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol


class Files(Protocol):
    """What an observation asks of a store's files."""

    def exists(self, key: str) -> bool:
        """Whether the file is there."""

    def read(self, key: str) -> bytes:
        """Return the whole file."""

    def folders(self, key: str) -> list[str]:
        """Return the names of the folders below `key`."""

    def names(self, key: str) -> list[str]:
        """Return the names of the files below `key`."""


@dataclass(slots=True)
class Observation:
    """Records and listings as they were found, by key."""

    records: dict[str, str] = field(default_factory=dict)  # SHA-256 of the bytes
    present: dict[str, bool] = field(default_factory=dict)
    folders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Observation:
        """Return the observation that was written down."""
        listings = ({k: tuple(v) for k, v in record[n].items()} for n in ("folders", "names"))
        return cls(dict(record["records"]), dict(record["present"]), *listings)

    def record(self) -> dict[str, Any]:
        """Return the observation as JSON values."""
        listings = ({k: list(v) for k, v in found.items()} for found in (self.folders, self.names))
        folders, names = listings
        return {
            "records": self.records,
            "present": self.present,
            "folders": folders,
            "names": names,
        }

    def holds(self, files: Files) -> bool:
        """Whether all is as it was found."""
        try:
            return (
                all(tuple(files.folders(k)) == v for k, v in self.folders.items())
                and all(tuple(files.names(k)) == v for k, v in self.names.items())
                and all(files.exists(k) == v for k, v in self.present.items())
                and all(sha256(files.read(k)).hexdigest() == v for k, v in self.records.items())
            )
        except FileNotFoundError:
            return False
