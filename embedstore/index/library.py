"""FAISS, where it is installed: the one place that imports it."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from embedstore.errors import MissingExtraError


def installed() -> bool:
    """Whether FAISS can be imported."""
    return importlib.util.find_spec("faiss") is not None


def faiss() -> ModuleType:
    """Return the module.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    if not installed():
        raise MissingExtraError(
            "this needs FAISS; install it with: pip install 'embedstore[cpu]' (or [gpu], never "
            "both); exact search (--kind flat) does without"
        )
    import faiss as module

    loaded: ModuleType = module
    return loaded
