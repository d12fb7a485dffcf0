"""Names that users give: one folder each; and globs over names that are there."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase

from embedstore.errors import InvalidNameError, UnknownNameError

#: Bytes that common file systems allow a name, less what `.json` and writing aside add to it.
MAX_BYTES = 200


def checked_name(kind: str, name: str) -> str:
    """Return `name` if it can be a folder of the store on any system.

    Raises
    ------
    InvalidNameError
        If it is empty or too long, begins with a dot, or holds a slash, `..`, a control character.
    """
    problem = _problem(name)
    if problem:
        raise InvalidNameError(
            f"{kind} name {name!r} {problem}; use letters, digits, '-', '_', '.' and '+'"
        )
    return name


def named(kind: str, globs: str, there: Sequence[str]) -> list[str]:
    """Return the names that match any of the globs, parted by commas, each of which must match one.

    Raises
    ------
    UnknownNameError
        If a glob matches none; `kind` says of what.
    """
    found: set[str] = set()
    for glob in filter(None, map(str.strip, globs.split(","))):
        matching = [name for name in there if fnmatchcase(name, glob)]
        if not matching:
            raise UnknownNameError(kind, glob, there)
        found.update(matching)
    return sorted(found)


def _problem(name: str) -> str | None:
    if not name:
        return "is empty"
    if len(name.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    if "/" in name or "\\" in name:
        return "holds a slash"
    if name.startswith(".") or ".." in name:
        return "begins with a dot or holds '..'"
    if any(unicodedata.category(c).startswith("C") for c in name):
        return "holds a control character"
    if name != name.strip() or any(c in name for c in ':*?"<>|'):
        return "holds a character that some file systems refuse, or a space at its end"
    return None
