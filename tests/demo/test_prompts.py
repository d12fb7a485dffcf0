"""Prompts on real input: heads from texts alone, on photographs that were encoded once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embedstore import analysis
from embedstore.encode.prompts import encode_prompts
from embedstore.heads.applying import apply_head
from embedstore.heads.stored import load_head
from embedstore.prompts import class_list, imagenet, prompt_set


@pytest.mark.slow
def test_names_of_wordnet_and_descriptions_from_a_file(real_copy, tmp_path, monkeypatch):
    store = real_copy
    wordnet, whole = class_list("imagenet-wordnet"), imagenet()
    done = encode_prompts(store, ["image-text"], [(prompt_set("photo"), wordnet)])
    n_new = len(set(wordnet.names) - set(whole.names))
    assert done.rows() == [
        ("image-text", "photo--imagenet-wordnet", 1000, n_new, 1000 - n_new, "new")
    ]

    named = zip(whole.ids, whole.names, strict=True)
    said = {class_id: [f"a photo of a {name}."] for class_id, name in named}
    (tmp_path / "said.json").write_text(json.dumps(said))
    monkeypatch.setattr("embedstore.models.load", lambda _spec: pytest.fail("loaded a model"))
    encode_prompts(store, ["image-text"], [(prompt_set(str(tmp_path / "said.json")), whole)])
    heads = [load_head(store, "image-text", f"{name}--imagenet") for name in ("photo", "said")]
    np.testing.assert_array_equal(heads[0].weights, heads[1].weights)

    for head in ("photo--imagenet-wordnet", "said--imagenet"):
        apply_head(store, "image-text", "sample", head)
    table = analysis.run("accuracy", store, models="image-text", datasets="sample")
    accuracy = dict(table.select("head", "top1_accuracy").rows())
    assert accuracy["photo--imagenet"] == accuracy["said--imagenet"]
    assert accuracy["said--imagenet"] == pytest.approx(0.606, abs=0.005)
    # WordNet's first lemmas are often rare words: 363 of 1,000 names are others
    assert accuracy["photo--imagenet-wordnet"] == pytest.approx(0.513, abs=0.005)
