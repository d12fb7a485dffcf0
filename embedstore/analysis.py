"""Analyses by name: functions of a store that return a tidy table.

One whose first parameter is `Store | None` does without a store where its parameter `table` names a
file of figures that others published.

Ours are the modules of the package `analyses`; a user's own are functions in a file, or entry
points of the group `embedstore.analyses`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, get_args

from embedstore import docstrings
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.user_code import import_file

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import polars as pl

    from embedstore.store import Store

P = ParamSpec("P")
PACKAGE = "analyses"
#: Parts of embedstore that no analysis leans on: their code changes no result.
APART = ("demo", "encode", "exporters", "importers", "models", "testing")
GROUP = "embedstore.analyses"


@dataclass(frozen=True, slots=True)
class Analysis:
    """A function marked with :func:`analysis`."""

    name: str
    function: Callable[..., pl.DataFrame]

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters: what a user may set."""
        found = self._signature
        return {n: p for n, p in found.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def needs_store(self) -> bool:
        """Whether it cannot do without a store: else a `table` stands in its place."""
        first = next(iter(self._signature.values()), None)
        return first is None or type(None) not in get_args(first.annotation)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self._docstring.partition("\n")[0]

    @property
    def examples(self) -> list[str]:
        """Command lines: those of its docstring, or one with all that must be given."""
        lines = docstrings.section(self._docstring, "Examples").splitlines()
        given = [line.removeprefix("$ ") for line in map(str.strip, lines)]
        required = (n for n, p in self.parameters.items() if p.default is inspect.Parameter.empty)
        options = (f" --{name.replace('_', '-')} {name.upper()}" for name in required)
        built = f"embedstore analyze {self.name} clip.store{''.join(options)}"
        return [line for line in given if line.startswith("embedstore ")] or [built]

    def help_of(self, parameter: str) -> str | None:
        """Return what its docstring says of a parameter."""
        return docstrings.parameters(self._docstring).get(parameter)

    @property
    def _docstring(self) -> str:
        return inspect.getdoc(self.function) or ""

    @property
    def _signature(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.function, eval_str=True).parameters
        except NameError as error:
            raise EmbedStoreError(
                f"a type in the signature of analysis {self.name!r} cannot be read: {error}; "
                "import it at the top of the file, not under TYPE_CHECKING"
            ) from error

    def __call__(self, store: Store | None, **parameters: Any) -> pl.DataFrame:
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
    return sorted({*_own_names(), *(point.name for point in _entry_points())})


def find(name: str) -> Analysis:
    """Return an analysis by its name, or the one in a Python file.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if name.endswith(".py"):
        return _in_file(Path(name))
    if name in _own_names():
        importlib.import_module(f"{PACKAGE}.{name.replace('-', '_')}")
    else:
        for point in _entry_points():
            if point.name == name:
                point.load()
    if name not in _ANALYSES:
        raise UnknownNameError("analysis", name, names())
    return _ANALYSES[name]


def _own_names() -> set[str]:
    package = importlib.util.find_spec(PACKAGE)
    folders = package.submodule_search_locations if package else None
    return {module.name.replace("_", "-") for module in pkgutil.iter_modules(folders)}


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # 0.03 s, and most names are our own

    return entry_points(group=GROUP)


def run(
    name: str, store: Store | None, *, refresh: bool = False, **parameters: Any
) -> pl.DataFrame:
    """Run an analysis by name, or return what it found before: how one analysis builds on another.

    The result of one of ours is kept in the store's `results/` if the store can be written, and is
    returned as long as its code, its parameters and all that it read are the same.

    Parameters
    ----------
    name
        An analysis, or a Python file with one.
    store
        Where it reads; None, of one that does without, where its parameters name a table.
    refresh
        Compute it anew, whatever is kept.
    parameters
        The analysis's own.
    """
    found = find(name)
    asked = None if store is None else _json(found, parameters)
    if store is None or asked is None or not _ours(found):
        return found(store, **parameters)
    from embedstore.store.results import load_result, save_result

    kept = None if refresh else load_result(store.files, found.name, asked, _code())
    if kept is not None:
        return kept
    with store.files.observed() as seen:
        table = found(store, **parameters)
    save_result(store.files, found.name, asked, _code(), seen, table)
    return table


def _ours(found: Analysis) -> bool:
    """Whether :func:`_code` covers its code; a user's may lean on anything."""
    return found.function.__module__.partition(".")[0] == PACKAGE


def _json(found: Analysis, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return all parameters as JSON values, files by their bytes; None where that cannot be.

    Some value may be no JSON, or code of the user's own, which may lean on anything.

    A text that names a file, or several parted by commas, each perhaps with ``?KEY=VALUE`` behind
    it, is known by what they hold.
    """
    asked = {name: p.default for name, p in found.parameters.items()} | dict(parameters)
    files = {
        path: sha256(Path(path).read_bytes()).hexdigest()
        for value in asked.values()
        if isinstance(value, str)
        for path in (part.partition("?")[0] for part in value.split(","))
        if path and Path(path).is_file()
    }
    if any(path.endswith(".py") for path in files):
        return None
    try:
        json.dumps(asked, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return {**asked, "files": files} if files else asked


@cache
def _code() -> str:
    """Return a digest of all code and facts that an analysis of ours may lean on."""
    import embedstore

    packages = [Path(package) for package in importlib.import_module(PACKAGE).__path__]
    packages += [Path(package) for package in embedstore.__path__]
    digest = sha256()
    for package in packages:
        for path in sorted(package.rglob("*")):
            part = path.relative_to(package).parts[0]
            if path.suffix in (".py", ".csv", ".toml", ".parquet") and part not in APART:
                digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _in_file(path: Path) -> Analysis:
    before = dict(_ANALYSES)
    import_file(path)
    found = [a for n, a in _ANALYSES.items() if before.get(n) is not a]
    if len(found) != 1:
        raise EmbedStoreError(
            f"{path} defines {len(found)} analyses; mark exactly one function with "
            "@embedstore.analysis.analysis"
        )
    return found[0]
