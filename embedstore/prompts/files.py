"""A user's own file of templates or class names: its text, its lines, its JSON, or what is wrong.

Knows files, not what their lines mean.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embedstore.errors import EmbedStoreError


def file_text(path: Path) -> str:
    """Return the file's text, from UTF-8 with or without byte-order mark, line ends as newlines."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EmbedStoreError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise EmbedStoreError(f"cannot read {path}: {error.strerror}; check the path") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def file_lines(path: Path) -> list[str]:
    """Return the lines, of which none may be empty, less the spaces around them."""
    text = file_text(path).removesuffix("\n")
    lines = [line.strip() for line in text.split("\n")]
    if lines == [""]:
        raise EmbedStoreError(f"{path} is empty; write one entry a line")
    return checked_entries(path, lines, "line")


def file_json(path: Path) -> Any:
    """Return the JSON value, whose objects may not repeat a key."""
    try:
        return json.loads(file_text(path), object_pairs_hook=lambda pairs: _unique(path, pairs))
    except json.JSONDecodeError as error:
        raise EmbedStoreError(
            f"{path} is no JSON: {error.msg} in line {error.lineno}; mend it there"
        ) from error


def checked_entries(path: Path, entries: list[Any], place: str) -> list[str]:
    """Return `entries` if all are texts and none is blank; `place` is what an entry is called."""
    for i, entry in enumerate(entries, start=1):
        if not isinstance(entry, str):
            raise EmbedStoreError(f"{place} {i} of {path} is no text: {entry!r}; put it in quotes")
        if not entry.strip():
            raise EmbedStoreError(f"{place} {i} of {path} is empty; fill it in or take it out")
    return entries


def refuse_repeats(path: Path, entries: Iterable[str]) -> None:
    """Raise if an entry stands twice."""
    repeated = [entry for entry, count in Counter(entries).items() if count > 1]
    if repeated:
        count = f" ({len(repeated):,} entries repeat)" if len(repeated) > 1 else ""
        raise EmbedStoreError(
            f"{path} has {repeated[0]!r} more than once{count}; keep one (classes of one name "
            "need ids of their own: use a CSV file with columns id,name)"
        )


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    refuse_repeats(path, (key for key, _ in pairs))
    return dict(pairs)
