"""A head's logits over a data set: stored, or made of stored embeddings where not kept.

Dimensions: B rows of a block, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from embedstore.heads.outcomes import is_judged
from embedstore.heads.stored import head_record, load_head
from embedstore.store import Store, layout
from embedstore.store.contents import committed
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun

F32 = npt.NDArray[np.float32]
_VALUES = 2**22  # logits made at once: 16 MiB


def has_logits(store: Store, run: OutcomeRun) -> bool:
    """Whether :func:`logit_blocks` gives any; of which label space the run is does not matter.

    Outcomes must be there of the head that the model has now: those of an import may be of another.
    """
    if _are_stored(store, run):
        return True
    if read_manifest(store.files, layout.images(run.model, run.dataset)) is None:
        return False
    spaces = committed(store.files, f"models/{run.model}/outcomes/{run.dataset}/{run.head}")
    judged = any(is_judged(store, replace(run, space=space)) for space in spaces)
    return judged and not head_record(store, run.model, run.head)["native"]


def logit_blocks(store: Store, run: OutcomeRun) -> Iterator[F32]:
    """Yield logits in order, some rows at a time: (B, C) float32, NaN where the picture failed.

    Those made of embeddings are exact; stored ones were rounded to float16 less the row's maximum.

    Raises
    ------
    EmbedStoreError
        If there are none, and none can be made.
    """
    if _are_stored(store, run) or not has_logits(store, run):
        yield from store.logits(run.model, run.dataset, run.head).blocks()
        return
    head = load_head(store, run.model, run.head)
    embeddings = store.embeddings(run.model, run.dataset)
    step = max(1, _VALUES // len(head.class_ids))
    for start in range(0, len(embeddings), step):
        yield head.logits(embeddings[start : start + step])


def _are_stored(store: Store, run: OutcomeRun) -> bool:
    return read_manifest(store.files, layout.logits(run.model, run.dataset, run.head)) is not None
