"""Zero-shot heads: prompts over classes, encoded once and averaged.

Dimensions: M texts, C classes, D embedding.
"""

from __future__ import annotations

import numpy as np

from embedstore import schema
from embedstore.encode.loading import Loaded
from embedstore.encode.progress import Progress
from embedstore.encode.texts import encode_texts
from embedstore.heads.head import Head, zero_shot_weights
from embedstore.heads.stored import save_head
from embedstore.prompts import ClassList, PromptSet, expand
from embedstore.store import Store, layout
from embedstore.store.contents import TextsRecord, save_texts
from embedstore.store.manifest import read_manifest
from embedstore.store.tables import table


def zero_shot_head(
    store: Store, loaded: Loaded, prompts: PromptSet, classes: ClassList, progress: Progress
) -> str:
    """Encode the prompts over the classes, commit the head made of them, and return its name."""
    name = save_prompts(store, prompts, classes)
    if name in store.heads(loaded.name):
        return name
    encode_texts(store, loaded, name, progress)
    record, texts = store.texts(name)
    embeddings = np.asarray(store.text_embeddings(loaded.name, name))
    n_classes = len(record.class_ids)
    model = loaded.model
    head = Head(
        class_ids=record.class_ids,
        weights=zero_shot_weights(embeddings, texts["class_index"].to_numpy(), n_classes),
        bias=np.full(n_classes, model.logit_bias, np.float32) if model.logit_bias else None,
        scale=model.logit_scale,
        normalize=True,
    )
    manifest = read_manifest(store.files, layout.text_embeddings(loaded.name, name))
    assert manifest is not None
    origin = {"kind": "zero-shot", "texts": manifest.digest}
    save_head(store, loaded.name, name, head, origin)
    return name


def has_prompts(store: Store, prompts: PromptSet, classes: ClassList) -> bool:
    """Whether the store has these very templates over these very classes."""
    name = f"{prompts.name}--{classes.name}"
    if read_manifest(store.files, layout.texts(name)) is None:
        return False
    return store.texts(name)[0] == _record(name, prompts, classes)


def save_prompts(store: Store, prompts: PromptSet, classes: ClassList) -> str:
    """Commit the prompts over the classes as a text set; return its name."""
    texts = expand(prompts, classes)
    record = _record(texts.name, prompts, classes)
    columns = {
        "text": texts.texts,
        "class_index": texts.class_index,
        "template_index": texts.template_index,
    }
    save_texts(store.files, record, table(schema.TEXTS, columns))
    return texts.name


def _record(name: str, prompts: PromptSet, classes: ClassList) -> TextsRecord:
    return TextsRecord(
        name=name,
        kind="prompts",
        templates=tuple(prompts.templates),
        class_list=classes.name,
        class_ids=tuple(classes.ids),
        class_names=tuple(classes.names),
    )
