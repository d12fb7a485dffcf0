"""Prompts encoded without pictures: what runs, what is copied, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from embedstore import Store
from embedstore.encode.loading import load_model
from embedstore.encode.progress import Progress
from embedstore.encode.prompts import class_lists_of, encode_prompts, plan_prompts
from embedstore.encode.request import Options
from embedstore.encode.stored_model import text_models
from embedstore.encode.texts import encode_texts
from embedstore.encode.zero_shot import has_prompts
from embedstore.errors import EmbedStoreError, IdentityError, ModelError, UnknownNameError
from embedstore.heads.applying import apply_head
from embedstore.heads.head import zero_shot_weights
from embedstore.heads.stored import load_head
from embedstore.models import load
from embedstore.models.texts import embed_all_texts
from embedstore.prompts import ClassList, DescriptionSet, PromptSet, class_list, expand, prompt_set
from embedstore.store.captions import save_captions
from embedstore.store.verify import verify
from embedstore.testing.models import save_random_open_clip, tiny_config
from embedstore.testing.stores import random_store

PETS = ClassList("pets", ("p1", "p2", "p3"), ("cat", "dog", "great dane"))
PHOTO, BAD = PromptSet("photo", ("a photo of a {}.",)), "a bad photo of a {}."
TWO = PromptSet("two", (BAD, "a photo of a {}."))


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return save_random_open_clip(tmp_path_factory.mktemp("tiny"), tiny_config("clip"))


@pytest.fixture
def store(tmp_path, directory) -> Store:
    """A store that knows a model and nothing of it."""
    return stored(tmp_path / "s", directory)


def stored(path, directory, name: str = "vit") -> Store:
    store = Store.open(path, create=True)
    load_model(store, name, f"open_clip:{directory}", Options(device="cpu"), Progress())
    return store


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """The texts that went through a text tower, in order."""
    texts: list[str] = []

    def counted(model, batch, *rest):
        texts.extend(batch)
        return embed_all_texts(model, batch, *rest)

    monkeypatch.setattr("embedstore.encode.texts.embed_all_texts", counted)
    return texts


@pytest.fixture
def forbid_loading(monkeypatch):
    """From the call on, a model that is loaded fails the test."""

    def forbid() -> None:
        monkeypatch.setattr("embedstore.models.load", lambda _spec: pytest.fail("loaded a model"))

    return forbid


def embeddings(store: Store, name: str) -> np.ndarray:
    return np.asarray(store.text_embeddings("vit", name))


def counts(frame: pl.DataFrame) -> list[tuple]:
    return frame.drop("model").rows()


def test_texts_and_head_are_those_of_the_model(store, directory):
    done = encode_prompts(store, ["vit"], [(TWO, PETS)], device="cpu")
    assert counts(done) == [("two--pets", 6, 6, 0, "new")]
    model, texts = load(f"open_clip:{directory}"), expand(TWO, PETS)
    expected = embed_all_texts(model, texts.texts)
    np.testing.assert_allclose(embeddings(store, "two--pets"), expected, rtol=1e-5, atol=1e-6)
    head = load_head(store, "vit", "two--pets")
    weights = zero_shot_weights(expected, texts.class_index, 3)
    np.testing.assert_allclose(head.weights, weights, atol=1e-6)
    assert (head.class_ids, head.scale, head.normalize) == (PETS.ids, model.logit_scale, True)
    record, frame = store.texts("two--pets")
    assert (record.templates, record.class_names) == (TWO.templates, PETS.names)
    assert frame["text"].to_list() == texts.texts
    assert verify(store.files) == []


def test_known_texts_are_copied_bit_for_bit_and_only_new_ones_run(store, ran):
    encode_prompts(store, ["vit"], [(PHOTO, PETS)], device="cpu")
    ran.clear()
    done = encode_prompts(store, ["vit"], [(TWO, PETS)], device="cpu")
    assert counts(done) == [("two--pets", 6, 3, 3, "new")]
    assert ran == [BAD.format(name) for name in PETS.names]
    copied = embeddings(store, "two--pets")[1::2]
    assert copied.tobytes() == embeddings(store, "photo--pets").tobytes()


def test_where_all_is_known_no_model_is_loaded(store, forbid_loading):
    encode_prompts(store, ["vit"], [(TWO, PETS)], device="cpu")
    forbid_loading()
    heard = Heard()
    dogs = ClassList("dogs", ("d", "g"), ("dog", "great dane"))
    done = encode_prompts(store, ["vit"], [(PHOTO, dogs)], progress=heard)
    assert counts(done) == [("photo--dogs", 2, 0, 2, "new")]
    assert heard.notices == ["vit: photo--dogs, 0 texts encoded, 2 copied"]
    made, old = (load_head(store, "vit", name) for name in ("photo--dogs", "two--pets"))
    assert (made.scale, made.bias) == (old.scale, None)
    again = encode_prompts(store, ["vit"], [(PHOTO, dogs)], progress=heard)
    assert counts(again) == [("photo--dogs", 2, 0, 0, "already there")]
    assert heard.notices[-1] == "vit: photo--dogs is already there"


def test_a_bias_is_copied_too(tmp_path_factory, tmp_path, forbid_loading):
    directory = save_random_open_clip(tmp_path_factory.mktemp("siglip"), tiny_config("siglip"))
    store = stored(tmp_path / "s", directory)
    encode_prompts(store, ["vit"], [(TWO, PETS)], device="cpu")
    forbid_loading()
    encode_prompts(store, ["vit"], [(PHOTO, PETS)])
    np.testing.assert_array_equal(load_head(store, "vit", "photo--pets").bias, [-10.0] * 3)


def test_without_a_head_to_take_the_scale_of_the_model_is_loaded(store, ran):
    texts = [[f"a photo of a {name}."] for name in PETS.names]
    save_captions(store.files, "captions--pets", "pets", texts)
    loaded = load_model(store, "vit", store.model("vit").spec, Options(device="cpu"), Progress())
    encode_texts(store, loaded, "captions--pets", Progress())
    ran.clear()
    heard = Heard()
    done = encode_prompts(store, ["vit"], [(PHOTO, PETS)], device="cpu", progress=heard)
    assert counts(done) == [("photo--pets", 3, 0, 3, "new")]
    assert ran == []
    assert any(notice.startswith("vit: loaded in ") for notice in heard.notices)
    assert load_head(store, "vit", "photo--pets").scale == loaded.model.logit_scale


def test_a_text_that_stands_twice_in_a_set_runs_once(store, ran, monkeypatch):
    monkeypatch.setattr("embedstore.encode.texts.BLOCK_TEXTS", 3)
    said = {"cat": ("purrs", "purrs", "hides"), "dog": ("barks", "hides"), "great dane": ("barks",)}
    done = encode_prompts(store, ["vit"], [(DescriptionSet("said", said), PETS)], device="cpu")
    assert counts(done) == [("said--pets", 6, 3, 3, "new")]
    assert ran == ["purrs", "hides", "barks"]  # also where they are in two blocks
    rows = embeddings(store, "said--pets")
    for a, b in ((0, 1), (2, 4), (3, 5)):
        assert rows[a].tobytes() == rows[b].tobytes()
    weights = zero_shot_weights(rows, np.array([0, 0, 0, 1, 1, 2]), 3)
    np.testing.assert_array_equal(load_head(store, "vit", "said--pets").weights, weights)
    assert store.texts("said--pets")[0].templates == ()


def test_a_begun_set_is_resumed_and_its_bits_are_those_of_a_quiet_run(
    store, directory, tmp_path, ran, monkeypatch
):
    monkeypatch.setattr("embedstore.encode.texts.BLOCK_TEXTS", 2)
    quiet = stored(tmp_path / "quiet", directory)
    encode_prompts(quiet, ["vit"], [(TWO, PETS)], device="cpu")
    ran.clear()

    def killed(model, batch, *rest):
        if len(ran) >= 4:
            raise KeyboardInterrupt
        ran.extend(batch)
        return embed_all_texts(model, batch, *rest)

    with monkeypatch.context() as killing:
        killing.setattr("embedstore.encode.texts.embed_all_texts", killed)
        with pytest.raises(KeyboardInterrupt):
            encode_prompts(store, ["vit"], [(TWO, PETS)], device="cpu")
    assert "two--pets" not in store.text_sets("vit")
    assert counts(plan_prompts(store, ["vit"], [(TWO, PETS)])) == [("two--pets", 6, 2, 0, "begun")]
    ran.clear()
    done = encode_prompts(store, ["vit"], [(TWO, PETS)], device="cpu")
    assert counts(done) == [("two--pets", 6, 2, 0, "begun")]
    assert ran == expand(TWO, PETS).texts[4:]
    assert embeddings(store, "two--pets").tobytes() == embeddings(quiet, "two--pets").tobytes()
    (store.files.root / "models/vit/heads/two--pets/manifest.json").unlink()
    assert counts(plan_prompts(store, ["vit"], [(TWO, PETS)])) == [("two--pets", 6, 0, 0, "begun")]


def test_a_dry_run_counts_and_writes_nothing(store, forbid_loading):
    forbid_loading()
    before = set(store.files.root.rglob("*"))
    wordnet = replace(PETS, name="other", names=("cat", "hound", "great dane"))
    sets = [(PHOTO, PETS), (TWO, PETS), (PHOTO, wordnet)]
    plan = plan_prompts(store, ["vit"], sets)
    assert counts(plan) == [
        ("photo--pets", 3, 3, 0, "new"),
        ("two--pets", 6, 3, 3, "new"),  # the first set's texts are there by then
        ("photo--other", 3, 1, 2, "new"),
    ]
    assert set(store.files.root.rglob("*")) == before


def test_several_sets_in_one_call_run_each_text_once(store, ran):
    wordnet = replace(PETS, name="other", names=("cat", "hound", "great dane"))
    sets = [(PHOTO, PETS), (TWO, PETS), (PHOTO, wordnet)]
    plan = plan_prompts(store, ["vit"], sets)
    assert encode_prompts(store, ["vit"], sets, device="cpu").equals(plan)
    assert len(ran) == len(set(ran)) == 7
    assert store.heads("vit") == ["photo--other", "photo--pets", "two--pets"]


def test_generated_sets_keep_their_templates(store):
    waffle = prompt_set("waffle-2-seed-5")
    encode_prompts(store, ["vit"], [(waffle, PETS)], device="cpu")
    record = store.texts("waffle-2-seed-5--pets")[0]
    assert record.templates == waffle.templates_for(PETS)
    assert has_prompts(store, waffle, PETS)
    assert not has_prompts(store, prompt_set("waffle-2-seed-6"), PETS)


def test_other_descriptions_under_a_name_are_told_apart_and_refused(store, ran):
    said = DescriptionSet("said", {"cat": ("a",), "dog": ("b",), "great dane": ("c",)})
    other = replace(said, descriptions={**said.descriptions, "dog": ("d",)})
    encode_prompts(store, ["vit"], [(said, PETS)], device="cpu")
    assert has_prompts(store, said, PETS)
    assert not has_prompts(store, other, PETS)
    ran.clear()
    with pytest.raises(IdentityError, match="'said--pets' is in the store with other texts; rena"):
        encode_prompts(store, ["vit"], [(PHOTO, PETS), (other, PETS)], device="cpu")
    assert (ran, store.text_sets("vit")) == ([], ["said--pets"])  # before anything is encoded
    with pytest.raises(IdentityError, match="two text sets would be named 'said--pets'"):
        plan_prompts(store, ["vit"], [(said, PETS), (other, PETS)])


def test_a_model_whose_weights_changed_is_refused_by_the_field(tmp_path, tmp_path_factory):
    directory = tmp_path_factory.mktemp("changing")
    store = stored(tmp_path / "s", save_random_open_clip(directory, tiny_config("clip")))
    encode_prompts(store, ["vit"], [(PHOTO, PETS)], device="cpu")
    save_random_open_clip(directory, tiny_config("clip"), seed=1)
    with pytest.raises(IdentityError, match="another weights .* give this one another name"):
        encode_prompts(store, ["vit"], [(TWO, PETS)], device="cpu")
    assert (store.text_sets("vit"), store.files.folders("texts")) == (["photo--pets"],) * 2


def test_models_are_named_or_matched_and_need_a_text_tower(tmp_path, directory):
    store = random_store(tmp_path / "s", models=("a", "b"))
    with pytest.raises(ModelError, match="'a' has no text tower to encode prompts with; first enc"):
        text_models(store, ["a"])
    stored(tmp_path / "s", directory)
    assert text_models(store, ["*", "vit"]) == ["vit"]
    with pytest.raises(ModelError, match="'b' has no text tower .*; choose one that has: vit"):
        text_models(store, ["vit", "b"])
    with pytest.raises(UnknownNameError, match="unknown model 'x'; choose one of: a, b, vit"):
        text_models(store, ["x"])


def test_class_lists_come_from_data_sets(tmp_path, directory):
    store = random_store(tmp_path / "s", datasets=("d", "e"), n_classes=3)
    d, e = class_lists_of(store)
    assert (d.name, e.name, d.ids) == ("d", "e", ("class-0", "class-1", "class-2"))
    assert class_lists_of(store, ["e"]) == [e]
    with pytest.raises(UnknownNameError, match="unknown data set 'f'"):
        class_lists_of(store, ["f"])
    with pytest.raises(EmbedStoreError, match="no data set .* has classes .*; give some: --classe"):
        class_lists_of(stored(tmp_path / "empty", directory))


def test_heads_over_wordnets_names_are_judged_as_those_over_open_clips(tmp_path, directory):
    from PIL import Image

    from embedstore.datasets.sources import open_source
    from embedstore.encode.encoder import encode
    from embedstore.encode.request import Request

    random = np.random.default_rng(0)
    for i, wnid in enumerate(("n02012849", "n03126707", "n01440764") * 2):
        folder = tmp_path / "pictures" / wnid
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    few = class_list("imagenet-wordnet")
    request = Request(
        [("vit", f"open_clip:{directory}")],
        [("d", open_source(f"folder:{tmp_path / 'pictures'}"))],
        [prompt_set("name")],
        classes=few,
        options=Options(device="cpu", workers=1),
    )
    encode(tmp_path / "s", request)
    store = Store.open(tmp_path / "s")
    assert store.heads("vit") == ["name--imagenet-wordnet"]
    encode_prompts(store, ["vit"], [(prompt_set("name"), class_lists_of(store)[0])], device="cpu")
    apply_head(store, "vit", "d", "name--imagenet")
    runs = {(run.head, run.space) for run in store.outcome_runs()}
    assert runs == {("name--imagenet-wordnet", "d"), ("name--imagenet", "d")}
    assert store.outcomes().collect()["correct"].null_count() == 0
    assert has_prompts(store, prompt_set("name"), few)
    texts = store.texts("name--imagenet-wordnet")[1]["text"]
    assert texts[134] == texts[517] == "crane"
    table = store.text_embeddings("vit", "name--imagenet-wordnet")
    assert table[134].tobytes() == table[517].tobytes()


def test_names_that_are_alike_are_noticed_in_one_line(store):
    heard = Heard()
    words = ClassList("words", ("1", "2", "3", "4"), ("cat", "Cat", "sea-lion", "sea lion"))
    encode_prompts(store, ["vit"], [(PHOTO, words)], device="cpu", progress=heard)
    (notice,) = [n for n in heard.notices if n.startswith("class list")]
    assert "(2, first 'Cat' and 'cat') can hardly be told apart" in notice
    heard.notices.clear()
    encode_prompts(store, ["vit"], [(PHOTO, PETS)], device="cpu", progress=heard)
    assert not [n for n in heard.notices if n.startswith("class list")]


def test_stores_that_differ_in_a_description_say_so(store, tmp_path, directory):
    from embedstore.differences.comparing import diff

    said = DescriptionSet("said", {"cat": ("a", "b"), "dog": ("b",), "great dane": ("c",)})
    encode_prompts(store, ["vit"], [(said, PETS)], device="cpu")
    other = stored(tmp_path / "other", directory)
    changed = replace(said, descriptions={**said.descriptions, "dog": ("d", "b")})
    encode_prompts(other, ["vit"], [(changed, PETS)], device="cpu")
    found = diff(store, other)
    row = found.row(by_predicate=pl.col("what") == "texts", named=True)
    assert (row["where"], row["a"], row["b"]) == ("said--pets", "4", "5")
