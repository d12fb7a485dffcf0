"""Text sets and their embeddings put into a store without any model, for tests.

Dimensions: M texts, C classes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedstore import schema
from embedstore.heads.head import Head, zero_shot_weights
from embedstore.heads.stored import save_head
from embedstore.store import Store, layout
from embedstore.store.contents import TextsRecord, save_texts
from embedstore.store.manifest import read_manifest
from embedstore.store.plans import Plan
from embedstore.store.runs import BlockRun
from embedstore.store.shards import lay_out
from embedstore.store.tables import table


def add_prompts(
    store: Store,
    model: str,
    name: str,
    class_ids: Sequence[str],
    embeddings: npt.NDArray[np.float32],
    class_index: Sequence[int],
    template_index: Sequence[int | None] | None = None,
    templates: Sequence[str] = (),
) -> str:
    """Put texts over the class list `classes` into a store, and what a model makes of them.

    Parameters
    ----------
    store, model, name
        Where to; the text set is called ``NAME--classes``, which is returned.
    class_ids
        (C,)
    embeddings
        (M, D)
    class_index, template_index
        (M,) what each text names, and by which template; None: by none.
    templates
        Their texts.
    """
    ids = tuple(class_ids)
    record = TextsRecord(f"{name}--classes", "prompts", tuple(templates), "classes", ids, ids)
    index = [None] * len(embeddings) if template_index is None else list(template_index)
    columns = {
        "text": [f"{name} {i}" for i in range(len(embeddings))],
        "class_index": class_index,
        "template_index": index,
    }
    manifest = save_texts(store.files, record, table(schema.TEXTS, columns))
    block_rows = min(64, len(embeddings))
    plan = Plan(
        "text-embeddings",
        len(embeddings),
        block_rows,
        block_rows,
        "float32",
        {"texts": manifest.digest},
        (lay_out(schema.TEXT_EMBEDDINGS, embeddings.shape, block_rows),),
    )
    run = BlockRun.start(store.files, layout.text_embeddings(model, record.name), plan)
    for block in run.missing():
        start, stop = plan.rows(block)
        run.commit(block, {"embeddings": embeddings[start:stop]})
    run.finish()
    return record.name


def add_zero_shot_head(store: Store, model: str, texts: str, *, scale: float, bias: float) -> Head:
    """Put the head that a text set makes into a store, as encoding does."""
    record, frame = store.texts(texts)
    embeddings = np.asarray(store.text_embeddings(model, texts))
    n_classes = len(record.class_ids)
    head = Head(
        record.class_ids,
        zero_shot_weights(embeddings, frame["class_index"].to_numpy(), n_classes),
        np.full(n_classes, bias, np.float32),
        scale,
        normalize=True,
    )
    manifest = read_manifest(store.files, layout.text_embeddings(model, texts))
    assert manifest is not None
    save_head(store, model, texts, head, {"kind": "zero-shot", "texts": manifest.digest})
    return head
