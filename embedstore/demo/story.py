"""The demo: two real models over real photographs, and what can be asked once they are in a store.

Dimensions: N photographs, Q queries, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from embedstore.datasets.sources import open_source
from embedstore.demo.assemble import assemble, lite0_spec
from embedstore.demo.pictures import lay_out, photographs
from embedstore.encode.encoder import encode
from embedstore.encode.progress import Progress
from embedstore.encode.request import Request
from embedstore.heads.head import unit
from embedstore.heads.stored import load_head
from embedstore.models import load
from embedstore.models.texts import embed_all_texts
from embedstore.prompts import imagenet, prompt_set
from embedstore.store import Store

DATASET = "photographs"
SUPERVISED, IMAGE_TEXT = "lite0", "image-text"
PROMPTS = "photo"
ZERO_SHOT = f"{PROMPTS}--{DATASET}"
#: Worded as the prompts that the model was fitted to.
QUERIES = (
    "a photo of a cat.",
    "a photo of a cup of coffee.",
    "a photo of a rocket.",
    "a photo of a motorcycle.",
    "a photo of a wall clock.",
)


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the demo put things."""

    store: Path
    pictures: Path
    model: Path


def prepare(folder: Path) -> Demo:
    """Lay out the photographs and assemble the image-text model below `folder`."""
    return Demo(
        folder / "store", lay_out(folder / "photographs"), assemble(folder / "image-text-model")
    )


def encode_all(demo: Demo, progress: Progress) -> Store:
    """Encode the photographs by both models."""
    store = Store.open(demo.store, create=True)
    models = [(SUPERVISED, lite0_spec()), (IMAGE_TEXT, f"open_clip:{demo.model}")]
    data = [(DATASET, open_source(f"folder:{demo.pictures}"))]
    encode(store, Request(models, data, [prompt_set(PROMPTS)]), progress)
    return store


def sights(store: Store) -> pl.DataFrame:
    """Return what each model sees: one row a photograph, N rows."""
    samples = store.samples(DATASET)
    names = dict(zip(imagenet().ids, imagenet().names, strict=True))
    supervised = [names[i] for i in load_head(store, SUPERVISED, "own").class_ids]
    own = list(store.dataset(DATASET).class_names)
    columns = {"photograph": samples["path"], "class": _named(samples["label"], own)}
    for model, head, classes in ((SUPERVISED, "own", supervised), (IMAGE_TEXT, ZERO_SHOT, own)):
        said = store.outcomes(model, DATASET, heads=head).collect()
        columns[f"{model} sees"] = _named(said["prediction"], classes)
        columns[f"{model} confidence"] = said["confidence"].cast(pl.Float64)
    return pl.DataFrame(columns)


def _named(index: pl.Series, names: list[str]) -> list[str | None]:
    return [None if i is None else names[i] for i in index]


def search(
    store: Store, demo: Demo, queries: tuple[str, ...] = QUERIES, k: int = 3
) -> pl.DataFrame:
    """Return the k photographs nearest to each query: Q rows."""
    paths = store.samples(DATASET)["path"].to_list()
    similarity = _text_embeddings(demo, queries) @ _image_embeddings(store).T
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    found = [
        [f"{paths[i]} ({row[i]:.2f})" for i in b] for b, row in zip(best, similarity, strict=True)
    ]
    return pl.DataFrame(
        {"query": queries, **{f"no. {i + 1}": [f[i] for f in found] for i in range(k)}}
    )


def captions_found(store: Store, demo: Demo) -> tuple[int, int]:
    """Return how many captions find their own photograph first, and how many there are."""
    captions = {p.path.name: p.caption for p in photographs()}
    names = [path.rsplit("/", 1)[-1] for path in store.samples(DATASET)["path"]]
    texts = _text_embeddings(demo, tuple(captions[name] for name in names))
    nearest = (texts @ _image_embeddings(store).T).argmax(axis=1)
    return int((nearest == np.arange(len(names))).sum()), len(names)


def _image_embeddings(store: Store) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return unit(np.asarray(store.embeddings(IMAGE_TEXT, DATASET), np.float32))


def _text_embeddings(
    demo: Demo, texts: tuple[str, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return unit(embed_all_texts(load(f"open_clip:{demo.model}"), list(texts), len(texts)))


__all__ = ["Demo", "captions_found", "encode_all", "prepare", "search", "sights"]
