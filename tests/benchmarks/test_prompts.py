"""Prompts into a store: beside the bare text tower, and copied beside encoded."""

from __future__ import annotations

import itertools
import statistics
import time

import pytest
import torch

from embedstore import Store
from embedstore.encode.loading import load_model
from embedstore.encode.progress import Progress
from embedstore.encode.prompts import encode_prompts
from embedstore.encode.request import Options
from embedstore.models import load
from embedstore.models.texts import embed_all_texts
from embedstore.prompts import ClassList, PromptSet, imagenet
from embedstore.testing.models import save_random_open_clip

PHOTO = PromptSet("photo", ("a photo of a {}.",))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return save_random_open_clip(tmp_path_factory.mktemp("vit") / "ViT-B-32")


@pytest.fixture
def store(tmp_path, directory) -> Store:
    store = Store.open(tmp_path / "s", create=True)
    load_model(store, "vit", f"open_clip:{directory}", Options(device="cpu"), Progress())
    return store


def test_new_texts_beside_the_bare_tower(benchmark, store, directory, monkeypatch):
    """256 class names, the model loaded already: expansion, plan, encoding, head, commits."""
    model = load(f"open_clip:{directory}")
    model.to(torch.device("cpu"), torch.float32)
    monkeypatch.setattr("embedstore.models.load", lambda _spec: model)
    names, number, bare = imagenet().names[:256], itertools.count(), []

    def prepare():  # other words each round, so that none is known
        n = next(number)
        words = tuple(f"{name} {n}" for name in names)
        texts = [f"a photo of a {word}." for word in words]
        start = time.perf_counter()
        embed_all_texts(model, texts)
        bare.append(time.perf_counter() - start)
        return (store, ["vit"], [(PHOTO, ClassList(f"words-{n}", words, words))]), {"device": "cpu"}

    prepare()  # warm
    bare.clear()
    benchmark.pedantic(encode_prompts, setup=prepare, rounds=5)
    benchmark.extra_info["ratio"] = benchmark.stats["median"] / statistics.median(bare)


def test_known_texts(benchmark, store):
    """256 texts under another name: all copied, no model, beside encoding them and loading it."""
    ids, names = imagenet().ids[:256], imagenet().names[:256]
    start = time.perf_counter()
    encode_prompts(store, ["vit"], [(PHOTO, ClassList("all", ids, names))], device="cpu")
    encoding = time.perf_counter() - start
    number = itertools.count()

    def prepare():
        sets = [(PHOTO, ClassList(f"again-{next(number)}", ids, names))]
        return (store, ["vit"], sets), {"device": "cpu"}

    benchmark.pedantic(encode_prompts, setup=prepare, rounds=5)
    benchmark.extra_info["ratio"] = benchmark.stats["median"] / encoding
