"""Files behind URLs, through fsspec; imported only where a location holds `://`.

File systems are asked for anew at each call: fsspec keeps them by process, so that none crosses a
fork. Whatever a file system raises becomes an `OSError`, whose `strerror` is one line.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, BinaryIO, cast

from embedstore.errors import DatasetError, EmbedStoreError, MissingExtraError, require

#: Bytes read ahead while walking through an archive.
AHEAD = 4 << 20
#: What file systems call a version or the time of a change; what they lack is left out.
VERSIONS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created", "md5")


def read(url: str) -> bytes:
    """Return a file's bytes."""
    with _system(url) as (system, path):
        return bytes(system.cat_file(path))


def read_range(url: str, start: int, n_bytes: int) -> bytes:
    """Return `n_bytes` from `start` on."""
    with _system(url) as (system, path):
        data = bytes(system.cat_file(path, start=start, end=start + n_bytes))
    if len(data) > n_bytes:  # the whole file, or its beginning
        raise OSError(0, "asked for a part, the server sends more: it must allow ranges", url)
    return data


def size_and_change(url: str) -> tuple[int, int]:
    """Return a file's bytes, and a number that differs once the file has changed."""
    with _system(url) as (system, path):
        return _facts(system.info(path))


def stream(url: str) -> BinaryIO:
    """Open a file for one walk through it."""
    with _system(url) as (system, path):
        file = system.open(path, "rb", block_size=AHEAD, cache_type="readahead")
    return cast("BinaryIO", _Stream(url, file))


def matches(pattern: str) -> list[str]:
    """Return the URLs of the files that a pattern matches."""
    with _system(pattern) as (system, path):
        found = [str(name) for name in system.glob(path)]
        before, plain, after = pattern.rpartition(path.lstrip("/"))
        if plain and not after:  # gcs:// stays gcs://, which `unstrip_protocol` makes gs://
            return [before + name.lstrip("/") for name in found]
        return [str(system.unstrip_protocol(name)) for name in found]


def below(url: str) -> list[tuple[str, tuple[int, int]]]:
    """Return path below the folder, and (bytes, change), of every file at any depth."""
    with _system(url) as (system, root):
        found = system.find(root, detail=True)
        start = len(root.rstrip("/")) + 1
        return [(path[start:], _facts(info)) for path, info in found.items()]


class _Stream(io.RawIOBase):
    """An open file whose errors, too, are `OSError`s: connections break in the middle of one."""

    def __init__(self, url: str, file: BinaryIO) -> None:
        self._url, self._file = url, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def read(self, n_bytes: int = -1) -> bytes:
        with _errors(self._url):
            return self._file.read(n_bytes)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _errors(self._url):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        super().close()
        self._file.close()


@contextmanager
def _system(url: str) -> Iterator[tuple[Any, str]]:
    """Yield the URL's file system and the path there, its errors made one kind."""
    require("fsspec", "remote")
    from fsspec.core import url_to_fs

    with _errors(url):
        try:
            found = url_to_fs(url)
        except ValueError as error:
            raise DatasetError(f"cannot read {url}: {_line(error)}; check its beginning") from error
        yield found


@contextmanager
def _errors(url: str) -> Iterator[None]:
    try:
        yield
    except EmbedStoreError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno or 0, "No such file", url) from error
    except ImportError as error:
        raise MissingExtraError(f"{url} needs one more package: {_line(error)}") from error
    except Exception as error:  # what a file system's own library raises
        code, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
        raise OSError(code or 0, reason or _line(error), url) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _facts(info: dict[str, Any]) -> tuple[int, int]:
    known = repr([(key, str(info[key])) for key in VERSIONS if key in info])
    version = int.from_bytes(sha256(known.encode()).digest()[:7], "big")
    return int(info.get("size") or 0), version
