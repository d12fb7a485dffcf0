"""Files of a store, addressed by keys relative to its root. Knows bytes, not what they mean.

Every file is created whole, once: written aside, flushed, linked under its name only if that is
free, its folder flushed. So a reader sees a file complete or not at all, whoever is killed when.
"""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import IO

from embedstore.errors import StoreError
from embedstore.store.observing import Observation

try:
    import fcntl as _fcntl
except ImportError:  # Windows: folders are not locked there
    fcntl: ModuleType | None = None
else:
    fcntl = _fcntl

#: Files being written carry this ending until they are linked; `verify --repair` sweeps those left.
ASIDE = ".aside"


#: Ending of the small files that name all others with their digests.
RECORDS = ".json"
#: What can be hashed and written.
Buffer = bytes | bytearray | memoryview | mmap.mmap


def digest_of(data: Buffer) -> str:
    """SHA-256, hexadecimal: what ``sha256sum`` prints for the same file."""
    return sha256(data).hexdigest()


class LocalFiles:
    """A store's files in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: set[str] = set()  # keys whose digest was found right in this process
        self._observations: tuple[Observation, ...] = ()  # that are being made

    def once(self, key: str, check: Callable[[], bool]) -> bool:
        """Return whether `check` holds for a file that is never written twice; ask it once."""
        if key not in self._checked and check():
            self._checked.add(key)
        return key in self._checked

    @contextmanager
    def observed(self) -> Iterator[Observation]:
        """Note what is read until the block ends, on any thread; observations may be nested."""
        observation = Observation()
        self._observations += (observation,)
        try:
            yield observation
        finally:
            self._observations = tuple(o for o in self._observations if o is not observation)

    def path(self, key: str) -> Path:
        """Return the file's path; `key` uses forward slashes."""
        return self.root / key

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        found = self.path(key).is_file()
        for observation in self._observations:
            observation.present[key] = found
        return found

    def read(self, key: str) -> bytes:
        """Return the whole file; :class:`FileNotFoundError` if it is not there."""
        try:
            data = self.path(key).read_bytes()
        except FileNotFoundError:
            for observation in self._observations:
                observation.present[key] = False
            raise
        if key.endswith(RECORDS):
            for observation in self._observations:
                observation.records[key] = digest_of(data)
        return data

    def size(self, key: str) -> int:
        """Return the file's size in bytes; :class:`FileNotFoundError` if it is not there."""
        return self.path(key).stat().st_size

    def age(self, key: str) -> float:
        """Return the seconds since the file was written; 0 if it has gone meanwhile."""
        try:
            return max(0.0, time.time() - self.path(key).stat().st_mtime)
        except FileNotFoundError:
            return 0.0

    def map(self, key: str) -> mmap.mmap:
        """Return the file mapped into memory, read-only; :class:`FileNotFoundError` as above."""
        with self.path(key).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def create(self, key: str, data: Buffer) -> bool:
        """Create the file with `data` if it is absent; return whether this call created it."""
        return self.create_by(key, lambda file: file.write(data))

    def create_by(self, key: str, write: Callable[[IO[bytes]], object]) -> bool:
        """Create the file, if it is absent, of what `write` puts into it bit by bit."""
        target = self.path(key)
        if target.exists():
            return False
        with _stated(self.root), _aside(target, write) as aside:
            try:
                os.link(aside, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                    raise StoreError(
                        f"the file system of {self.root} has no hard links, which a store needs to "
                        "be written; choose another place for it"
                    ) from error
                raise
            _flush_folder(target.parent)
        return True

    def replace(self, key: str, data: Buffer) -> None:
        """Put `data` in the file's place, there or not; for caches and leftovers alone."""
        target = self.path(key)
        self._checked.discard(key)
        with _stated(self.root), _aside(target, lambda file: file.write(data)) as aside:
            aside.replace(target)
            _flush_folder(target.parent)

    def delete(self, key: str) -> None:
        """Remove the file if it is there."""
        self._checked.discard(key)
        with _stated(self.root):
            self.path(key).unlink(missing_ok=True)

    def delete_folder(self, key: str) -> None:
        """Remove the folder and all below it, at once for readers: renamed first, then swept."""
        folder = self.path(key)
        self._checked = {k for k in self._checked if not k.startswith(f"{key}/")}
        with _stated(self.root):
            aside = folder.with_name(_aside_name(folder.name))
            folder.rename(aside)
            _flush_folder(folder.parent)
            shutil.rmtree(aside)
            for parent in folder.parents:
                if parent == self.root or any(parent.iterdir()):
                    break
                parent.rmdir()

    def sweep(self, key: str) -> None:
        """Remove what a killed writer left aside: a file, or the whole of a folder half removed."""
        parts = key.split("/")
        depth = next(i for i, part in enumerate(parts) if part.endswith(ASIDE))
        path = self.path("/".join(parts[: depth + 1]))
        with _stated(self.root):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold a folder while several files of it are written; a killed holder lets go."""
        folder = self.path(key)
        with _stated(self.root):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def folders(self, key: str) -> list[str]:
        """Return the sorted names of the folders directly below `key`; none if it is not there."""
        try:
            entries = list(os.scandir(self.path(key)))
        except (FileNotFoundError, NotADirectoryError):
            entries = []
        found = sorted(e.name for e in entries if e.is_dir() and not e.name.endswith(ASIDE))
        for observation in self._observations:
            observation.folders[key] = tuple(found)
        return found

    def names(self, key: str) -> list[str]:
        """Return the sorted names of the files directly below `key`; none if it is not there."""
        try:
            found = sorted(entry.name for entry in os.scandir(self.path(key)) if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            found = []
        for observation in self._observations:
            observation.names[key] = tuple(found)
        return found

    def walk(self, key: str = "") -> Iterator[str]:
        """Yield the key of every file below `key`, sorted within each folder."""
        for folder, folders, names in os.walk(self.path(key)):
            folders.sort()
            relative = Path(folder).relative_to(self.root).as_posix()
            for name in sorted(names):
                yield name if relative == "." else f"{relative}/{name}"


@contextmanager
def _aside(target: Path, write: Callable[[IO[bytes]], object]) -> Iterator[Path]:
    """Write, flushed, beside `target` under a name of its own; then remove that name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(_aside_name(target.name))
    try:
        with aside.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def _aside_name(name: str) -> str:
    return f".{name}.{os.getpid()}-{secrets.token_hex(4)}{ASIDE}"


def _flush_folder(folder: Path) -> None:
    """Make the folder's new entry survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _stated(root: Path) -> Iterator[None]:
    """Say in one line what a failed write means to the user."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"no space left for the store {root}: free some and run the same command again; "
                "all finished blocks are kept"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreError(
                f"the store {root} cannot be written ({error.strerror}); make it writable, "
                "or copy it with: embedstore copy"
            ) from error
        raise
