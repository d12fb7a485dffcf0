"""What an index is over: a model's embeddings of a data set's pictures, or of a text set.

Dimensions: N rows of the embeddings, n of them without NaN, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.store import Store
from embedstore.store.arrays import StoredArray
from embedstore.store.indexes import Part, source
from embedstore.store.manifest import read_manifest

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Subject:
    """Embeddings that are searched."""

    store: Store
    model: str
    part: Part
    name: str  # of the data set, or text set
    embeddings: StoredArray  # (N, D)
    digest: str  # of the embeddings' manifest
    failed: I64  # rows that are NaN, ascending

    @classmethod
    def open(
        cls, store: Store, model: str, *, dataset: str | None = None, texts: str | None = None
    ) -> Subject:
        """Find a model's embeddings of a data set, or of a text set.

        Raises
        ------
        EmbedStoreError
            If neither or both are named, or the model has not encoded it.
        """
        if (dataset is None) == (texts is None):
            raise EmbedStoreError(
                "name one thing to search: a data set (--data) or texts (--texts)"
            )
        part: Part = "images" if texts is None else "texts"
        name = str(dataset or texts)
        if part == "images":
            embeddings = store.embeddings(model, name)
            failed = store.failures(model, name)["row"].to_numpy().astype(np.int64)
        else:
            embeddings = store.text_embeddings(model, name)
            failed = np.zeros(0, np.int64)
        manifest = read_manifest(store.files, source(model, part, name))
        assert manifest is not None, "its embeddings were just found"
        return cls(store, model, part, name, embeddings, manifest.digest, failed)

    @property
    def n_rows(self) -> int:
        """Rows without NaN: n."""
        return len(self.embeddings) - len(self.failed)

    @property
    def dim(self) -> int:
        """D."""
        return self.embeddings.shape[1]

    @property
    def rows(self) -> I64:
        """The rows without NaN, as an index counts them: (n,)."""
        return np.delete(np.arange(len(self.embeddings)), self.failed)

    @property
    def ids(self) -> Sequence[str]:
        """What tells the rows apart, whatever else is there: (N,) sample ids, or texts."""
        if self.part == "images":
            return self.store.samples(self.name)["sample_id"].to_list()
        return self.store.texts(self.name)[1]["text"].to_list()

    @property
    def command(self) -> str:
        """The command that makes an index of it."""
        option = "--data" if self.part == "images" else "--texts"
        root = self.store.files.root
        return f"embedstore index build {root} --model {self.model} {option} {self.name}"
