"""The demo: two real models over real photographs, and what can be asked once they are in a store.

Dimensions: N photographs, Q queries.
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
from embedstore.encode.queries import embed_queries
from embedstore.encode.request import Request
from embedstore.heads.stored import load_head
from embedstore.index.exact import nearest
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


def found(store: Store, k: int = 3) -> tuple[pl.DataFrame, int]:
    """Ask for photographs in words, the model being loaded once.

    Returns
    -------
    tuple
        The k photographs nearest to each of `QUERIES`, Q rows, and how many of the N captions find
        their own photograph first.
    """
    paths = store.samples(DATASET)["path"].to_list()
    captions = {p.path.name: p.caption for p in photographs()}
    own = [captions[path.rsplit("/", 1)[-1]] for path in paths]
    texts = embed_queries(store, IMAGE_TEXT, texts=[*QUERIES, *own])
    near = nearest(texts, store.embeddings(IMAGE_TEXT, DATASET).blocks(), k, normalize=True)
    said = [
        [f"{paths[i]} ({score:.2f})" for i, score in zip(*answer, strict=True)]
        for answer in zip(near.rows, near.scores, strict=True)
    ][: len(QUERIES)]
    table = {"query": QUERIES, **{f"no. {i + 1}": [s[i] for s in said] for i in range(k)}}
    n_first = int((near.rows[len(QUERIES) :, 0] == np.arange(len(own))).sum())
    return pl.DataFrame(table), n_first


__all__ = ["Demo", "encode_all", "found", "prepare", "sights"]
