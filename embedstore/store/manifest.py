"""Manifests: the last file of every commit. A folder without one does not exist.

A manifest lists the folder's files with their bytes and digests, and the few facts that a listing
of the store wants without opening them.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedstore.errors import DamagedError
from embedstore.store.files import Buffer, LocalFiles, digest_of
from embedstore.store.records import Record, digest_of_record, read_record, write_record

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a manifest or a block's record knows of one file."""

    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: Buffer) -> FileEntry:
        """Describe the bytes of a file."""
        return cls(len(data), digest_of(data))

    def record(self) -> Record:
        """Return the entry as JSON values."""
        return {"bytes": self.n_bytes, "sha256": self.sha256}


def read_entries(record: Mapping[str, Any]) -> dict[str, FileEntry]:
    """Return the `files` of a manifest or a block's record."""
    return {k: FileEntry(v["bytes"], v["sha256"]) for k, v in record["files"].items()}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The end of a commit."""

    kind: str  # dataset, model, texts, text-embeddings, images, head, logits, outcomes, ...
    files: Mapping[str, FileEntry]  # by key relative to the folder
    facts: Mapping[str, Any] = field(default_factory=dict)  # rows, failures, inputs' digests

    @property
    def n_bytes(self) -> int:
        """Bytes of all files, without the manifest's own."""
        return sum(entry.n_bytes for entry in self.files.values())

    @property
    def digest(self) -> str:
        """Digest of the manifest, and so of all that it lists."""
        return digest_of_record(self.record())

    def record(self) -> Record:
        """Return the manifest as JSON values."""
        files = {key: entry.record() for key, entry in self.files.items()}
        return {"kind": self.kind, "files": files, "facts": dict(self.facts)}


def read_manifest(files: LocalFiles, folder: str) -> Manifest | None:
    """Return the folder's manifest, or None where the folder does not exist for readers."""
    key = f"{folder}/{MANIFEST}"
    try:
        record = read_record(files.read(key), key)
    except FileNotFoundError:
        return None
    return Manifest(record["kind"], read_entries(record), record["facts"])


def write_manifest(files: LocalFiles, folder: str, manifest: Manifest) -> Manifest:
    """End the commit; of writers that race, all return the manifest of the first."""
    files.create(f"{folder}/{MANIFEST}", write_record(manifest.record()))
    written = read_manifest(files, folder)
    assert written is not None
    return written


def commit(
    files: LocalFiles,
    folder: str,
    kind: str,
    contents: Mapping[str, Buffer],
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write a folder of few, small files, and its manifest last; a committed folder stays as it is.

    A file that a killed writer left under the same name, in a folder without manifest, is replaced
    where its bytes differ.
    """
    found = read_manifest(files, folder)
    if found is not None:
        return found
    entries = {name: FileEntry.of(data) for name, data in contents.items()}
    with files.lock(folder):  # of writers that race, the second finds the first one's manifest
        if not files.exists(f"{folder}/{MANIFEST}"):
            for name, data in contents.items():
                key = f"{folder}/{name}"
                if not files.create(key, data) and files.read(key) != data:
                    files.replace(key, data)
        return write_manifest(files, folder, Manifest(kind, entries, facts or {}))


def map_checked(files: LocalFiles, folder: str, name: str, manifest: Manifest) -> mmap.mmap:
    """Return a large file of a committed folder mapped, its digest checked once a process.

    Raises
    ------
    DamagedError
        If the file is missing, or is not the one that was committed.
    """
    key = f"{folder}/{name}"
    try:
        data = files.map(key)
    except (FileNotFoundError, ValueError) as error:  # ValueError: an empty file
        raise DamagedError(f"{key} is missing; see what else is with: embedstore verify") from error
    entry = manifest.files.get(name)
    if entry is None or not files.once(key, lambda: entry == FileEntry.of(data)):
        raise DamagedError(f"{key} is damaged; see what else is with: embedstore verify")
    return data


def read_checked(files: LocalFiles, folder: str, name: str, manifest: Manifest) -> bytes:
    """Return a small file of a committed folder, its digest checked.

    Raises
    ------
    DamagedError
        If the file is missing, or is not the one that was committed.
    """
    key = f"{folder}/{name}"
    try:
        data = files.read(key)
    except FileNotFoundError:
        data = None
    if data is None or FileEntry.of(data) != manifest.files.get(name):
        state = "missing" if data is None else "damaged"
        raise DamagedError(f"{key} is {state}; see what else is with: embedstore verify")
    return data
