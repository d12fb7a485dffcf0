"""clip-retrieval's layout: captions and their embeddings row by row beside the images."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from embedstore import Store
from embedstore.exporters.exporting import export
from embedstore.exporters.selection import Chosen
from embedstore.importers.embeddings import import_embeddings, read_embeddings


@pytest.fixture
def folder(tmp_path):
    """Nine pictures with captions, of which one is NaN, as clip inference would write them."""
    folder = tmp_path / "in"
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    t = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    x[2] = np.nan
    for kind, rows in (("img_emb", x), ("text_emb", t)):
        (folder / kind).mkdir(parents=True)
        np.save(folder / kind / f"{kind}_0.npy", rows)
    (folder / "metadata").mkdir()
    frame = {"image_path": [f"{i}.jpg" for i in range(9)], "caption": [f"no {i}" for i in range(9)]}
    pl.DataFrame(frame).write_parquet(folder / "metadata" / "metadata_0.parquet")
    return folder


def test_captions_and_their_embeddings_stay_with_their_pictures(tmp_path, folder):
    store = Store.open(tmp_path / "s", create=True)
    import_embeddings(store, read_embeddings(folder), "m", "d")
    export(Chosen(store, tmp_path / "out"), "embeddings", "clip-retrieval")
    metadata = pl.read_parquet(tmp_path / "out" / "metadata" / "metadata_0.parquet")
    there = [i for i in range(9) if i != 2]
    assert metadata["image_path"].to_list() == [f"{i}.jpg" for i in there]
    assert metadata["caption"].to_list() == [f"no {i}" for i in there]
    texts = np.load(tmp_path / "out" / "text_emb" / "text_emb_0.npy")
    np.testing.assert_array_equal(texts, np.load(folder / "text_emb" / "text_emb_0.npy")[there])
    images = np.load(tmp_path / "out" / "img_emb" / "img_emb_0.npy")
    given = np.load(folder / "img_emb" / "img_emb_0.npy")[there].astype(np.float16)
    np.testing.assert_array_equal(images, given)
    text_file = tmp_path / "t.npy"
    export(Chosen(store, text_file), "text-embeddings")
    np.testing.assert_array_equal(
        np.load(text_file), np.load(folder / "text_emb" / "text_emb_0.npy")
    )
    assert pl.read_parquet(tmp_path / "t.texts.parquet")["text"][8] == "no 8"
