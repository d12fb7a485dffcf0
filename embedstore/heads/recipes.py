"""Recipes: how a head is made offline, of stored embeddings or of other heads.

A recipe is its settings, and nothing but these: two equal recipes make the same head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from embedstore.errors import EmbedStoreError
from embedstore.heads.head import Head
from embedstore.heads.splits import Split
from embedstore.heads.training import Training, training
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A head, what is to be known of how it came about, and which samples had a say in it."""

    head: Head
    facts: Mapping[str, Any]
    fitted: pl.DataFrame | None  # fingerprint, row, digest


@dataclass(frozen=True, slots=True)
class Effort:
    """What making a head takes."""

    n_fit: int
    n_validation: int
    n_held_out: int  # labelled samples of the training set that can judge the head
    n_classes: int  # C of the head
    n_bytes: int  # of memory, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(ABC):
    """What every kind has: a name for the head, and a way to make it."""

    kind: ClassVar[str]
    name: str = ""  # of the head; "" for the kind's own

    @property
    @abstractmethod
    def default_name(self) -> str:
        """Name of a head that was given none."""

    @property
    def head_name(self) -> str:
        """Name of the head."""
        return self.name or self.default_name

    def settings(self) -> dict[str, Any]:
        """Return all settings but the name, as JSON values."""
        return {key: value for key, value in asdict(self).items() if key != "name"}

    @abstractmethod
    def inputs(self, store: Store, model: str) -> dict[str, str]:
        """Return digests of what the head is made of, by name."""

    @abstractmethod
    def effort(self, store: Store, model: str) -> Effort:
        """Return what it takes, raising what :meth:`make` would raise at its beginning."""

    @abstractmethod
    def make(self, store: Store, model: str, notice: Notice) -> Made:
        """Make the head of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted(Recipe):
    """A head fitted on a data set, or a part of it."""

    dataset: str
    fraction: float = 1.0  # of the samples, by a hash of their ids; the others may judge the head
    seed: int = 0  # of all choices of samples

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise EmbedStoreError(f"--fraction {self.fraction} is not in (0, 1]; try --fraction .5")

    @property
    def default_name(self) -> str:
        """Kind and data set."""
        return f"{self.kind}--{self.dataset}"

    @abstractmethod
    def split(self, samples: Training) -> Split:
        """Choose what to fit and what to validate on."""

    @abstractmethod
    def fit(self, samples: Training, split: Split, notice: Notice) -> tuple[Head, dict[str, Any]]:
        """Fit the head; return it, and facts."""

    @abstractmethod
    def memory(self, samples: Training, split: Split) -> int:
        """Return about how many bytes :meth:`fit` holds at once."""

    def inputs(self, store: Store, model: str) -> dict[str, str]:
        """Digests of the data set and of the embeddings."""
        fingerprint = store.dataset(self.dataset).fingerprint
        store.embeddings(model, self.dataset)  # raises where there are none
        images = read_manifest(store.files, layout.images(model, self.dataset))
        return {"fingerprint": fingerprint, "embeddings": images.digest if images else ""}

    def effort(self, store: Store, model: str) -> Effort:
        """Count samples and classes."""
        whole = training(store, model, self.dataset)
        part = whole.part(self.fraction, self.seed)
        split = self.split(part)
        n_classes = len(np.unique(part.labels[split.fit]))
        n_used = len(split.fit) + len(split.validation)
        memory = self.memory(part, split)
        return Effort(len(split.fit), len(split.validation), len(whole) - n_used, n_classes, memory)

    def make(self, store: Store, model: str, notice: Notice) -> Made:
        """Choose samples, fit, and note which were used."""
        part = training(store, model, self.dataset).part(self.fraction, self.seed)
        split = self.split(part)
        n_classes, n_seen = len(part.dataset.class_ids), len(np.unique(part.labels[split.fit]))
        if n_seen < n_classes:
            notice(
                f"{n_classes - n_seen} of {n_classes} classes of {self.dataset} have no sample to "
                "fit on: the head is fitted on the others alone"
            )
        head, facts = self.fit(part, split, notice)
        counts = {"n_fit": len(split.fit), "n_validation": len(split.validation)}
        return Made(head, {**counts, **facts}, part.fitted(split.used))


def ignore(_text: str) -> None:
    """Take notice of nothing."""
