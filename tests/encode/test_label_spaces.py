"""Encoding data sets that bring annotations, captions and label spaces along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from embedstore import Store
from embedstore.datasets.folder import FolderSource
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.errors import DatasetError
from embedstore.prompts import prompt_set
from embedstore.testing.models import save_random_open_clip, tiny_config


class Described(FolderSource):
    """A folder of pictures with several right labels, a factor, and captions in two languages."""

    def listing(self):
        found = super().listing()
        n = len(found.paths)
        annotations = pl.DataFrame(
            {"real_labels": [[label, 0] if label % 2 else [] for label in found.labels]}
        )
        captions = {
            "captions": [[f"picture {i}", "a picture"] for i in range(n)],
            "captions-de": [[f"Bild {i}"] for i in range(n)],
        }
        return replace(found, annotations=annotations, captions=captions, spaces=("imagenet-real",))


def request(pictures, model, **options):
    settings = {"batch_size": 4, "block_rows": 12, "workers": 1} | options
    return Request(
        [("m", model)],
        [("pets", Described(str(pictures)))],
        [prompt_set("name")],
        options=Options(**settings),
    )


def test_every_label_space_has_outcomes_of_its_own(tmp_path, pictures, environment):
    asked = request(pictures, "python:toy_models:linear")
    encode(tmp_path / "s", asked)
    store = Store.open(tmp_path / "s")
    assert [run.space for run in store.outcome_runs()] == ["all", "imagenet-real"]
    found = store.outcomes(space="imagenet-real", samples=True).collect()
    logits = np.asarray(store.logits("m", "pets", "own"))
    for i, row in enumerate(found.iter_rows(named=True)):
        right = row["real_labels"]
        if not right or row["prediction"] is None:
            assert row["correct"] is None
            continue
        order = np.argsort(-logits[i], kind="stable")
        assert row["correct"] == (order[0] in right)
        assert row["label_rank"] == min(list(order).index(c) for c in right)
        assert row["nll"] is None
    assert encode(tmp_path / "s", asked).already == [("m", "pets")]


def test_captions_are_encoded_once_and_their_rows_known(tmp_path, pictures, environment):
    directory = save_random_open_clip(tmp_path / "tiny", tiny_config("clip"))
    asked = request(pictures, f"open_clip:{directory}")
    encode(tmp_path / "s", asked)
    store = Store.open(tmp_path / "s")
    assert {"captions--pets", "captions-de--pets"} <= set(store.text_sets("m"))
    _, texts = store.texts("captions--pets")
    embeddings = np.asarray(store.text_embeddings("m", "captions--pets"))
    assert len(embeddings) == texts.height == 2 * store.dataset("pets").n_samples
    same = texts["text"] == "a picture"
    assert len(np.unique(embeddings[same.to_numpy()], axis=0)) == 1
    assert encode(tmp_path / "s", asked).already == [("m", "pets")]


def test_a_part_of_a_data_set_keeps_its_rows_annotations_and_captions(
    tmp_path, pictures, environment
):
    encode(tmp_path / "s", request(pictures, "python:toy_models:linear", limit=5))
    store = Store.open(tmp_path / "s")
    whole = Described(str(pictures)).listing()
    rows = [i * len(whole.paths) // 5 for i in range(5)]
    (name,) = store.datasets
    expected = [whole.annotations["real_labels"].to_list()[i] for i in rows]
    assert store.samples(name)["real_labels"].to_list() == expected
    _, texts = store.texts(f"captions-de--{name}")
    assert texts["text"].to_list() == [f"Bild {i}" for i in rows]


def test_other_annotations_under_the_same_name_are_refused(tmp_path, pictures, environment):
    class Other(Described):
        def listing(self):
            found = super().listing()
            return replace(found, annotations=found.annotations.with_columns(x=pl.lit(1)))

    asked = request(pictures, "python:toy_models:linear")
    encode(tmp_path / "s", asked)
    with pytest.raises(DatasetError, match="has other annotations named 'source'"):
        encode(tmp_path / "s", replace(asked, data=[("pets", Other(str(pictures)))]))


def test_captions_that_hold_no_text_are_left_out(tmp_path, pictures, environment):
    class Silent(Described):
        def listing(self):
            found = super().listing()
            return replace(found, captions={**found.captions, "none": [[] for _ in found.paths]})

    directory = save_random_open_clip(tmp_path / "tiny", tiny_config("clip"))
    asked = replace(
        request(pictures, f"open_clip:{directory}", limit=4), data=[("pets", Silent(str(pictures)))]
    )
    encode(tmp_path / "s", asked)
    store = Store.open(tmp_path / "s")
    (name,) = store.datasets
    assert store.dataset(name).captions == (f"captions--{name}", f"captions-de--{name}")
    assert encode(tmp_path / "s", asked).already == [("m", name)]
