"""Bytes of files by path: local ones read directly, URLs (anything with `://`) through fsspec.

Knows no data sets. Everything that goes wrong is an `OSError`, or a missing extra. Light enough for
every decoding process, and safe after a fork: no lock, no thread, reads at explicit offsets.
"""

from __future__ import annotations

import glob
import os
import re
from functools import lru_cache
from typing import BinaryIO

#: Files kept open at once in a process, of which many may be shards of hundreds.
OPEN_FILES = 32
#: Bytes of one read ahead: few enough to skip pictures, enough to walk tiny members.
BUFFER = 16 << 10


def is_remote(path: str) -> bool:
    """Whether fsspec must read it."""
    return "://" in path


def joined(root: str, name: str) -> str:
    """Return `name` below `root`, or itself where it stands alone: a URL, an absolute path."""
    if not root or is_remote(name) or (name.startswith("/") and not is_remote(root)):
        return name
    return f"{root.rstrip('/')}/{name.lstrip('/')}" if root != "/" else f"/{name}"


def relative(root: str, path: str) -> str:
    """Return what :func:`joined` joins with `root` to `path`."""
    return path[len(root) :].lstrip("/") if root and path.startswith(root) else path


def local_path(location: str) -> str:
    """Return the location with a leading `~` resolved, as the user meant it."""
    return location if is_remote(location) else os.path.expanduser(location)  # noqa: PTH111


def read(path: str) -> bytes:
    """Return a file's bytes."""
    if is_remote(path):
        from embedstore.datasets import remote

        return remote.read(path)
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def read_range(path: str, start: int, n_bytes: int) -> bytes:
    """Return `n_bytes` from `start` on, fewer where the file ends before."""
    if is_remote(path):
        from embedstore.datasets import remote

        return remote.read_range(path, start, n_bytes)
    found = os.stat(path)  # noqa: PTH116  a file put in another's place is another file
    handle = _opened(path, found.st_ino, found.st_mtime_ns, os.getpid())
    data = os.pread(handle.descriptor, n_bytes, start)
    while 0 < len(data) < n_bytes and (more := handle.more(data, start, n_bytes)):
        data += more
    return data


def size_and_change(path: str) -> tuple[int, int]:
    """Return a file's bytes, and the time of its last change in ns (remotely: what tells one)."""
    if is_remote(path):
        from embedstore.datasets import remote

        return remote.size_and_change(path)
    found = os.stat(path)  # noqa: PTH116
    return found.st_size, found.st_mtime_ns


def stream(path: str) -> BinaryIO:
    """Open a file for one walk through it, seeking forwards."""
    if is_remote(path):
        from embedstore.datasets import remote

        return remote.stream(path)
    return open(path, "rb", buffering=BUFFER)  # noqa: PTH123


def expanded(pattern: str) -> list[str]:
    """Return the paths that a pattern stands for, sorted; those without wildcards as they are.

    `{000..146}` counts, with the zeros; `{a,b}` lists; then `*`, `?` and `[...]` match files.
    """
    if _is_literal(pattern):
        return [local_path(pattern)]
    paths: set[str] = set()
    for path in _braces(local_path(pattern)):
        paths.update(_matches(path) if glob.has_magic(path) else [path])
    return sorted(paths)


def folder_of(pattern: str) -> str:
    """Return the folder above the first part of a pattern that stands for many."""
    fixed = local_path(pattern)
    if not _is_literal(pattern):
        fixed = re.split(r"[*?\[{]", fixed, maxsplit=1)[0]
    folder, slash, _ = fixed.rpartition("/")
    return folder or slash


def _is_literal(pattern: str) -> bool:
    """Whether it is a file's own name, brackets and all."""
    return not is_remote(pattern) and os.path.isfile(local_path(pattern))  # noqa: PTH113


def _matches(pattern: str) -> list[str]:
    if is_remote(pattern):
        from embedstore.datasets import remote

        return remote.matches(pattern)
    return glob.glob(pattern, recursive=True)  # noqa: PTH207


def _braces(pattern: str) -> list[str]:
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    counted = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    if counted:
        first, last = int(counted[1]), int(counted[2])
        parts = [f"{i:0{len(counted[1])}d}" for i in range(first, last + 1)]
    else:
        parts = found[1].split(",")
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [path for part in parts for path in _braces(before + part + after)]


class _Handle:
    """A descriptor that is closed once nobody reads from it, in whatever thread that is."""

    __slots__ = ("descriptor",)

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def more(self, data: bytes, start: int, n_bytes: int) -> bytes:
        """Read on after a short read, which a signal or 2 GiB may have caused."""
        return os.pread(self.descriptor, n_bytes - len(data), start + len(data))

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@lru_cache(maxsize=OPEN_FILES)
def _opened(path: str, _inode: int, _changed: int, _process: int) -> _Handle:
    return _Handle(path)
