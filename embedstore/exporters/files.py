"""Files of an export: written aside and renamed, so that none is ever half there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from embedstore.errors import EmbedStoreError

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One file to write."""

    path: Path
    write: Callable[[IO[bytes], Advance], Any]  # calls back with the bytes written since last
    what: str = ""  # in words; empty for a file beside another


@dataclass(frozen=True, slots=True)
class Export:
    """All files of an export, before the first is written."""

    jobs: Sequence[Job]
    notices: Sequence[str] = field(default=())  # what the user should know
    folders: Sequence[Path] = field(default=())  # of numbered parts: others there would be taken in


def carry_out(export: Export, *, force: bool, advance: Advance = lambda _n: None) -> None:
    """Write all files.

    Parameters
    ----------
    export
        What to write where.
    force
        Replace what is there, and remove older parts beside new ones.
    advance
        Called with the bytes written since the last call.

    Raises
    ------
    EmbedStoreError
        If a file is there and `force` is not given, or it cannot be written.
    """
    new = {job.path for job in export.jobs}
    parts = [p for folder in export.folders if folder.is_dir() for p in folder.iterdir()]
    old = sorted(p for p in {*new, *parts} if p.exists())
    if old and not force:
        more = f" and {len(old) - 1} more are" if len(old) > 1 else " is"
        raise EmbedStoreError(f"{old[0]}{more} there already; add --force, or another -o PATH")
    for job in export.jobs:
        with _written(job.path) as file:
            job.write(file, advance)
    for path in set(parts) - new:
        if path.suffix in (".npy", ".parquet"):
            path.unlink()


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    """Open a file aside; give it its name once all is written and flushed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.aside")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise EmbedStoreError(
            f"cannot write {path} ({error.strerror or error}); check the path after -o, and the "
            "space there"
        ) from error
    finally:
        if aside.exists():
            aside.unlink()
