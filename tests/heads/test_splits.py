"""Splits by a hash of ids: sizes, stability, few-shot choices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import DatasetError
from embedstore.heads.splits import (
    fraction_of,
    hashed,
    places,
    shots_split,
    validation_split,
)

IDS = [f"class-{i % 7}/{i:05d}" for i in range(4000)]
LABELS = np.arange(4000) % 7
CLASSES = [f"class-{c}" for c in range(7)]


def test_hashes_are_those_of_the_format():
    # Recomputed by hand with hashlib: a store fitted today must be split alike in years.
    from hashlib import blake2b

    number = int.from_bytes(blake2b(b"5\0fraction\0a/b", digest_size=8).digest(), "big")
    assert hashed(["a/b"], 5, "fraction")[0] == (number >> 11) / 2**53


def test_a_fraction_is_about_that_and_unrelated_to_other_splits():
    half = fraction_of(IDS, 0.5, 0)
    assert abs(len(half) - 2000) < 5 * np.sqrt(1000)
    other = fraction_of(IDS, 0.5, 1)
    assert abs(len(np.intersect1d(half, other)) - 1000) < 5 * np.sqrt(750)
    split = validation_split([IDS[i] for i in half], LABELS[half], 0)
    assert abs(len(split.validation) - len(half) * 0.2) < 5 * np.sqrt(len(half) * 0.16)


def test_a_samples_side_does_not_depend_on_the_others():
    few = fraction_of(IDS[::3], 0.5, 0) * 3
    whole = fraction_of(IDS, 0.5, 0)
    np.testing.assert_array_equal(few, whole[whole % 3 == 0])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(0, 9))
def test_places_count_within_classes(labels, seed):
    labels = np.array(labels)
    numbers = hashed([str(i) for i in range(len(labels))], seed, "x")
    expected = [sum((labels == y) & (numbers < n)) for y, n in zip(labels, numbers, strict=True)]
    np.testing.assert_array_equal(places(labels, numbers), expected)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 9))
def test_validation_leaves_each_class_a_sample(labels, seed):
    labels = np.array(labels)
    split = validation_split([str(i) for i in range(len(labels))], labels, seed)
    assert set(labels[split.fit]) == set(labels)
    np.testing.assert_array_equal(split.used, np.arange(len(labels)))


def test_shots_are_that_many_a_class_and_four_more_validate():
    split = shots_split(IDS, LABELS, CLASSES, 16, 0)
    np.testing.assert_array_equal(np.bincount(LABELS[split.fit]), [16] * 7)
    np.testing.assert_array_equal(np.bincount(LABELS[split.validation]), [4] * 7)
    assert not set(split.fit) & set(split.validation)
    fewer = shots_split(IDS, LABELS, CLASSES, 8, 0)
    assert set(fewer.fit) <= set(split.fit)
    order = np.random.default_rng(0).permutation(4000)
    moved = shots_split([IDS[i] for i in order], LABELS[order], CLASSES, 16, 0)
    np.testing.assert_array_equal(np.sort(order[moved.fit]), split.fit)
    assert set(shots_split(IDS, LABELS, CLASSES, 16, 1).fit) != set(split.fit)


def test_too_few_samples_for_the_shots_are_named():
    labels = np.array([0, 0, 0, 2, 2])
    message = r"1 of 2 classes have fewer than 3 .*'class-2' has 2; ask for fewer: --shots 2"
    with pytest.raises(DatasetError, match=message):
        shots_split(list("abcde"), labels, CLASSES, 3, 0)
    assert len(shots_split(list("abcde"), labels, CLASSES, 2, 0).fit) == 4
