"""Texts and pictures as queries: the model is loaded once, and gives what encoding gave."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.progress import Progress
from embedstore.encode.queries import embed_queries
from embedstore.encode.request import Options, Request
from embedstore.errors import DatasetError, IdentityError, ModelError
from embedstore.transform import Transform

SPEC = "python:toy_models:linear"


class Notices(Progress):
    def __init__(self):
        self.said = []

    def notice(self, text):
        self.said.append(text)


@pytest.fixture
def store(tmp_path, pictures, environment) -> Store:
    store = Store.open(tmp_path / "s", create=True)
    data = [("d", open_source(f"folder:{pictures}"))]
    encode(store, Request([("m", SPEC)], data, [], options=Options(workers=1)))
    return store


def test_a_picture_gives_the_embedding_that_is_stored(store, pictures):
    notices = Notices()
    paths = [str(pictures / p) for p in store.samples("d")["path"][:3]]
    found = embed_queries(store, "m", images=paths, progress=notices)
    assert (found.shape, found.dtype) == ((3, 24), np.float32)
    np.testing.assert_allclose(found, store.embeddings("m", "d")[:3], atol=2e-3)
    assert notices.said[0] == f"loading {SPEC}"
    assert [text.startswith("m: loaded in ") for text in notices.said[1:]] == [True]


def test_no_query_loads_no_model(store):
    notices = Notices()
    with pytest.raises(ModelError, match="model 'm' has no text tower; search with a picture"):
        embed_queries(store, "m", texts=["a cat"], progress=notices)
    with pytest.raises(DatasetError, match=r"cannot read nowhere.jpg: No such file"):
        embed_queries(store, "m", images=["nowhere.jpg"], progress=notices)
    assert notices.said == []


def test_a_file_that_is_no_picture(store, pictures):
    with pytest.raises(DatasetError, match=r"900.jpg cannot be used \(decode: .*choose another"):
        embed_queries(store, "m", images=[str(pictures / "cat" / "900.jpg")])


def test_a_model_that_has_changed_is_refused(store, pictures, monkeypatch):
    import toy_models

    nearer = Transform(size=(32, 32), resize_to=(48, 48))
    monkeypatch.setattr(toy_models, "TRANSFORM", nearer)
    with pytest.raises(IdentityError, match="model 'm' is in the store with another transform"):
        embed_queries(store, "m", images=[str(pictures / "dog" / "002.jpg")])


def test_words_and_pictures_find_real_photographs(imagenet_sample, real_store):
    """The command: one load, a text and a picture, from the photographs of 1,000 classes."""
    path, samples = real_store.files.root, real_store.samples("sample")
    first = str(imagenet_sample / samples["path"][0])
    words = ["index", "search", str(path), "--model", "image-text", "--data", "sample"]
    words += ["--text", "a photo of a tench.", "--image", first, "-k", "1", "--format", "json"]
    said = CliRunner().invoke(main, words, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    text, picture = json.loads(said.stdout)
    assert (text["class_name"], picture["sample_id"]) == ("tench", samples["sample_id"][0])
    assert picture["score"] == pytest.approx(1, abs=1e-3)
    assert said.stderr.count(": loaded in ") == 1
    texts = ["index", "search", str(path), "--model", "image-text", "--texts", "photo--imagenet"]
    texts += ["--image", first, "-k", "5", "--format", "json"]
    (best, *_) = json.loads(CliRunner().invoke(main, texts, catch_exceptions=False).stdout)
    assert (best["class_name"], best["text"]) == ("tench", "a photo of a tench.")
