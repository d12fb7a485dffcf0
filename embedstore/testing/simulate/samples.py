"""Data sets without pictures: ids, labels and annotations alone.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedstore import schema
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.tables import table

I64 = npt.NDArray[np.int64]


def add_samples(
    store: Store,
    name: str,
    ids: Sequence[str],
    labels: I64 | None = None,
    classes: tuple[str, ...] = (),
) -> DatasetRecord:
    """Commit a data set of samples that no picture is behind.

    Parameters
    ----------
    store, name
        Where to, under which name.
    ids
        (N,)
    labels
        (N,) indices of `classes`; None where the samples are of none.
    classes
        (C,) ids, which are names too.
    """
    columns = {"sample_id": ids, "path": ids, "digest": ids}
    samples = table(schema.SAMPLES, columns if labels is None else columns | {"label": labels})
    digest = fingerprint(samples, classes)
    record = DatasetRecord(name, f"folder:{name}", name, classes, classes, len(ids), digest)
    save_dataset(store.files, record, samples)
    return record


def numbered(labels: I64) -> list[str]:
    """Return an id for each sample, in a folder a class: (N,) -> (N,)."""
    return [f"class-{label}/{i:06d}" for i, label in enumerate(labels)]
