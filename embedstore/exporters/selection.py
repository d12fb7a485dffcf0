"""What of a store an export takes, and what its files are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from embedstore.errors import EmbedStoreError
from embedstore.store import Store
from embedstore.store.contents import committed


@dataclass(frozen=True, slots=True)
class Chosen:
    """Globs over names, and where their files go."""

    store: Store
    path: Path
    models: str = "*"
    datasets: str = "*"
    heads: str = "*"

    def over_datasets(self) -> list[tuple[str, str]]:
        """Return (model, data set) of all finished embeddings that match."""
        return [
            (m, d)
            for m in self._models()
            for d in committed(self.store.files, f"models/{m}/images")
            if fnmatchcase(d, self.datasets)
        ]

    def with_logits(self) -> list[tuple[str, str, str]]:
        """Return (model, data set, head) of all finished logits that match."""
        files = self.store.files
        return [
            (m, d, h)
            for m in self._models()
            for d in files.folders(f"models/{m}/logits")
            if fnmatchcase(d, self.datasets)
            for h in committed(files, f"models/{m}/logits/{d}")
            if fnmatchcase(h, self.heads)
        ]

    def without_logits(self) -> list[tuple[str, str, str]]:
        """Return (model, data set, head) of all that match and have outcomes alone."""
        there = set(self.with_logits())
        runs = self.store.outcome_runs(self.models, self.datasets, self.heads)
        found = {(run.model, run.dataset, run.head) for run in runs}
        return sorted(found - there)

    def with_heads(self) -> list[tuple[str, str]]:
        """Return (model, head) of all heads that match."""
        store = self.store
        return [
            (m, h) for m in self._models() for h in store.heads(m) if fnmatchcase(h, self.heads)
        ]

    def with_texts(self) -> list[tuple[str, str]]:
        """Return (model, text set) of all embedded texts; the glob of heads is over their names."""
        store = self.store
        return [
            (m, t) for m in self._models() for t in store.text_sets(m) if fnmatchcase(t, self.heads)
        ]

    def sample_tables(self) -> list[str]:
        """Return the data sets that match."""
        return [d for d in self.store.datasets if fnmatchcase(d, self.datasets)]

    def place(self, names: Sequence[str], count: int, ending: str) -> Path:
        """Return where one of `count` files goes: to the path itself, or a name in that folder."""
        if count == 1 and not self.path.is_dir():
            return self.path
        return self.path / f"{'--'.join(names)}{ending}"

    def _models(self) -> Iterator[str]:
        return (m for m in self.store.models if fnmatchcase(m, self.models))


def refuse_nothing(found: Sequence[object], chosen: Chosen, what: str) -> None:
    """Raise if nothing matches, and say what there is."""
    if not found:
        store = chosen.store
        raise EmbedStoreError(
            f"{store.files.root} has no {what} of models {chosen.models!r}, data sets "
            f"{chosen.datasets!r}, heads {chosen.heads!r}; it has models "
            f"{', '.join(store.models) or 'none'} and data sets "
            f"{', '.join(store.datasets) or 'none'}: see embedstore info"
        )
