"""Zero-shot heads: prompts over classes, encoded once and averaged.

Dimensions: M texts, C classes, D embedding.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore import schema
from embedstore.encode.progress import Progress
from embedstore.encode.texts import TextModel, encode_texts
from embedstore.heads.head import Head, zero_shot_weights
from embedstore.heads.stored import save_head
from embedstore.heads.zero_shot import ZERO_SHOT, logit_scale
from embedstore.prompts import ClassList, Prompts, TextSet, expand
from embedstore.store import Store, layout
from embedstore.store.contents import TextsRecord, save_texts
from embedstore.store.manifest import read_manifest
from embedstore.store.tables import table


def zero_shot_head(
    store: Store, model: TextModel, prompts: Prompts, classes: ClassList, progress: Progress
) -> str:
    """Encode the prompts over the classes, commit the head made of them, and return its name."""
    texts = expand(prompts, classes)
    save_prompts(store, texts, classes)
    if texts.name not in store.heads(model.name):
        encode_texts(store, model, texts.name, progress)
        save_zero_shot(store, model, texts.name)
    return texts.name


def save_zero_shot(store: Store, model: TextModel, name: str) -> None:
    """Commit the head made of a model's finished text set `name`, of the same name."""
    record, texts = store.texts(name)
    embeddings = np.asarray(store.text_embeddings(model.name, name))
    n_classes = len(record.class_ids)
    scale, bias = logit_scale(store, model.name) or (
        model.model.logit_scale,
        model.model.logit_bias,
    )
    head = Head(
        class_ids=record.class_ids,
        weights=zero_shot_weights(embeddings, texts["class_index"].to_numpy(), n_classes),
        bias=np.full(n_classes, bias, np.float32) if bias else None,
        scale=scale,
        normalize=True,
    )
    manifest = read_manifest(store.files, layout.text_embeddings(model.name, name))
    assert manifest is not None, "the text set is encoded before its head is made"
    save_head(store, model.name, name, head, {"kind": ZERO_SHOT, "texts": manifest.digest})


def has_prompts(store: Store, prompts: Prompts, classes: ClassList) -> bool:
    """Whether the store has these very prompts over these very classes."""
    name = f"{prompts.name}--{classes.name}"
    if read_manifest(store.files, layout.texts(name)) is None:
        return False
    record, frame = store.texts(name)
    templates = prompts.templates_for(classes)
    if record != _record(name, templates, classes):
        return False
    return bool(templates) or frame.equals(_frame(expand(prompts, classes)))


def save_prompts(store: Store, texts: TextSet, classes: ClassList) -> None:
    """Commit prompts over classes as a text set, or find them committed."""
    save_texts(store.files, _record(texts.name, texts.templates, classes), _frame(texts))


def _record(name: str, templates: tuple[str, ...], classes: ClassList) -> TextsRecord:
    return TextsRecord(
        name=name,
        kind="prompts",
        templates=templates,
        class_list=classes.name,
        class_ids=tuple(classes.ids),
        class_names=tuple(classes.names),
    )


def _frame(texts: TextSet) -> pl.DataFrame:
    columns = {
        "text": texts.texts,
        "class_index": texts.class_index,
        "template_index": texts.template_index,
    }
    return table(schema.TEXTS, columns)
