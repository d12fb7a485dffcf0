"""Descriptions of classes: forms of the file, classes found by id and by name, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.prompts import ClassList, DescriptionSet, expand, imagenet, read_prompt_set
from embedstore.prompts.descriptions import clause

PETS = ClassList("pets", ("p1", "p2", "p3"), ("cat", "Great_Dane", "fish"))


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def texts_of(path: Path, classes: ClassList = PETS) -> list[list[str]]:
    return read_prompt_set(path).texts_for(classes)


def test_sentences_of_each_class_as_cupl_publishes_them(tmp_path):
    cupl = {
        "fish": ["A fish swims."],
        "cat": [" A cat purrs.", "A cat has fur.\n", "A cat purrs."],
        "great dane": ["A large dog."],
    }
    texts = expand(read_prompt_set(write(tmp_path / "cupl.json", cupl)), PETS)
    assert (texts.name, texts.templates) == ("cupl--pets", ())
    assert texts.texts == [
        "A cat purrs.",
        "A cat has fur.",
        "A cat purrs.",  # said twice, it counts twice, as in the authors' mean
        "A large dog.",
        "A fish swims.",
    ]
    assert texts.class_index.tolist() == [0, 0, 0, 1, 2]
    assert texts.template_index.tolist() == [0, 1, 2, 0, 0]


def test_features_follow_the_name_as_in_dclip(tmp_path):
    features = {
        "p1": ["whiskers", "a tail", "used to mice", "often asleep", "can purr", "has fur"],
        "p2": ["an owner"],
        "p3": ["may hide"],
    }
    assert texts_of(write(tmp_path / "dclip.json", {"descriptors": features})) == [
        [
            "cat, which has whiskers",
            "cat, which is a tail",
            "cat, which is used to mice",
            "cat, which often asleep",
            "cat, which can purr",
            "cat, which has fur",
        ],
        ["Great_Dane, which is an owner"],
        ["fish, which may hide"],
    ]


@given(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1))
def test_clauses_are_those_of_the_authors_code(feature):
    first = [
        (("a", "an"), "which is {}"),
        (("has", "often", "typically", "may", "can"), "which {}"),
        (("used",), "which is {}"),
        (("",), "which has {}"),
    ]
    form = next(form for starts, form in first if any(feature.startswith(s) for s in starts))
    assert clause(feature) == form.format(feature)


def test_templates_come_first_also_where_the_file_is_flat(tmp_path):
    sentences = {"cat": ["Purrs."], "great-dane": ["Barks.", "Big."], "fish": ["Swims."]}
    templates = ["a photo of a {}.", "{}"]
    expected = [
        ["a photo of a cat.", "cat", "Purrs."],
        ["a photo of a Great_Dane.", "Great_Dane", "Barks.", "Big."],
        ["a photo of a fish.", "fish", "Swims."],
    ]
    flat = write(tmp_path / "flat.json", {**sentences, "templates": templates})
    nested = write(tmp_path / "nested.json", {"templates": templates, "descriptions": sentences})
    assert texts_of(flat) == texts_of(nested) == expected


def test_a_mapping_of_templates_alone_is_a_list_of_templates(tmp_path):
    path = write(tmp_path / "t.json", {"templates": ["a {}.", "my {}"]})
    assert read_prompt_set(path).templates_for(PETS) == ("a {}.", "my {}")


def test_a_name_of_two_classes_describes_both_unless_ids_tell_them_apart():
    classes = ClassList("m", ("m1", "m2", "c"), ("missile", "missile", "cat"))
    shared = DescriptionSet("s", {"missile": ("Flies.",), "cat": ("Purrs.",)})
    assert shared.texts_for(classes) == [["Flies."], ["Flies."], ["Purrs."]]
    apart = DescriptionSet("s", {"m2": ("Old.",), "missile": ("Flies.",), "cat": ("Purrs.",)})
    assert apart.texts_for(classes) == [["Flies."], ["Old."], ["Purrs."]]


def test_an_exact_name_comes_before_one_spelt_alike():
    classes = ClassList("m", ("1", "2"), ("T-shirt", "t shirt"))
    found = DescriptionSet("s", {"t shirt": ("low",), "T-shirt": ("high",)}).texts_for(classes)
    assert found == [["high"], ["low"]]


def test_all_of_imagenet_by_its_names():
    names = dict.fromkeys(imagenet().names)
    found = DescriptionSet("s", {n: (f"about {n}",) for n in names}).texts_for(imagenet())
    assert len(names) == 998
    assert found == [[f"about {name}"] for name in imagenet().names]


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (["cat", "fish"], r"no description of 1 of the 3 classes of 'pets', first 'p2' \(Great_D"),
        (["cat", "fish", "p2", "dog", "cow"], r"the list 'pets' lacks \(2, first 'dog'\)"),
        (["cat", "fish", "p2", "p1"], "class 'p1' of 'pets' under 'p1' and under 'cat'"),
        (["cat", "Cat", "fish", "p2"], "class 'p1' of 'pets' under 'cat' and under 'Cat'"),
    ],
)
def test_classes_that_do_not_fit_are_refused_by_the_first_and_their_count(described, message):
    prompts = DescriptionSet("mine", dict.fromkeys(described, ("It is.",)))
    with pytest.raises(EmbedStoreError, match=message):
        prompts.texts_for(PETS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"cat": "purrs"}, "what .* says of class 'cat' is no list"),
        ({"cat": {"a": 1}}, "what .* says of class 'cat' is no list"),
        ({"cat": []}, "class 'cat' has no description in .*; give every class at least one"),
        ({"cat": ["purrs", "  "]}, "description of 'cat' 2 of .* is empty"),
        ({"cat": [3]}, "description of 'cat' 1 of .* is no text: 3"),
        ({"cat": ["a photo of a {}."]}, r"of class 'cat' in .* holds \{\}"),
        ({}, "describes no class"),
        ({"descriptions": {}}, "describes no class"),
        ({"templates": ["{}"], "descriptors": {}}, "describes no class"),
        ({"descriptions": {"cat": ["a"]}, "dog": ["b"]}, "holds 'dog' beside 'descriptions'"),
        ({"descriptions": {"c": ["a"]}, "descriptors": {"c": ["b"]}}, "holds 'descriptors' besi"),
        ({"templates": ["a {} {}"], "cat": ["a"]}, "needs exactly one {}"),
        ({"templates": [], "cat": ["a"]}, "holds no list of templates"),
        (3, "holds no list of templates"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, value, message):
    with pytest.raises(EmbedStoreError, match=message) as raised:
        read_prompt_set(write(tmp_path / "mine.json", value))
    assert "\n" not in str(raised.value)


def test_files_that_would_pass_for_sets_with_names_are_refused(tmp_path):
    for stem in ("photo", "waffle", "waffle-15-seed-0", "random-characters-3"):
        path = write(tmp_path / f"{stem}.json", {"cat": ["purrs"]})
        with pytest.raises(EmbedStoreError, match="would pass for the prompt set"):
            read_prompt_set(path)
    with pytest.raises(EmbedStoreError, match="let its name end in one of: .txt, .json, .toml"):
        read_prompt_set(tmp_path / "mine.yaml")


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1).map(
    lambda text: text.replace("{", "(")
)
tables = st.dictionaries(
    words.filter(lambda key: key not in ("templates", "descriptions", "descriptors")),
    st.lists(words, min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


@given(tables, st.lists(words.map(lambda w: f"{w} {{}}"), max_size=3, unique=True), st.data())
def test_what_a_file_says_comes_back_in_every_form(tmp_path_factory, said, templates, data):
    ids = data.draw(st.permutations(list(said)))
    classes = ClassList("c", tuple(ids), tuple(f"name {i}" for i in range(len(ids))))
    extra = {"templates": templates} if templates else {}
    path = tmp_path_factory.getbasetemp() / "said.json"
    expected = [
        [t.replace("{}", name) for t in templates] + said[class_id]
        for class_id, name in zip(classes.ids, classes.names, strict=True)
    ]
    for value in ({**said, **extra}, {"descriptions": said, **extra}):
        assert texts_of(write(path, value), classes) == expected
    features = texts_of(write(path, {"descriptors": said, **extra}), classes)
    for found, name, plain in zip(features, classes.names, expected, strict=True):
        n = len(templates)
        assert found == plain[:n] + [f"{name}, {clause(text)}" for text in plain[n:]]
