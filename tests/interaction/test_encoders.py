"""Which encoder a language model sees through, and what it says of the same data set."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from embedstore import Store, schema
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.interaction.encoders import (
    Asked,
    all_asked,
    encoder_runs,
    own_encoder,
    pixels_of,
)
from embedstore.store.answers import save_answers
from embedstore.store.contents import ModelRecord, save_model
from embedstore.testing.simulate.samples import add_samples

LLAVA = "llava:llava-hf/llava-1.5-7b-hf"
CLIP = "open_clip:ViT-L-14-336/openai"
OWN_PIXELS = f"open_clip:ViT-L-14-336-quickgelu/openai?transform={LLAVA}"


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store.open(tmp_path / "s", create=True)
    add_samples(store, "data", ["a", "b"], np.array([0, 1]), ("x", "y"))
    return store


def add(store: Store, **specs: str) -> None:
    for name, spec in specs.items():
        save_model(store.files, ModelRecord(name, spec, {"weights": name}, 0, False, True, {}))


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ({}, None),
        ({"rn": "open_clip:RN50/openai"}, None),
        ({"clip": CLIP}, "clip"),
        ({"clip": CLIP.replace("-336/", "-336-quickgelu/")}, "clip"),
        ({"a": CLIP, "b": OWN_PIXELS}, "b"),
        ({"a": f"{CLIP}?transform=llava:llava-hf/other", "b": OWN_PIXELS}, "b"),
        ({"a": CLIP, "b": f"{CLIP}?transform=llava:llava-hf/other"}, "b"),
        ({"clip": f"{CLIP}?checkpoint=/tmp/mine.pt"}, None),
    ],
)
def test_the_model_of_the_same_weights_on_the_same_pixels(store, specs, expected):
    add(store, llava=LLAVA, **specs)
    assert own_encoder(store, "llava") == expected


def test_models_that_see_through_none(store):
    add(store, clip=CLIP)
    assert own_encoder(store, "clip") is None


def test_pixels():
    assert pixels_of(OWN_PIXELS) == LLAVA
    assert pixels_of(f"{CLIP}?force=1&transform={LLAVA}") == LLAVA
    assert pixels_of(CLIP) is None


def test_whose_answers_there_are(store):
    with pytest.raises(EmbedStoreError, match=r"no model in .* has answered.*import answers"):
        all_asked(store, "*", "*", None)
    add(store, llava=LLAVA, other=LLAVA)
    none = pl.DataFrame(schema=dict(schema.ANSWERS))
    for model, protocol in (("llava", "two"), ("llava", "letters"), ("other", "two")):
        save_answers(store.files, model, "data", protocol, none, {})
    assert all_asked(store, "l*", "*", None) == [
        Asked("llava", "data", "letters"),
        Asked("llava", "data", "two"),
    ]
    assert [a.model for a in all_asked(store, "*", "da*", "two")] == ["llava", "other"]
    with pytest.raises(EmbedStoreError, match="'x'.*--models and --datasets among: llava on data"):
        all_asked(store, "x", "*", None)
    with pytest.raises(UnknownNameError, match="protocol 'three'; choose one of: letters, two"):
        all_asked(store, "*", "*", "three")


def test_the_first_space_of_the_data_sets_own_classes_counts(store, say):
    add(store, llava=LLAVA, clip=CLIP)
    said = {"correct": [True, False], "prediction": [0, 0]}
    say(store, "clip", **said, head="b", space="renamed")
    say(store, "clip", **said, head="b", space="data")
    say(store, "clip", **said, head="a", space="known", class_ids=["x"])
    say(store, "clip", **said, head="c", space="all--held-out", class_ids=["y", "x"])
    asked = Asked("llava", "data", "two")
    runs = encoder_runs(store, asked, None)
    assert [(r.head, r.space) for r in runs] == [("b", "data"), ("c", "all--held-out")]
    assert [r.head for r in encoder_runs(store, asked, "clip@c")] == ["c"]
    with pytest.raises(EmbedStoreError, match="'clip@a' has no outcomes among the classes"):
        encoder_runs(store, asked, "clip@a")
    with pytest.raises(UnknownNameError, match="unknown model 'nobody'"):
        encoder_runs(store, asked, "nobody")


def test_an_encoder_that_is_not_there_is_named_with_the_command(store):
    add(store, llava=LLAVA, mine="python:mine:make")
    command = (
        r"--model open_clip:ViT-L-14-336-quickgelu/openai --data data=folder:data, or name another "
        "with --encoder MODEL"
    )
    with pytest.raises(EmbedStoreError, match=command):
        encoder_runs(store, Asked("llava", "data", "two"), None)
    with pytest.raises(EmbedStoreError, match=r"which encoder 'mine' \(python:mine:make\) sees"):
        encoder_runs(store, Asked("mine", "data", "two"), None)
    with pytest.raises(EmbedStoreError, match=r"'mine' has no outcomes .* import predictions"):
        encoder_runs(store, Asked("llava", "data", "two"), "mine")
