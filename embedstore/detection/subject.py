"""What scores are given: stored embeddings and logits, over the classes of an ID data set.

Logits are computed from the embeddings as stored, in float32, where the head is linear over them,
and are the stored ones else; both are cut to the ID data set's classes, also those of samples out
of distribution.

Dimensions: B samples of a block, C classes of the ID data set, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from embedstore.errors import EmbedStoreError
from embedstore.heads.head import Head, unit
from embedstore.heads.stored import load_fitted, load_head
from embedstore.kernels.half import widen
from embedstore.labels import LabelSpace, label_space
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.rows import refuse_non_finite

Bool = npt.NDArray[np.bool_]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

#: Rows of a block: at 1,000 classes their float32 logits take 8 MiB.
BLOCK_ROWS = 2_048


class UndefinedScoreError(EmbedStoreError):
    """A score that means nothing for a subject; the message says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A data set, or some of its samples."""

    dataset: str
    rows: Bool | None = None  # (N,) which; None: all


class Block:
    """Some samples of a data set, none of which failed."""

    def __init__(
        self, subject: Subject, labels: I64, embeddings: F32 | None, logits: F32 | None
    ) -> None:
        self._subject, self._embeddings, self._logits = subject, embeddings, logits
        self.labels = labels  # (B,) of the data set's own classes, -1 where there is none

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def embeddings(self) -> F32:
        """(B, D) as stored, widened; not of unit length."""
        if self._embeddings is None:
            raise UndefinedScoreError("only logits are stored: the score needs embeddings")
        return self._embeddings

    @cached_property
    def unit_embeddings(self) -> F32:
        """(B, D) of unit length."""
        return unit(self.embeddings)

    @cached_property
    def features(self) -> F32:
        """(B, D) what the head's weights multiply: of unit length where the head normalises."""
        return self.unit_embeddings if self._subject.head.normalize else self.embeddings

    @cached_property
    def logits(self) -> F32:
        """(B, C) over the ID data set's classes."""
        if self._logits is None:
            self._logits = self._subject.head.logits(self.embeddings)
        return self._subject.space.cut(self._logits)

    @cached_property
    def cosines(self) -> F32:
        """(B, C) of the sample with each class's text; see :attr:`Subject.zero_shot`."""
        subject = self._subject
        if self._embeddings is not None:
            return np.asarray(self.unit_embeddings @ subject.weights.T, np.float32)
        return np.asarray((self.logits - subject.bias) / np.float32(subject.head.scale), np.float32)


