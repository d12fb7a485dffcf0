"""The store that an import goes into: it may be new, and then stays only if something came in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedstore.store import Store, layout


@contextmanager
def opened(path: str | Path) -> Iterator[Store]:
    """Open the store at `path`, or make one; a new one that stays empty is taken away again.

    Parameters
    ----------
    path
        A local folder.
    """
    root = Path(path).expanduser()
    there, folder_there = (root / layout.STORE).is_file(), root.is_dir()
    store = Store.open(root, create=True)
    try:
        yield store
    finally:
        if not there and [entry.name for entry in root.iterdir()] == [layout.STORE]:
            (root / layout.STORE).unlink()
            if not folder_there:
                root.rmdir()
