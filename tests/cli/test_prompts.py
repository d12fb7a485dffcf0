"""`embedstore prompts`: what is listed, encoded, and said of bad input."""

from __future__ import annotations

import json

import polars as pl
import pytest

from embedstore import Store
from embedstore.encode.loading import load_model
from embedstore.encode.progress import Progress
from embedstore.encode.request import Options
from embedstore.prompts import class_list, imagenet
from embedstore.testing.models import save_random_open_clip, tiny_config
from embedstore.testing.stores import random_store

ENCODE = ("prompts", "encode", "s", "--device", "cpu")
CUPL = {"class-0": ["A dog barks."], "class-1": ["A cat purrs.", "A cat hides."]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return save_random_open_clip(tmp_path_factory.mktemp("tiny"), tiny_config("clip"))


@pytest.fixture
def store(tmp_path, directory) -> Store:
    """A data set of two classes, an image-only model `a`, and `vit`, which has a text tower."""
    store = random_store(tmp_path / "s", models=("a",), datasets=("d",), n_classes=2)
    load_model(store, "vit", f"open_clip:{directory}", Options(device="cpu"), Progress())
    (tmp_path / "cupl.json").write_text(json.dumps(CUPL))
    return store


def test_sets_and_forms_are_listed_and_what_is_listed_can_be_used(call):
    rows = json.loads(call("prompts", "list", "--format", "json").stdout)
    kinds = {row["name"]: row["kind"] for row in rows}
    assert kinds == {
        "openai-80": "templates",
        "openai-7": "templates",
        "photo": "templates",
        "name": "templates",
        "waffle-PAIRS-seed-SEED": "generated",
        "random-characters-COUNT-seed-SEED": "generated",
        "FILE.txt, .json, .toml": "templates",
        "FILE.json": "descriptions",
    }
    assert rows[2]["first_template"] == "a photo of a {}."


def test_a_set_over_the_classes_of_the_stores_data(call, store):
    words = ("--set", "photo", "--file", "cupl.json", "--format", "json")
    said = call(*ENCODE, "--model", "vit", *words)
    assert [(r["texts"], r["n_encoded"]) for r in json.loads(said.stdout)] == [
        ("photo--d", 2),
        ("cupl--d", 3),
    ]
    lines = said.stderr.splitlines()
    assert lines[0].startswith("loading open_clip:")
    assert lines[1].startswith("vit: loaded in ")
    assert "vit: photo--d, 2 texts encoded, 0 copied" in lines
    assert "vit: cupl--d, 3 texts encoded, 0 copied" in lines
    assert store.heads("vit") == ["cupl--d", "photo--d"]
    again = call(*ENCODE, "--model", "v*", "--set", "photo", "--data", "d")
    assert again.stderr == "vit: photo--d is already there\n"


def test_words_as_classes_for_neglabel(call, store, tmp_path):
    (tmp_path / "words.txt").write_text("".join(f"word{i}\n" for i in range(300)))
    words = ("--model", "vit", "--set", "photo", "--classes", "words.txt")
    (row,) = json.loads(call(*ENCODE, *words, "--dry-run", "--format", "json").stdout)
    assert row == {
        "model": "vit",
        "texts": "photo--words",
        "n_texts": 300,
        "n_encoded": 300,
        "n_copied": 0,
        "state": "new",
    }
    assert store.text_sets("vit") == []
    assert call(*ENCODE, *words).exit_code == 0
    assert store.text_embeddings("vit", "photo--words").shape == (300, 32)
    assert store.texts("photo--words")[0].class_ids[299] == "word299"


def test_class_lists_by_name_beside_those_of_data_sets(call, store):
    lists = ("--classes", "imagenet", "--classes", "imagenet-wordnet", "--data", "d")
    words = (*ENCODE, "--model", "vit", "--set", "name", *lists, "--dry-run", "--format", "json")
    rows = json.loads(call(*words).stdout)
    n_new = len(set(class_list("imagenet-wordnet").names) - set(imagenet().names))
    counts = [(row["texts"], row["n_encoded"], row["n_copied"]) for row in rows]
    assert counts == [
        ("name--imagenet", 998, 2),
        ("name--imagenet-wordnet", n_new, 1000 - n_new),
        ("name--d", 2, 0),
    ]


def test_a_set_of_descriptions_is_exported_copied_and_verified(call, store, tmp_path):
    call(*ENCODE, "--model", "vit", "--file", "cupl.json")
    words = ("--what", "text-embeddings", "-o", "out", "--models", "vit")
    assert call("export", "s", *words).exit_code == 0
    (table,) = tmp_path.rglob("*.texts.parquet")
    frame = pl.read_parquet(table)
    assert frame["text"].to_list() == [text for texts in CUPL.values() for text in texts]
    assert frame["template_index"].to_list() == [0, 0, 1]
    assert call("copy", "s", "t", "--models", "vit").exit_code == 0
    assert Store.open(tmp_path / "t").heads("vit") == ["cupl--d"]
    assert call("verify", "t").exit_code == call("verify", "s").exit_code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--model", "a"), "model 'a' has no text tower to encode prompts with; choose one that h"),
        (("--model", "none"), "unknown model 'none'; choose one of: a, vit"),
        (("--set", "openai-81"), "unknown prompt set 'openai-81'; choose one of: FILE.json"),
        (("--data", "e"), "unknown data set 'e'; choose one of: d"),
        (("--classes", "coco"), "unknown class list 'coco'; choose one of: FILE.csv"),
        (("--file", "none.json"), "cannot read none.json: No such file or directory"),
        (("--file", "mine.yaml"), "cannot tell what mine.yaml holds; let its name end in one of"),
        (("--file", "gap.txt"), "template 'a photo' in gap.txt needs exactly one {}"),
        (("--file", "gaps.txt"), "template 'a {} {}' in gaps.txt needs exactly one {}"),
        (("--file", "blank.json"), "description of 'class-0' 1 of blank.json is empty"),
        (("--file", "none-of.json"), "class 'class-1' has no description in none-of.json"),
        (
            ("--file", "few.json"),
            "has no description of 1 of the 2 classes of 'd', first 'class-1'",
        ),
        (("--file", "more.json"), "describes classes that the list 'd' lacks (1, first 'cat')"),
        (("--file", "number.json"), "number.json holds no list of templates"),
        (("--file", "photo.txt"), "photo.txt would pass for the prompt set 'photo'"),
        (("--classes", "twice.txt"), "twice.txt has 'cat' more than once; keep one (classes of on"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(call, store, tmp_path, words, line):
    files = {
        "gap.txt": "a photo\n",
        "gaps.txt": "a {} {}\n",
        "photo.txt": "my {}\n",
        "twice.txt": "cat\ncat\n",
        "number.json": "3",
        "blank.json": '{"class-0": [" "], "class-1": ["a"]}',
        "none-of.json": '{"class-0": ["a"], "class-1": []}',
        "few.json": '{"class-0": ["a"]}',
        "more.json": '{"class-0": ["a"], "class-1": ["b"], "cat": ["c"]}',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = set(store.files.root.rglob("*"))
    said = call(
        *ENCODE, *(() if "--model" in words else ("--model", "vit")), "--set", "name", *words
    )
    assert (said.exit_code, said.stdout) == (1, "")
    (error,) = said.stderr.splitlines()
    assert line in error
    assert set(store.files.root.rglob("*")) == before


def test_nothing_to_encode_is_wrong_usage(call, store):
    said = call(*ENCODE, "--model", "vit")
    assert said.exit_code == 2
    assert "say what to encode: --set NAME or --file FILE" in said.stderr
