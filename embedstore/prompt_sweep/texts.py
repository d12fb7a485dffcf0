"""A model's prompts as a store holds them, brought to weights of classes.

Each text is normalised, texts of a class averaged, the mean normalised (Radford et al., 2021, sec.
3.1.4), as :func:`embedstore.heads.zero_shot_weights` has it. Text embeddings stay mapped from the
store: what is held of them is a template's, or a shard's.

Dimensions: M texts, C classes, K of these in the order of a label space, D embedding, T templates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.heads.head import unit
from embedstore.store import Store
from embedstore.store.contents import TextsRecord

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class PromptTexts:
    """One text set over classes, as one model has encoded it."""

    def __init__(self, store: Store, model: str, texts: str, columns: I64 | None = None) -> None:
        """Open a text set whose classes count as `columns`, (K,), of its own say; None: as its own.

        Raises
        ------
        EmbedStoreError
            If a class has no text.
        """
        self.record, frame = store.texts(texts)
        self._embeddings = store.text_embeddings(model, texts)
        self._class_index = frame["class_index"].to_numpy().astype(np.int64)
        self._columns = np.arange(len(self.record.class_ids)) if columns is None else columns
        self._counts = np.bincount(self._class_index, minlength=len(self.record.class_ids))
        if (self._counts == 0).any():
            missing = self.record.class_ids[int(np.argmin(self._counts))]
            raise EmbedStoreError(
                f"class {missing!r} of text set {texts!r} has no text; give every class a prompt"
            )
        index = frame["template_index"].fill_null(-1).to_numpy().astype(np.int64)
        self._grid = _grid(index, self._class_index, len(self.record.templates), len(self._counts))

    @property
    def name(self) -> str:
        """What the set is called without its classes."""
        return set_name(self.record)

    @property
    def n_templates(self) -> int:
        """T; 0 where texts are of no template that all classes share, such as descriptions."""
        return len(self._grid)

    @property
    def shape(self) -> tuple[int, int]:
        """(K, D) of weights."""
        return len(self._columns), self._embeddings.shape[1]

    def template(self, template: int) -> F32:
        """Return the embeddings of one template's texts, of unit length: (K, D)."""
        return unit(self._embeddings[self._grid[template, self._columns]])

    def weights(self) -> F32:
        """Return the weights that all texts of each class make: (K, D)."""
        sums, start = np.zeros((len(self._counts), self._embeddings.shape[1])), 0
        for block in self._embeddings.blocks():
            classes = self._class_index[start : start + len(block)]
            order = np.argsort(classes, kind="stable")
            firsts = np.flatnonzero(np.diff(classes[order], prepend=-1))
            rows = unit(block)[order].astype(np.float64)
            sums[classes[order][firsts]] += np.add.reduceat(rows, firsts, axis=0)
            start += len(block)
        return mean_direction(sums, self._counts[:, None])[self._columns]


def set_name(record: TextsRecord) -> str:
    """Return what a text set is called without its class list: `openai-80`."""
    return record.name.removesuffix(f"--{record.class_list}")


def mean_direction(sums: F64, counts: int | I64) -> F32:
    """Return means of unit vectors, of unit length: (C, D) sums of `counts` each -> (C, D)."""
    return unit((sums / counts).astype(np.float32))


def _grid(template_index: I64, class_index: I64, n_templates: int, n_classes: int) -> I64:
    """Return the text of each template and class: (M,), (M,) -> (T, C), T = 0 without a grid."""
    place = template_index * n_classes + class_index
    if not np.array_equal(np.sort(place), np.arange(n_templates * n_classes)):
        return np.zeros((0, n_classes), np.int64)
    return np.argsort(place).reshape(n_templates, n_classes)
