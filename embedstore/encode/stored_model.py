"""Models that a store knows, loaded again by the SPEC in their record, and only if they must be."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from embedstore.encode.loading import Loaded, load_model
from embedstore.encode.progress import Progress
from embedstore.encode.request import Options
from embedstore.errors import ModelError, UnknownNameError
from embedstore.models.base import Model
from embedstore.store import Store
from embedstore.store.records import digest_of_record


class StoredModel:
    """A model that the store knows, loaded when it is first run."""

    def __init__(self, store: Store, name: str, device: str, progress: Progress) -> None:
        self._store, self._device, self._progress = store, device, progress
        self._record = store.model(name)
        self._loaded: Loaded | None = None
        self.name = name
        self.precision = self._record.identity.get("precision", "auto")
        self.identity = digest_of_record(self._record.identity)

    @property
    def loaded(self) -> Loaded:
        """The model on its device, in the precision of what the store has of it.

        Raises
        ------
        IdentityError
            If it is no longer the model that the store knows.
        """
        if self._loaded is None:
            began = time.perf_counter()
            decode = "gpu" if self._record.identity.get("decoder") == "torchvision" else "cpu"
            options = Options(precision=self.precision, device=self._device, decode=decode)
            self._loaded = load_model(
                self._store, self.name, self._record.spec, options, self._progress
            )
            seconds = time.perf_counter() - began
            self._progress.notice(f"{self.name}: loaded in {seconds:.1f} s")
        return self._loaded

    @property
    def model(self) -> Model:
        """The model itself, as `loaded`."""
        return self.loaded.model

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Of this run; where all is copied, of the model's first."""
        return self._record.provenance if self._loaded is None else self._loaded.provenance


def text_models(store: Store, names: Sequence[str]) -> list[str]:
    """Return the models that names or globs mean, each once.

    Raises
    ------
    UnknownNameError
        If the store has none of a name.
    ModelError
        If a model that is named, or all that a glob means, have no text tower.
    """
    found: list[str] = []
    able = [model for model in store.models if store.model(model).has_text]
    for name in names:
        matching = [m for m in store.models if m == name or fnmatchcase(m, name)]
        if not matching:
            raise UnknownNameError("model", name, store.models)
        if not set(matching) & set(able):
            remedy = f"choose one that has: {', '.join(able)}"
            if not able:
                remedy = "first encode a data set with one that has, such as an open_clip model"
            raise ModelError(f"model {name!r} has no text tower to encode prompts with; {remedy}")
        found += [m for m in matching if m in able and m not in found]
    return found
