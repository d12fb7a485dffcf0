"""Joining by id: against a dictionary, and never by order."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.datasets.folder import sample_ids as folder_ids
from embedstore.errors import DatasetError
from embedstore.importers.matching import by_order, match, sample_ids

SAMPLES = ["cat/1", "cat/2", "dog/3"]


def matched(ids, samples=SAMPLES):
    return match(pl.Series("id", ids), pl.Series(samples), "f.csv", "pets")


@given(st.permutations(range(30)), st.sets(st.integers(0, 29)), st.integers(0, 5))
def test_a_shuffled_file_with_gaps_is_the_dictionary(order, left_out, more):
    samples = [f"class-{i % 3}/picture_{i}" for i in range(30)]
    kept = [i for i in order if i not in left_out]
    ids = [f"{samples[i]}.JPEG" for i in kept] + [f"other/{i}.JPEG" for i in range(more)]
    if not kept:
        return
    found = matched(ids, samples)
    values = pl.Series(range(len(ids)))
    row_of = {samples[i]: row for row, i in enumerate(kept)}
    assert found.gather(values).to_list() == [row_of.get(sample) for sample in samples]
    assert found.missing.to_list() == [samples[i] for i in sorted(left_out)]
    assert len(found.unknown) == more


@pytest.mark.parametrize(
    ("ids", "rows"),
    [
        (["dog/3", "cat/1", "cat/2"], [1, 2, 0]),
        (["dog/3.png", "cat/1.JPG", "./cat/2.webp"], [1, 2, 0]),
        (["3.png", "1", "2.jpg"], [1, 2, 0]),
        (["val/dog/3.png", "val/cat/1.png", "x/2.png"], [1, 2, 0]),
        (["cat/2"], [None, 0, None]),
    ],
)
def test_ids_agree_with_or_without_endings_and_folders(ids, rows):
    found = matched(ids)
    assert found.rows.to_list() == rows
    by_name = "/" not in ids[0] or "val" in ids[0]
    assert found.rule == ("by file name, without folders" if by_name else "by sample id")


def test_the_rule_is_said_where_folders_were_passed_over():
    assert matched(["3.png", "1.png"]).notices("f.csv", "pets") == [
        "ids are compared by file name, without folders",
        "1 (cat/2) samples of pets are not in f.csv: null",
    ]
    assert matched(["dog/3", "cat/1", "cat/2", "x"]).notices("f.csv", "pets") == [
        "1 (x) of f.csv are no samples of pets: left out"
    ]


def test_file_names_that_are_not_unique_are_not_compared():
    with pytest.raises(DatasetError, match="no id of f.csv, such as '1.png', is a sample of"):
        matched(["1.png"], ["cat/1", "dog/1"])


def test_an_ending_counts_where_two_samples_differ_by_it_alone():
    assert matched(["a.png", "a.jpg"], ["a.jpg", "a.png"]).rows.to_list() == [1, 0]


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["cat/1", "dog/3", "cat/1"], "id 'cat/1' stands twice in f.csv, in rows 1 and 3; keep"),
        (["cat/1.jpg", "cat/1.png"], r"rows 1 and 2 \(there as 'cat/1.png'\); keep one"),
        (["cat/1", None], "row 2 of f.csv has no id in column 'id'"),
        (["horse/9"], "no id of f.csv, such as 'horse/9', is a sample of data set 'pets', such as"),
    ],
)
def test_bad_ids_are_named(ids, problem):
    with pytest.raises(DatasetError, match=problem):
        matched(ids)


PATHS = st.lists(
    st.from_regex(r"[ab]{1,2}(/[cd])?\.(jpg|png|JPEG)(\.png)?", fullmatch=True), unique=True
)


@given(PATHS)
def test_sample_ids_are_those_of_a_folder_and_unique(paths):
    found = sample_ids(pl.Series(paths, dtype=pl.String)).to_list()
    assert found == folder_ids(paths)
    assert len(set(found)) == len(found)


def test_claimed_orders():
    samples = pl.Series(["b/1", "a/3", "a/2"])
    values = pl.Series(["first", "second", "third"])
    by_name = by_order(3, samples, "sorted-ids", "f", "d")
    assert by_name.gather(values).to_list() == ["first", "third", "second"]
    as_they_are = by_order(3, samples, "as-samples", "f", "d")
    assert as_they_are.gather(values).to_list() == values.to_list()
    with pytest.raises(DatasetError, match="has 2 rows and no ids, and data set 'd' 3 samples"):
        by_order(2, samples, "sorted-ids", "f", "d")
