"""What a fitted head may be judged on: never on samples that had a say in it.

Their labels do not count: in outcomes `correct`, `label_rank`, `nll` and `brier` are null, as where
there is no label, and the label space says so in its name: `all--held-out`. A sample is known by
data set and row, by its picture's bytes, wherever these occur again, and by its id where a data set
holds the same pictures corrupted.

Dimensions: N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.heads.copies import copies, of_one_origin
from embedstore.heads.stored import head_record, load_fitted
from embedstore.labels import ClassMap, Judgement, Labels, judgement, judgements
from embedstore.store import Store, layout
from embedstore.store.contents import committed
from embedstore.store.datasets import DatasetRecord
from embedstore.store.manifest import MANIFEST
from embedstore.store.pointers import datasets_of

Bool = npt.NDArray[np.bool_]

#: What the name of a label space ends in where fitted samples were left out of it.
SUFFIX = "--held-out"
#: The space of a fitted head and a data set of which it knows some classes: those.
KNOWN = "known"


def fair_judgements(
    store: Store, model: str, head: str, dataset: str, judged: Sequence[Judgement]
) -> list[Judgement]:
    """Return the judgements `judged` of a data set without the samples that the head has seen.

    Where a fitted head does not know all classes of the data set, samples of those that it does
    know are judged, in the space `known`. Heads that were not fitted on the store's samples keep
    their judgements as they are.
    """
    fitted = load_fitted(store, model, head)
    if fitted is None:
        return list(judged)
    record, samples = store.dataset(dataset), store.samples(dataset)
    class_ids = head_record(store, model, head)["class_ids"]
    if not any(j.space.labelled for j in judged):
        known: dict[str, tuple[str, ...]] = {
            c: (c,) for c in record.class_ids if c in set(class_ids)
        }
        if known:
            judged = [judgement(ClassMap(KNOWN, known), class_ids, record, samples)]
    seen = seen_samples(store, fitted, record, samples)
    return [hold_out(j, seen) for j in judged] if seen.any() else list(judged)


def seen_samples(
    store: Store, fitted: pl.DataFrame, record: DatasetRecord, samples: pl.DataFrame
) -> Bool:
    """Return which samples of a data set had a say in a head, corrupted or not: (N,)."""
    rows = {
        str(f): part["row"]
        for (f,), part in fitted.partition_by("fingerprint", as_dict=True).items()
    }
    seen = np.zeros(samples.height, np.bool_)
    if record.fingerprint in rows:
        seen[rows.pop(record.fingerprint).to_numpy()] = True
    digests = fitted["digest"].drop_nulls().unique()
    known = samples["digest"].is_in(digests.filter(digests != "").implode()).fill_null(value=False)
    seen |= known.to_numpy()
    for other in map(store.dataset, store.datasets if rows else ()):
        if other.fingerprint in rows and of_one_origin(record, other):
            ids = store.samples(other.name)["sample_id"]
            seen |= copies(samples["sample_id"], ids, rows[other.fingerprint])
    return seen


def hold_out(judged: Judgement, seen: Bool) -> Judgement:
    """Return the judgement without the labels of the samples `seen`, under a name that says so."""
    if not judged.space.labelled:
        return judged
    labels = judged.labels
    if labels.offsets is None:
        kept = Labels(np.where(seen, -1, labels.classes))
    else:
        counts = np.diff(labels.offsets)
        classes = labels.classes[np.repeat(~seen, counts)]
        offsets = np.concatenate([[0], np.cumsum(np.where(seen, 0, counts))])
        kept = Labels(classes, offsets.astype(np.int64))
    return replace(
        judged, space=replace(judged.space, name=judged.space.name + SUFFIX), labels=kept
    )


def judgeable(store: Store, model: str, head: str) -> list[str]:
    """Return the data sets, encoded or with the head's logits, that hold a label to judge it by."""
    record = head_record(store, model, head)
    encoded = committed(store.files, f"models/{model}/images")
    found = []
    for dataset in datasets_of(store.files, model):
        logits = store.files.exists(f"{layout.logits(model, dataset, head)}/{MANIFEST}")
        if not logits and (record["native"] or dataset not in encoded):
            continue
        own = judgements(record["class_ids"], store.dataset(dataset), store.samples(dataset))
        fair = fair_judgements(store, model, head, dataset, own)
        failed = np.zeros(store.dataset(dataset).n_samples, np.bool_)
        if dataset in encoded:
            failed[store.failures(model, dataset)["row"].to_numpy()] = True
        left = [hold_out(j, failed).labels for j in fair if j.space.labelled]
        if any((labels.classes >= 0).any() for labels in left):
            found.append(dataset)
    return found
