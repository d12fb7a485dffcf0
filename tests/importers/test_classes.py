"""Classes as files write them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import DatasetError
from embedstore.importers.classes import class_indices, class_texts, own_classes
from embedstore.prompts import ClassList, imagenet

PETS = ClassList("", ("cat", "dog", "red_fox"), ("cat", "dog", "red fox"))
SHIFTED = ClassList("", ("1", "2", "3"), ("1", "2", "3"))


def indices(values, classes=PETS):
    ids = pl.Series([f"s{i}" for i in range(len(values))])
    texts = class_texts(pl.Series(values), "f.csv")
    return class_indices(texts, ids, classes, "f.csv").to_list()


@given(st.lists(st.integers(0, 999) | st.none(), min_size=1))
def test_numbers_ids_and_names_of_imagenet_mean_the_same(labels):
    whole = imagenet()
    unique = [i if i is None or whole.names.count(whole.names[i]) == 1 else None for i in labels]
    for forms in (
        [None if i is None else whole.ids[i] for i in unique],
        [None if i is None else str(i) for i in unique],
        [None if i is None else float(i) for i in unique],
        [None if i is None else whole.names[i].upper().replace(" ", "_") for i in unique],
    ):
        assert indices(forms, whole) == unique


def test_ids_that_are_numbers_are_never_counted():
    assert indices(["3", "1", None], SHIFTED) == [2, 0, None]
    with pytest.raises(
        DatasetError, match="'0', of sample 's1' in f.csv, is none of the 3 classes"
    ):
        indices(["3", "0"], SHIFTED)


@pytest.mark.parametrize(
    ("values", "classes", "problem"),
    [
        (["0", "3"], PETS, "'3', of sample 's1' in f.csv, is out of range: classes go from 0 to 2"),
        (["-1", "1"], PETS, "'-1', of sample 's0' .* out of range"),
        (["9" * 30], PETS, "out of range"),
        (
            ["cat", "cow"],
            PETS,
            r"'cow', .* is none of the 3 classes \(cat, dog, red_fox\); mend it",
        ),
        (["cat", "na"], PETS, "'na', of sample 's1'"),
        (["0.5"], PETS, "'0.5', of sample 's0'"),
        (["missile"], imagenet(), "'missile', .* is the name of two classes: write ids"),
    ],
)
def test_other_values_are_named(values, classes, problem):
    with pytest.raises(DatasetError, match=problem):
        indices(values, classes)


def own(*labels):
    return own_classes(pl.Series(labels, dtype=pl.String), "f.csv")


def test_imagenets_classes_are_known_by_ids_and_by_all_their_numbers():
    assert own(*map(str, range(1000))) == (imagenet(), [])
    some, _ = own("n02123045", "n01440764")
    assert (some.name, some.ids) == ("imagenet", ("n01440764", "n02123045"))


def test_other_classes_are_the_data_sets_own():
    assert own("red_fox", "cat", None, "cat")[0] == ClassList(
        "", ("cat", "red_fox"), ("cat", "red fox")
    )
    numbers, notices = own("10", "9", "9")
    assert numbers.ids == ("9", "10")
    assert "--classes imagenet" in notices[0]
    with pytest.raises(DatasetError, match="label -1 of f.csv is out of range"):
        own("-1", "2")
