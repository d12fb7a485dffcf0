"""Data sets: samples, annotations beside them, captions."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore.errors import DatasetError, IdentityError, UnknownNameError
from embedstore.store import Store
from embedstore.store.captions import caption_set, save_captions
from embedstore.store.datasets import annotation_names, load_annotations, save_annotations
from embedstore.store.maintenance import Selection, copy, remove
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store

N = 40
DARK = pl.DataFrame({"dark": [i % 3 == 0 for i in range(N)]})


@pytest.fixture
def store(tmp_path):
    return random_store(tmp_path / "s")


def test_annotations_stand_beside_samples_and_outcomes(store):
    before = store.samples("data")
    save_annotations(store.files, "data", "light", DARK)
    save_annotations(store.files, "data", "words", pl.DataFrame({"tags": [["a"], []] * (N // 2)}))
    samples = store.samples("data")
    assert samples.columns == [*before.columns, "dark", "tags"]
    assert samples["dark"].to_list() == DARK["dark"].to_list()
    assert annotation_names(store.files, "data") == ["light", "words"]
    joined = store.outcomes(samples=True).collect()
    assert joined["dark"].to_list() == DARK["dark"].to_list()
    assert joined["tags"].to_list()[:2] == [["a"], []]


def test_data_sets_with_different_annotations_are_stacked(tmp_path):
    store = random_store(tmp_path / "s", datasets=("one", "two"))
    save_annotations(store.files, "one", "a", pl.DataFrame({"x": [1] * N}))
    save_annotations(store.files, "two", "a", pl.DataFrame({"x": [0.5] * N, "y": ["z"] * N}))
    found = store.outcomes(samples=True).select("dataset", "x", "y").collect()
    assert found.height == 2 * N
    assert found.filter(dataset="one")["y"].null_count() == N


def test_the_same_again_is_found_and_other_ones_are_refused(store):
    save_annotations(store.files, "data", "light", DARK)
    save_annotations(store.files, "data", "light", DARK)
    with pytest.raises(DatasetError, match="has other annotations named 'light'"):
        save_annotations(store.files, "data", "light", DARK.select(~pl.col("dark")))
    with pytest.raises(DatasetError, match="'dark' of data set 'data' is one of annotations"):
        save_annotations(store.files, "data", "again", DARK)
    with pytest.raises(DatasetError, match="'label' of data set 'data' is one of the store's"):
        save_annotations(store.files, "data", "more", pl.DataFrame({"label": [0] * N}))
    with pytest.raises(DatasetError, match="of 3 rows do not fit the 40 samples"):
        save_annotations(store.files, "data", "short", DARK[:3])
    with pytest.raises(UnknownNameError, match="unknown annotations of data set 'data'"):
        load_annotations(store.files, "data", "none")


def test_captions_are_texts_that_know_their_sample(store):
    name = caption_set("captions-de", "data")
    texts = [["ein Hund", "ein Tier"], [], *[[f"Bild {i}"] for i in range(N - 2)]]
    save_captions(store.files, name, "data", texts)
    record, frame = store.texts("captions-de--data")
    assert (record.kind, record.dataset) == ("captions", "data")
    assert frame["text"].to_list()[:3] == ["ein Hund", "ein Tier", "Bild 0"]
    assert frame["sample_index"].to_list()[:3] == [0, 0, 2]
    assert frame["class_index"].null_count() == frame.height
    with pytest.raises(IdentityError, match="with other texts; give the data set another name"):
        save_captions(store.files, name, "data", [["x"]] * N)
    with pytest.raises(DatasetError, match="captions 'none--data' .* hold no text; leave them out"):
        save_captions(store.files, "none--data", "data", [[]] * N)
    assert not store.files.exists("texts/none--data/manifest.json")


def test_annotations_and_captions_are_copied_verified_and_removed(store, tmp_path):
    save_annotations(store.files, "data", "light", DARK)
    save_captions(store.files, caption_set("captions", "data"), "data", [["x"]] * N)
    target = Store.open(tmp_path / "copy", create=True)
    copy(store, target)
    assert target.samples("data").equals(store.samples("data"))
    assert verify(target.files) == []
    path = target.files.path("datasets/data/annotations/light/table.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    (problem,) = verify(target.files)
    assert problem.file.endswith("annotations/light/table.parquet")
    remove(store, Selection(dataset="data"))
    assert store.datasets == []
    assert not store.files.exists("texts/captions--data/manifest.json")
