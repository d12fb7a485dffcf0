"""What both stores hold, what one alone does, and stores that cannot be compared."""

from __future__ import annotations

import pytest

from embedstore import Store
from embedstore.differences.comparing import diff
from embedstore.errors import EmbedStoreError, StoreError, UnknownNameError
from embedstore.store.maintenance import Selection, copy, remove
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path) -> Store:
    """Two models on two data sets of 40 samples, of which two failed."""
    return random_store(tmp_path / "s", models=("a", "b"), datasets=("d", "e"), failed=(3, 20))


@pytest.fixture
def copied(store, tmp_path) -> Store:
    target = Store.open(tmp_path / "t", create=True)
    copy(store, target)
    return target


def rows(found) -> list[tuple[str, str, str]]:
    return found.select("kind", "where", "what").rows()


def test_a_copy_does_not_differ_and_nothing_but_manifests_is_read(store, copied, monkeypatch):
    monkeypatch.setattr(Store, "outcomes", None)
    monkeypatch.setattr(Store, "samples", None)
    assert diff(store, copied).is_empty()


def test_a_missing_model_is_named_and_nothing_that_hangs_on_it(store, copied):
    remove(copied, Selection(model="b"))
    assert rows(diff(store, copied)) == [("only in A", "b", "model")]
    assert rows(diff(copied, store)) == [("only in B", "b", "model")]


def test_a_missing_data_set_is_named_and_nothing_that_hangs_on_it(store, copied):
    remove(copied, Selection(dataset="e"))
    found = diff(store, copied, analyses=["calibration?id_dataset=d"])
    assert rows(found) == [("only in A", "e", "data set")]


def test_a_missing_run_is_named_once(store, copied):
    remove(copied, Selection("b", "e"))
    assert rows(diff(store, copied)) == [("only in A", "b / e", "run")]


@pytest.mark.parametrize(
    ("folder", "where", "what"),
    [
        ("models/a/heads/own", "a / own", "head"),
        ("models/a/images/d", "a / d", "embeddings"),
        ("models/a/logits/d/own", "a / d / own", "logits"),
        ("models/a/outcomes/d/own/all", "a / d / own / all", "outcomes"),
    ],
)
def test_a_missing_part_of_a_run(store, copied, folder, where, what):
    copied.files.delete_folder(folder)
    assert rows(diff(store, copied)) == [("only in A", where, what)]


def test_globs_choose_what_is_compared(store, copied):
    remove(copied, Selection(model="b"))
    assert diff(store, copied, models="a").is_empty()
    with pytest.raises(
        UnknownNameError, match="unknown model of both stores 'b'; choose one of: a$"
    ):
        diff(store, copied, models="b")
    with pytest.raises(UnknownNameError, match="data set of both stores 'x'.*one of: d, e$"):
        diff(store, copied, datasets="x")


def test_one_store_under_two_paths_is_refused(store, tmp_path):
    (tmp_path / "link").symlink_to(store.files.root)
    with pytest.raises(EmbedStoreError, match="are one store; name two different ones"):
        diff(store, Store.open(tmp_path / "link"))


def test_stores_that_share_nothing_are_told_what_each_has(store, tmp_path):
    other = random_store(tmp_path / "o", models=("c",), datasets=("f", "g"))
    with pytest.raises(EmbedStoreError) as error:
        diff(store, other)
    assert str(error.value) == (
        f"the stores have nothing in common: {store.files.root} has models a, b and data sets "
        f"d, e; {other.files.root} has models c and data sets f, g; name stores that share a "
        "model or a data set"
    )


def test_a_shared_data_set_suffices(store, tmp_path):
    other = random_store(tmp_path / "o", models=("c",), datasets=("d",))
    found = diff(store, other)
    assert {row[0] for row in rows(found)} == {"only in A", "only in B"}
    assert [row[1] for row in rows(found) if row[2] == "model"] == ["a", "b", "c"]


def test_a_damaged_table_names_its_store(store, tmp_path):
    other = random_store(
        tmp_path / "o", models=("a", "b"), datasets=("d", "e"), failed=(3, 20), seed=1
    )
    key = "models/b/outcomes/d/own/all/table.parquet"
    data = bytearray(other.files.read(key))
    data[9] ^= 1
    other.files.path(key).write_bytes(bytes(data))
    with pytest.raises(StoreError) as error:
        diff(store, other)
    assert str(error.value) == (
        f"in {other.files.root}: {key} is damaged or missing; mend it with: embedstore verify "
        "--repair, then encode again"
    )
