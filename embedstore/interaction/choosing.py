"""What an image encoder chooses among the options that a language model was given.

Dimensions: N samples of the data set, M of them, B of a block, K options at most, C classes of the
data set.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.heads.logits import has_logits
from embedstore.heads.stored import load_head
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.rows import finite_rows
from embedstore.temperature import stored_judgement

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

#: Rows of a block: at 1,000 classes their float32 logits take 8 MiB.
BLOCK_ROWS = 2_048


def choices(store: Store, run: OutcomeRun, rows: I64, options: pl.Series) -> I64 | None:
    """Return the option of the largest logit, ties to the lower class: (M,), (M,) -> (M,).

    Parameters
    ----------
    store, run
        Whose logits: made of the embeddings, or, of a native head, as stored.
    rows
        (M,) of samples that could be read.
    options
        (M,) lists of the data set's classes, ascending.

    Returns
    -------
    (M,) classes of the data set; None where outcomes alone are there.
    """
    if not has_logits(store, run):
        return None
    logits_of = _logits_of(store, run)
    judged = stored_judgement(store, run)
    columns = {class_id: i for i, class_id in enumerate(judged.space.class_ids)}
    place = np.array([columns[c] for c in store.dataset(run.dataset).class_ids], np.int64)
    among = _padded(options)
    chosen = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        logits = judged.space.cut(logits_of(rows[part]))
        offered = np.take_along_axis(logits, place[among[part]], axis=1)
        offered[among[part] < 0] = -np.inf
        best = offered.argmax(axis=1)  # the first of equals
        chosen[part] = np.take_along_axis(among[part], best[:, None], axis=1)[:, 0]
    return chosen


def _logits_of(store: Store, run: OutcomeRun) -> Callable[[I64], F32]:
    """Return what gives the logits of rows: (B,) -> (B, C)."""
    head = load_head(store, run.model, run.head)
    images = read_manifest(store.files, layout.images(run.model, run.dataset))
    if head.native or images is None:
        return store.logits(run.model, run.dataset, run.head).__getitem__
    stored = store.embeddings(run.model, run.dataset)
    return lambda rows: head.logits(finite_rows(stored, rows, f"row {{}} of {run.dataset!r}"))


def _padded(options: pl.Series) -> I64:
    """Return lists as a table, -1 after their ends: (M,) -> (M, K)."""
    sizes = options.list.len().to_numpy()
    table = np.full((len(sizes), int(sizes.max(initial=0))), -1, np.int64)
    table[np.arange(table.shape[1]) < sizes[:, None]] = options.explode().to_numpy()
    return table
