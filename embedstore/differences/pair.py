"""Two stores side by side: what each holds, what both do, and reading the same of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Concatenate, ParamSpec, TypeVar

from embedstore.errors import EmbedStoreError, StoreError, UnknownNameError
from embedstore.store import Store
from embedstore.store.manifest import MANIFEST
from embedstore.store.outcomes import OutcomeRun

P = ParamSpec("P")
T = TypeVar("T")
#: Folders whose manifests and models' records vouch for all that a store holds.
_TRUTHS = ("datasets", "texts", "models")


@dataclass(frozen=True, slots=True)
class Held:
    """A store, and what it holds of the models and data sets that are compared."""

    store: Store
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    runs: tuple[OutcomeRun, ...]

    @classmethod
    def of(cls, store: Store) -> Held:
        """Look into a store."""
        return cls(store, tuple(store.models), tuple(store.datasets), tuple(store.outcome_runs()))

    def only(self, models: str, datasets: str) -> Held:
        """Keep what matches globs over names."""
        return Held(
            self.store,
            tuple(m for m in self.models if fnmatchcase(m, models)),
            tuple(d for d in self.datasets if fnmatchcase(d, datasets)),
            tuple(
                run
                for run in self.runs
                if fnmatchcase(run.model, models) and fnmatchcase(run.dataset, datasets)
            ),
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """Two stores that have something in common."""

    a: Held
    b: Held

    @classmethod
    def of(cls, a: Store, b: Store, models: str, datasets: str) -> Pair:
        """Set two stores side by side.

        Raises
        ------
        EmbedStoreError
            If they are one folder, or share no model and no data set.
        UnknownNameError
            If they do, but none that a glob matches.
        """
        if a.files.root.resolve() == b.files.root.resolve():
            raise EmbedStoreError(
                f"{a.files.root} and {b.files.root} are one store; name two different ones"
            )
        every = cls(_read(a, Held.of), _read(b, Held.of))
        if not every.models and not every.datasets:
            raise EmbedStoreError(
                f"the stores have nothing in common: {_said(every.a)}; {_said(every.b)}; name "
                "stores that share a model or a data set"
            )
        pair = cls(every.a.only(models, datasets), every.b.only(models, datasets))
        if models != "*" and not pair.models:
            raise UnknownNameError("model of both stores", models, every.models)
        if datasets != "*" and not pair.datasets:
            raise UnknownNameError("data set of both stores", datasets, every.datasets)
        return pair

    @property
    def models(self) -> list[str]:
        """Names of the models that both hold."""
        return [m for m in self.a.models if m in self.b.models]

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that both hold."""
        return [d for d in self.a.datasets if d in self.b.datasets]

    @property
    def runs(self) -> list[OutcomeRun]:
        """What names the outcomes that both hold, over data sets that both hold."""
        there, datasets = set(self.b.runs), self.datasets
        return [run for run in self.a.runs if run in there and run.dataset in datasets]

    @property
    def lone_runs(self) -> list[OutcomeRun]:
        """What names the outcomes that only one holds."""
        return sorted(set(self.a.runs) ^ set(self.b.runs))

    def both(
        self, read: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, T]:
        """Read the same of both: `read` of the store and the arguments.

        Raises
        ------
        StoreError
            If one cannot be read; the message names the store.
        """
        return (
            _read(self.a.store, read, *args, **kwargs),
            _read(self.b.store, read, *args, **kwargs),
        )

    def same_commits(self) -> bool:
        """Whether both hold the very same commits: equal manifests mean equal files."""
        ours, theirs = self.both(_records)
        return ours == theirs


def _read(
    store: Store, read: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    try:
        return read(store, *args, **kwargs)
    except EmbedStoreError as error:
        raise StoreError(f"in {store.files.root}: {error}") from error


def _said(held: Held) -> str:
    models, datasets = (", ".join(names) or "none" for names in (held.models, held.datasets))
    return f"{held.store.files.root} has models {models} and data sets {datasets}"


def _records(store: Store) -> dict[str, bytes]:
    """Return the bytes of every manifest, and of every model's record."""
    keys = [key for folder in _TRUTHS for key in store.files.walk(folder)]
    wanted = [key for key in keys if key.rsplit("/", 1)[-1] in (MANIFEST, "model.json")]
    return {key: store.files.read(key) for key in wanted}
