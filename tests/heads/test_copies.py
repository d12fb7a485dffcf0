"""Corrupted copies of fitted samples are known by name, source and id, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from embedstore import Store, schema
from embedstore.corruption.benchmarks import KINDS
from embedstore.heads.copies import IMAGENET, copies, of_one_origin
from embedstore.heads.head import Head
from embedstore.heads.held_out import fair_judgements, seen_samples
from embedstore.heads.stored import FITTED, save_head
from embedstore.in_distribution import ID_NAMES
from embedstore.labels import judgements
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.tables import table
from embedstore.testing.stores import random_store

IDS = [f"class/{i}" for i in range(6)]


def record(name: str, source: str = "folder:/d") -> DatasetRecord:
    return DatasetRecord(name, source, name, (), (), 0, name)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (record("photos"), record("photos--fog--1", "folder:/f"), True),
        (record("photos--frost--2", "folder:/e"), record("photos--fog--1", "folder:/f"), True),
        (record("photos--limit-8"), record("photos--fog--1--limit-9", "folder:/f"), True),
        (record("photos"), record("photos--limit-4--snow--1", "folder:/f"), True),
        (record("a", "csv:/d/x.csv"), record("b", "corrupt:fog:1:csv:/d/x.csv"), True),
        (record("a", "corrupt:frost:2:folder:/d"), record("b", "corrupt:fog:1:folder:/d"), True),
        (record("ImageNet-Val", "folder:/v"), record("imagenet-c--fog--3", "folder:/f"), True),
        (record("imagenet", "folder:/v"), record("imagenet-3dcc", "imagenet-3dcc:/f"), True),
        (record("a", "folder:/d"), record("b", "folder:/d"), False),  # who knows what lay there
        (record("a", "folder:/e"), record("b", "corrupt:fog:1:folder:/d"), False),
        (record("photos"), record("photos--v2", "folder:/f"), False),
        (record("cats--fog--1"), record("dogs--fog--1", "folder:/f"), False),
        (record("imagenet-v2"), record("imagenet-c--fog--3", "folder:/f"), False),
    ],
)
def test_data_sets_of_the_same_pictures(first, second, same):
    assert of_one_origin(first, second) is of_one_origin(second, first) is same


def test_imagenets_copies_are_those_that_analyses_know():
    assert ID_NAMES | set(KINDS) == IMAGENET


@pytest.mark.parametrize(
    ("ids", "of", "expected"),
    [
        (["a", "b", "c"], ["c", "b", "a"], [True, False, True]),
        (["fog/n1/a", "fog/n1/b", "frost/n1/a"], ["a", "b", "c"], [True, False, True]),
        (["x/0", "y/0"], ["a/0", "b/0"], [False, False]),  # last parts tell nothing
        (["a", "z/c"], ["a", "b", "c"], [True, False]),
    ],
)
def test_copies_have_the_same_ids_or_last_parts(ids, of, expected):
    rows = pl.Series([i for i, name in enumerate(of) if name != "b"])
    if of == ["a/0", "b/0"]:
        rows = pl.Series([0])
    assert copies(pl.Series(ids), pl.Series(of), rows).tolist() == expected


def add_copy(
    store: Store, name: str, source: str, ids: Sequence[str] | None = None
) -> DatasetRecord:
    """Put the pictures of `data`, with other bytes, into the store."""
    base, samples = store.dataset("data"), store.samples("data")
    ids = samples["sample_id"].to_list() if ids is None else ids
    digests = [sha256((name + i).encode()).hexdigest()[:32] for i in ids]
    columns = {"sample_id": ids, "path": ids, "label": samples["label"], "digest": digests}
    there = table(schema.SAMPLES, columns)
    added = DatasetRecord(name, source, name, base.class_ids, base.class_names, len(ids),
                          fingerprint(there, base.class_ids))  # fmt: skip
    save_dataset(store.files, added, there)
    return added


@pytest.fixture
def fitted(tmp_path: Path) -> Store:
    """A head that rows 2, 5 and 7 of `data` had a say in."""
    store = random_store(tmp_path / "s", n_samples=20)
    base, samples = store.dataset("data"), store.samples("data")
    columns = {"fingerprint": [base.fingerprint] * 3, "row": [2, 5, 7],
               "digest": samples["digest"].gather([2, 5, 7])}  # fmt: skip
    head = Head(base.class_ids, np.eye(5, 8, dtype=np.float32))
    save_head(store, "model", "probe", head, {}, pl.DataFrame(columns, schema=FITTED))
    return store


@pytest.mark.parametrize(
    ("name", "source", "seen"),
    [
        ("data--fog--1", "folder:elsewhere", [2, 5, 7]),
        ("mine", "corrupt:fog:1:{source}", [2, 5, 7]),
        ("mine", "folder:elsewhere", []),
    ],
)
def test_corrupted_copies_never_judge_the_head(fitted, name, source, seen):
    base = fitted.dataset("data")
    added = add_copy(fitted, name, source.format(source=base.source))
    samples = fitted.samples(name)
    own = judgements(base.class_ids, added, samples)
    (judged,) = fair_judgements(fitted, "model", "probe", name, own)
    assert judged.space.name == ("all--held-out" if seen else "all")
    assert np.flatnonzero(judged.labels.classes < 0).tolist() == seen


def test_clean_pictures_never_judge_a_head_that_saw_them_corrupted(fitted):
    added = add_copy(fitted, "data--fog--1", "folder:elsewhere")
    rows = {"fingerprint": [added.fingerprint], "row": [4], "digest": [""]}
    had_a_say = pl.DataFrame(rows, schema=FITTED)
    seen = seen_samples(fitted, had_a_say, fitted.dataset("data"), fitted.samples("data"))
    assert np.flatnonzero(seen).tolist() == [4]
