"""Real photographs through a real classifier: what indexes find of their neighbours, and leaks."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from embedstore import Store, analysis
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Request
from embedstore.index.building import build
from embedstore.index.subject import Subject

pytest.importorskip("faiss")

#: Every so many photographs one is put into a second data set: copied, or stored anew as JPEG.
STEP = 50


@pytest.fixture(scope="module")
def leaky(imagenet_sample, tmp_path_factory):
    """Copies of 20 photographs, every other one compressed anew, and 20 pictures of cloth."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("leaky")
    copied = sorted(imagenet_sample.glob("*/*.JPEG"))[::STEP]
    for i, path in enumerate(copied):
        target = folder / f"copy-{path.parent.name}.jpg"
        if i % 2:
            with Image.open(path) as picture:
                picture.convert("RGB").save(target, quality=60)
        else:
            shutil.copy(path, target)
    cloth = sorted((imagenet_sample.parent / "textile-ood").glob("*/*.jpg"))[:: 210 // 20][:20]
    for i, path in enumerate(cloth):
        shutil.copy(path, folder / f"cloth-{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def encoded(real_store, leaky, tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("indexed") / "store"
    shutil.copytree(real_store.files.root, folder)
    store, data = Store.open(folder), [("leaky", open_source(f"folder:{leaky}"))]
    encode(store, Request([("lite0", store.model("lite0").spec)], data, []))
    return store


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
def test_recall_at_the_settings_that_are_chosen(encoded, kind):
    subject = Subject.open(encoded, "lite0", dataset="sample")
    index, _ = build(subject, kind=kind)
    assert index.facts["recall_at_10"] >= 0.95
    x = np.asarray(subject.embeddings, np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    expected = np.argsort(-x @ x.T, axis=1, kind="stable")[:, :10]
    found = index.nearest(x, 10).rows
    pairs = zip(found, expected, strict=True)
    assert np.mean([len(set(f) & set(e)) / 10 for f, e in pairs]) >= 0.95


def test_copies_are_found_and_nothing_else(encoded):
    words = {"datasets": "leaky", "reference": "sample"}
    found = analysis.run("duplicates", encoded, **words, threshold=0.9)
    assert found.height == 20
    wnids = found["sample_id"].str.strip_prefix("copy-")
    assert (found["reference_id"].str.split("/").list.first() == wnids).all()
    assert found["same_digest"].sum() == 10
    assert found.filter("same_digest")["cosine"].min() > 0.9999
    assert found["margin"].min() > 0.3
    cloth = analysis.run("duplicates", encoded, **words, threshold=-1.0)
    cloth = cloth.filter(pl.col("sample_id").str.starts_with("cloth"))
    assert (cloth.height, cloth["cosine"].max() < 0.6, cloth["margin"].max() < 0.1) == (20, 1, 1)
    assert analysis.run("duplicates", encoded, datasets="sample", threshold=0.8).is_empty()