class Subject:
    """A model, perhaps under one of its heads, and the samples that scores are fitted to."""

    def __init__(
        self,
        store: Store,
        model: str,
        head: str | None,
        id_dataset: str,
        reference: Part | None = None,
        negatives: str = "",
    ) -> None:
        self.store, self.model, self.head_name = store, model, head
        self.id_dataset, self.reference, self.negatives = id_dataset, reference, negatives

    @cached_property
    def head(self) -> Head:
        """The head, over all of its classes."""
        if self.head_name is None:
            raise EmbedStoreError(
                'a score that reads a head says so, and has a row for each: @score(NAME, "head")'
            )
        return load_head(self.store, self.model, self.head_name)

    @cached_property
    def space(self) -> LabelSpace:
        """The ID data set's classes among the head's."""
        record = self.store.dataset(self.id_dataset)
        return label_space(self.head.class_ids, record.class_ids, record.name)

    @property
    def class_ids(self) -> tuple[str, ...]:
        """(C,) among which the head chooses, also where its outcomes alone were imported."""
        if self._stored_head:
            return self.space.class_ids
        return self.store.dataset(self.id_dataset).class_ids

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.space.class_ids)

    @property
    def n_dims(self) -> int:
        """D."""
        return self.store.model(self.model).embedding_dim

    @property
    def linear(self) -> bool:
        """Whether logits are ``scale * features @ weights.T + bias`` and nothing else."""
        return self.head.linear

    @property
    def weights(self) -> F32:
        """(C, D) of a linear head, without its scale."""
        assert self.head.weights is not None, "asked of a linear head alone"
        return self._cut(self.head.weights)

    @property
    def bias(self) -> F32:
        """(C,) of a linear head; zeros where it has none."""
        if self.head.bias is None:
            return np.zeros(self.n_classes, np.float32)
        return self._cut(self.head.bias)

    @property
    def zero_shot(self) -> bool:
        """Whether logits are of cosines with texts: all of unit length, and no picture had a say.

        The mean pictures of classes are as long, but lie elsewhere than texts do.
        """
        if not (self.head.normalize and self.linear):
            return False
        if load_fitted(self.store, self.model, self.head_name or "") is not None:
            return False
        return bool(np.allclose(np.linalg.norm(self.weights, axis=1), 1, atol=1e-4))

    def blocks(self, part: Part, n_rows: int = BLOCK_ROWS) -> Iterator[Block]:
        """Yield the samples of a data set that could be read, in order, up to `n_rows` at once."""
        labels = self.store.samples(part.dataset)["label"].fill_null(-1).to_numpy()
        if self._has(layout.images(self.model, part.dataset)):
            yield from self._embedded(part, labels.astype(np.int64), n_rows)
        else:
            yield from self._with_logits(part, labels.astype(np.int64), n_rows)

    def reference_blocks(self) -> Iterator[Block]:
        """Yield the samples that scores are fitted to, at least one.

        Raises
        ------
        EmbedStoreError
            If there is no reference: the score was not marked as in need of one.
        UndefinedScoreError
            If none of its samples could be read.
        """
        if self.reference is None:
            raise EmbedStoreError(
                "a score goes through the reference and does not say so, and would be given the "
                "samples that it was fitted to; mark it with @score(NAME, 'reference')"
            )
        empty = True
        for block in self.blocks(self.reference):
            empty = False
            yield block
        if empty:
            raise UndefinedScoreError(
                f"no sample of the reference {self.reference.dataset!r} could be read"
            )

    def without_reference(self) -> Subject:
        """Return the same for scores that are not fitted."""
        alone = copy(self)  # with what is loaded of the head
        alone.reference = None
        return alone

    def known(self, dataset: str) -> bool:
        """Whether embeddings of a data set are stored, or logits; of a native head, logits."""
        if self.head_name is None:
            return self._has(layout.images(self.model, dataset))
        if not self._stored_head:  # outcomes alone: embeddings say nothing of it
            return False
        if self._has(layout.logits(self.model, dataset, self.head_name)):
            return True
        return not self.head.native and self._has(layout.images(self.model, dataset))

    @cached_property
    def _stored_head(self) -> bool:
        return self.head_name in self.store.heads(self.model)

    def _embedded(self, part: Part, labels: I64, n_rows: int) -> Iterator[Block]:
        stored = self.store.embeddings(self.model, part.dataset)
        native = self.head_name is not None and self.head.native
        logits = (
            self.store.logits(self.model, part.dataset, self.head_name or "") if native else None
        )
        for start in range(0, len(stored), n_rows):
            rows = slice(start, min(start + n_rows, len(stored)))
            half = stored[rows]
            kept = ~np.isnan(half[:, 0])
            if part.rows is not None:
                kept &= part.rows[rows]
            if kept.any():
                bits = np.ascontiguousarray(half if kept.all() else half[kept]).view(np.uint16)
                given = None if logits is None else logits[rows][kept]
                wide = widen(bits)
                refuse_non_finite(
                    wide, start + np.flatnonzero(kept), f"row {{}} of {part.dataset!r}"
                )
                yield Block(self, labels[rows][kept], wide, given)

    def _with_logits(self, part: Part, labels: I64, n_rows: int) -> Iterator[Block]:
        stored = self.store.logits(self.model, part.dataset, self.head_name or "")
        for start in range(0, len(stored), n_rows):
            rows = slice(start, min(start + n_rows, len(stored)))
            logits = stored[rows]
            kept = ~np.isnan(logits[:, 0])
            if part.rows is not None:
                kept &= part.rows[rows]
            if kept.any():
                yield Block(self, labels[rows][kept], None, logits[kept])

    def _cut(self, values: F32) -> F32:
        """Keep the rows of the ID data set's classes: (head's classes, ...) -> (C, ...)."""
        return values if self.space.columns is None else values[self.space.columns]

    def _has(self, folder: str) -> bool:
        return read_manifest(self.store.files, folder) is not None
