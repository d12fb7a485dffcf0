"""Numpy-style docstrings, read: what each parameter means, and examples.

Knows text alone; https://numpydoc.readthedocs.io/en/latest/format.html is the format.
"""

from __future__ import annotations

import re

_TITLE = re.compile(r"^(\S.*)\n-{3,} *$", re.MULTILINE)


def section(docstring: str, title: str) -> str:
    """Return the text below a title such as ``Parameters``; empty where there is none.

    Parameters
    ----------
    docstring
        As `inspect.getdoc` returns it: not indented.
    title
        The section's.
    """
    parts = _TITLE.split(docstring)  # what comes before, then a title and its text in turns
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "").strip("\n")


def parameters(docstring: str) -> dict[str, str]:
    """Return what each parameter means, in one line; those described together share it.

    Parameters
    ----------
    docstring
        As in :func:`section`.
    """
    meanings: dict[str, list[str]] = {}
    names: list[str] = []
    for line in section(docstring, "Parameters").splitlines():
        if line[:1].strip():  # `name`, `name, other`, or `name : type`
            names = [name.strip(" *") for name in line.partition(" :")[0].split(",")]
        for name in names:
            meanings.setdefault(name, []).extend([] if line[:1].strip() else line.split())
    return {name: " ".join(words).replace("``", "`") for name, words in meanings.items()}
