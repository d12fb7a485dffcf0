"""WaffleCLIP's random prompts: the authors' form and lengths, the same texts for the same name."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import UnknownNameError
from embedstore.prompts import ClassList, expand, imagenet, prompt_set
from embedstore.prompts.waffle import _Lengths, _lengths

PETS = ClassList("pets", ("1", "2", "3"), ("cat", "great dane", "goldfish"))


def said(template: str) -> str:
    """What stands for the description."""
    match = re.fullmatch(
        r"A photo of a \{\}, which (?:has |is |(?=has|often|typically|may|can))(.+)\.", template
    )
    assert match, template
    return match[1]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("waffle", "waffle-15-seed-0"),
        ("waffle-3", "waffle-3-seed-0"),
        ("waffle-seed-7", "waffle-15-seed-7"),
        ("waffle-15-seed-0", "waffle-15-seed-0"),
        ("random-characters", "random-characters-15-seed-0"),
        ("random-characters-4-seed-12", "random-characters-4-seed-12"),
    ],
)
def test_the_name_tells_all_parameters(asked, name):
    assert prompt_set(asked).name == name
    assert prompt_set(asked) == prompt_set(name)


@pytest.mark.parametrize("name", ["waffle-0", "waffle-x", "waffle-3-seed", "random-words-3"])
def test_other_names_are_answered_with_the_form(name):
    with pytest.raises(UnknownNameError, match="waffle-PAIRS-seed-SEED"):
        prompt_set(name)


def test_pairs_of_words_and_characters_as_long_as_imagenets_names():
    templates = prompt_set("waffle").templates_for(imagenet())
    assert len(templates) == 30
    for words, characters in zip(templates[::2], templates[1::2], strict=True):
        assert re.fullmatch("[a-z]{1,6} [a-z]{1,6}", said(words))
        assert re.fullmatch(r"[^ ,.]{5}, [^ ,.]{5}", said(characters))  # "jmhj, !J#m."


def test_all_classes_share_the_random_part():
    texts = expand(prompt_set("waffle-4"), PETS)
    assert (texts.name, len(texts.templates), len(texts.texts)) == ("waffle-4-seed-0--pets", 8, 24)
    for template, cat, dane in zip(texts.templates, texts.texts, texts.texts[8:], strict=False):
        assert (cat, dane) == (template.format("cat"), template.format("great dane"))


def test_the_same_name_gives_the_same_texts_for_ever():
    assert prompt_set("waffle-2-seed-1").templates_for(PETS) == WAFFLE_2_SEED_1
    assert prompt_set("waffle-2-seed-2").templates_for(PETS) != WAFFLE_2_SEED_1
    assert prompt_set("random-characters-2").templates_for(PETS) == CHARACTERS_2_SEED_0


def test_a_larger_set_begins_with_a_smaller_one():
    small, large = (prompt_set(f"waffle-{n}").templates_for(imagenet()) for n in (5, 15))
    assert large[:10] == small


@given(st.lists(st.lists(st.text("abc", min_size=1), min_size=1).map(" ".join), min_size=1))
def test_lengths_are_those_of_the_authors_code(key_list):
    # waffle_tools.py: avg_num_words, avg_word_length, num_spaces, num_chars
    n_words = int(np.max([np.round(np.mean([len(x.split(" ")) for x in key_list])), 1]))
    letters = int(np.round(np.mean([np.mean([len(y) for y in x.split(" ")]) for x in key_list])))
    spaces = int(np.round(np.mean([np.sum(np.array(list(x)) == " ") for x in key_list]))) + 1
    chars = int(np.ceil(np.mean([np.max([len(y) for y in x.split(" ")]) for x in key_list])))
    chars += spaces - chars % spaces
    assert _lengths(key_list) == _Lengths(n_words, letters, spaces, chars // spaces)


WAFFLE_2_SEED_1 = (
    "A photo of a {}, which has bull.",
    "A photo of a {}, which has rnIYTho.",
    "A photo of a {}, which has bison.",
    "A photo of a {}, which has (rSn'Tl.",
)
CHARACTERS_2_SEED_0 = (
    "A photo of a {}, which has rnSIaRo.",
    "A photo of a {}, which has LWdvYJn.",
)
