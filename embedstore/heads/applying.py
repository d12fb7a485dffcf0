"""Applying a head to a data set that a model has encoded: matrix and table work, no model.

Dimensions: N samples, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

from embedstore.heads.held_out import fair_judgements
from embedstore.heads.run import HeadRun, derive
from embedstore.heads.stored import load_head
from embedstore.labels import ClassMap, judgement, judgements
from embedstore.store import Store, layout
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun


def apply_head(
    store: Store, model: str, dataset: str, name: str, spaces: Sequence[ClassMap] = ()
) -> HeadRun:
    """Bring a head's logits and outcomes over a data set up to date; no model needed.

    Parameters
    ----------
    store, model, dataset, name
        Which run, and which of the model's heads.
    spaces
        Class maps to judge the data set in, besides its own.

    Raises
    ------
    DatasetError
        If the data set cannot be judged in one of the spaces under this head.
    EmbedStoreError
        If the head is native and the encoder has not stored its logits.
    """
    head = load_head(store, model, name)
    record, samples = store.dataset(dataset), store.samples(dataset)
    judged = judgements(head.class_ids, record, samples)
    wanted = [judgement(space, head.class_ids, record, samples) for space in spaces]
    names = {j.space.name for j in wanted}
    judged = [j for j in judged if j.space.name not in names] + wanted
    judged = fair_judgements(store, model, name, dataset, judged)
    images = BlockRun.planned(store.files, layout.images(model, dataset))
    logits = BlockRun.planned(store.files, layout.logits(model, dataset, name))
    if images is not None and images.manifest is None:
        store.embeddings(model, dataset)  # raises, and says how to go on
    if images is None or head.native:
        store.logits(model, dataset, name)  # raises where they are not finished
        assert logits is not None
        head_run = HeadRun(store, model, dataset, name, head, tuple(judged), logits)
        head_run.finish()
        write_pointer(store.files, model, dataset)
        return head_run
    head_run = HeadRun.start(store, images, (model, dataset, name), head, judged)
    derive(images, [head_run])
    write_pointer(store.files, model, dataset)
    return head_run
