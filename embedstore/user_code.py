"""Python files of a user's own: imported, and what is wrong with them said in one line."""

from __future__ import annotations

import importlib.util
import traceback
from pathlib import Path

from embedstore.errors import EmbedStoreError


def import_file(path: Path) -> None:
    """Run a Python file, which registers what it marks.

    Raises
    ------
    EmbedStoreError
        If it is not there, is no Python, or imports what is not there; an error of any other kind
        is the file's own and keeps its traceback.
    """
    if not path.is_file():
        raise EmbedStoreError(f"there is no file {path}; check the path")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except (ImportError, SyntaxError) as error:
        raise EmbedStoreError(
            f"{_where(error, path)}: {error.msg}; mend it, and run the same again"
        ) from error


def _where(error: ImportError | SyntaxError, path: Path) -> str:
    """Return FILE:LINE of what could not be imported, as a user's file came to it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{path}:{next(f.lineno for f in frames if Path(f.filename) == path.absolute())}"
