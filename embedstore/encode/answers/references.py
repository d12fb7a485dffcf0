"""What a reference model takes for a picture's class when it is wrong: the strongest wrong class.

It is read from embeddings and head as stored, block by block, and only of a native head, or one
imported without embeddings, from stored logits.

Dimensions: B rows of a block, C classes of the data set, S of a label space.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.encode.answers.questions import Asker
from embedstore.errors import DatasetError, IdentityError, ModelError
from embedstore.heads.copies import LIMITED
from embedstore.heads.head import Head
from embedstore.heads.stored import head_digest, load_head
from embedstore.labels import judgements
from embedstore.labels.space import LabelSpace
from embedstore.store import Store, layout
from embedstore.store.datasets import DatasetRecord
from embedstore.store.manifest import Manifest, read_manifest
from embedstore.store.pointers import datasets_of

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


class Reference:
    """A head of a model over one data set, in the data set's own label space."""

    def __init__(
        self, store: Store, names: tuple[str, str], dataset: DatasetRecord, samples: pl.DataFrame
    ) -> None:
        """Find the reference; `names` are the model's and the head's.

        Raises
        ------
        UnknownNameError
            If the store has no such model or head, or the model nothing over the data set.
        ModelError
            If the head does not choose among the data set's classes, or its model has not seen the
            first pictures that a limit leaves.
        IdentityError
            If it saw another data set of that name.
        """
        model, name = names
        head = load_head(store, model, name)
        self._logits, manifest = _stored(store, model, name, dataset.name, head)
        self._space = _own_space(head, names, dataset, samples)
        place = {class_id: i for i, class_id in enumerate(self._space.class_ids)}
        self._columns = np.array([place[c] for c in dataset.class_ids], np.int64)
        found = manifest.facts.get("fingerprint")
        if found not in (None, dataset.fingerprint):
            raise IdentityError(
                f"model {model!r} saw another data set named {dataset.name!r}; encode this one "
                "with it first"
            )
        self.record = {
            "model": model,
            "head": name,
            "head_digest": head_digest(store, model, name),
            "run_digest": manifest.digest,
        }

    def strongest_wrong(self, start: int, labels: I64, asker: Asker) -> I64:
        """Return the wrong class of the largest logit for rows from `start` on: (B,) -> (B,).

        Ties go to the lower class. Classes that bear the true one's name are passed over. -1 where
        the reference has no logits: its picture failed.
        """
        rows = slice(start, start + len(labels))
        logits = self._space.cut(self._logits(rows))[:, self._columns]
        failed = np.isnan(logits).any(axis=1)
        for row, label in enumerate(labels.tolist()):
            logits[row, asker.alike(label)] = -np.inf
        return np.where(failed, -1, logits.argmax(axis=1))


def _stored(
    store: Store, model: str, name: str, dataset: str, head: Head
) -> tuple[Callable[[slice], F32], Manifest]:
    """Return what gives the logits of a range of rows, and what vouches for them."""
    images = read_manifest(store.files, layout.images(model, dataset))
    if images is not None and not head.native:
        embeddings = store.embeddings(model, dataset)
        return lambda rows: head.logits(embeddings[rows]), images
    limit = re.search(rf"{LIMITED}$", dataset)
    if limit and dataset not in datasets_of(store.files, model):
        raise ModelError(
            f"model {model!r} of the reference head has not seen {dataset!r}, the pictures that "
            f"--limit leaves; encode them with it first, with the same --limit "
            f"{limit[0].rpartition('-')[2]}"
        )
    logits = store.logits(model, dataset, name)  # raises, and says what there is
    manifest = read_manifest(store.files, layout.logits(model, dataset, name))
    assert manifest is not None, "there are logits"
    return lambda rows: logits[rows], manifest


def _own_space(
    head: Head, names: tuple[str, str], dataset: DatasetRecord, samples: pl.DataFrame
) -> LabelSpace:
    """Return the label space in which a head chooses among the data set's classes."""
    for judged in judgements(head.class_ids, dataset, samples):
        if set(judged.space.class_ids) >= set(dataset.class_ids) and judged.space.labelled:
            return judged.space
    raise ModelError(
        f"head {names[1]!r} of model {names[0]!r} does not choose among the classes of data set "
        f"{dataset.name!r}; name another with --reference-head"
    )


def labels_of(dataset: DatasetRecord, samples: pl.DataFrame, protocol: str) -> I64:
    """Return the true classes, (N,), all of which are needed.

    Raises
    ------
    DatasetError
        If a sample has none.
    """
    missing = samples["label"].is_null().arg_true()
    if len(missing):
        raise DatasetError(
            f"sample {samples['sample_id'][int(missing[0])]!r} of data set {dataset.name!r} has no "
            f"label, one of {len(missing)}, and {protocol!r} asks for the true class; give labels, "
            "or leave these pictures out"
        )
    return samples["label"].to_numpy().astype(np.int64)
