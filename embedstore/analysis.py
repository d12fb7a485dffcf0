"""Analyses by name: functions of a store that return a tidy table.

Ours are the modules of the package `analyses`; a user's own are functions in a file, or entry
points of the group `embedstore.analyses`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from embedstore.errors import EmbedStoreError, UnknownNameError

if TYPE_CHECKING:
    import polars as pl

    from embedstore.store import Store

P = ParamSpec("P")
PACKAGE = "analyses"
GROUP = "embedstore.analyses"


@dataclass(frozen=True, slots=True)
class Analysis:
    """A function marked with :func:`analysis`."""

    name: str
    function: Callable[..., pl.DataFrame]

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters: what a user may set."""
        parameters = inspect.signature(self.function, eval_str=True).parameters
        return {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def __call__(self, store: Store, **parameters: Any) -> pl.DataFrame:
        """Run it."""
        return self.function(store, **parameters)


_ANALYSES: dict[str, Analysis] = {}


def analysis(function: Callable[P, pl.DataFrame]) -> Callable[P, pl.DataFrame]:
    """Make ``f(store, *, models="*", ...)`` an analysis of its own name, underscores as dashes.

    Raises
    ------
    EmbedStoreError
        If another analysis has that name.
    """
    name = function.__name__.replace("_", "-")
    found = _ANALYSES.get(name)
    if found is not None and inspect.getfile(found.function) != inspect.getfile(function):
        raise EmbedStoreError(f"two analyses are named {name!r}; rename one")
    _ANALYSES[name] = Analysis(name, function)
    return function


def names() -> list[str]:
    """Return the names of all analyses, without importing any."""
    package = importlib.util.find_spec(PACKAGE)
    folders = package.submodule_search_locations if package else None
    own = [m.name.replace("_", "-") for m in pkgutil.iter_modules(folders)]
    return sorted({*own, *(point.name for point in entry_points(group=GROUP))})


def find(name: str) -> Analysis:
    """Return an analysis by its name, or the one in a Python file.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if name.endswith(".py"):
        return _in_file(Path(name))
    for point in entry_points(group=GROUP):
        if point.name == name:
            point.load()
    module = f"{PACKAGE}.{name.replace('-', '_')}"
    if name not in _ANALYSES and name in names():
        importlib.import_module(module)
    if name not in _ANALYSES:
        raise UnknownNameError("analysis", name, names())
    return _ANALYSES[name]


def run(name: str, store: Store, **parameters: Any) -> pl.DataFrame:
    """Run an analysis by name: how one analysis builds on another."""
    return find(name)(store, **parameters)


def _in_file(path: Path) -> Analysis:
    if not path.is_file():
        raise EmbedStoreError(f"there is no file {path}; check the path")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = dict(_ANALYSES)
    spec.loader.exec_module(module)
    found = [a for n, a in _ANALYSES.items() if before.get(n) is not a]
    if len(found) != 1:
        raise EmbedStoreError(
            f"{path} defines {len(found)} analyses; mark exactly one function with "
            "@embedstore.analysis.analysis"
        )
    return found[0]
