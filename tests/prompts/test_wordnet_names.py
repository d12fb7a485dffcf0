"""ImageNet's classes by their names in WordNet."""

from __future__ import annotations

from importlib.resources import files

import pytest

from embedstore.errors import EmbedStoreError
from embedstore.prompts import class_list, imagenet, read_class_list


def test_names_are_the_first_lemmas_of_timms_file():
    data = pytest.importorskip("timm.data")
    text = files(data).joinpath("_info/imagenet_synset_to_lemma.txt").read_text("utf-8")
    lemmas = dict(line.split("\t") for line in text.splitlines())
    expected = tuple(lemmas[wnid].split(", ")[0] for wnid in imagenet().ids)
    assert class_list("imagenet-wordnet").names == expected


def test_ids_are_imagenets_so_that_heads_over_either_are_judged_alike():
    classes = class_list("imagenet-wordnet")
    assert (classes.name, classes.ids) == ("imagenet-wordnet", imagenet().ids)
    assert sum(a != b for a, b in zip(classes.names, imagenet().names, strict=True)) == 363


def test_two_names_stand_twice():
    names = class_list("imagenet-wordnet").names
    repeated = {n: [i for i, m in enumerate(names) if m == n] for n in names if names.count(n) > 1}
    assert repeated == {"crane": [134, 517], "maillot": [638, 639]}


def test_the_file_bears_its_source_and_licence():
    text = files("embedstore.prompts").joinpath("imagenet-wordnet-classes.csv").read_text("utf-8")
    assert "WordNet 3.0 Copyright 2006 by" in text
    assert "imagenet_synset_to_lemma.txt" in text.splitlines()[0]


def test_a_file_may_not_pass_for_it(tmp_path):
    path = tmp_path / "imagenet-wordnet.txt"
    path.write_text("cat\n")
    with pytest.raises(EmbedStoreError, match="would pass for the class list 'imagenet-wordnet'"):
        read_class_list(path)


def test_repeated_names_are_counted(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("cat\ndog\ncat\ndog\ncow\ncat\n")
    with pytest.raises(EmbedStoreError, match=r"'cat' more than once \(2 entries repeat\); keep"):
        read_class_list(path)
