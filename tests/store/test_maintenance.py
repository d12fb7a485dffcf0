"""Removing and copying."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore import Store, schema
from embedstore.errors import DamagedError, IdentityError, StoreError, UnknownNameError
from embedstore.heads.applying import apply_head
from embedstore.heads.stored import load_head, save_head
from embedstore.store.contents import TextsRecord, save_texts
from embedstore.store.maintenance import Selection, copy, removable, remove
from embedstore.store.tables import table
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path) -> Store:
    return random_store(tmp_path / "s", models=("a", "b"), datasets=("d", "e"))


def test_removing_a_model(store):
    remove(store, Selection(model="a"))
    assert store.models == ["b"]
    assert verify(store.files) == []


def test_removing_a_data_set_takes_every_run_over_it(store):
    remove(store, Selection(dataset="d"))
    assert store.datasets == ["e"]
    assert {r.dataset for r in store.outcome_runs()} == {"e"}
    assert verify(store.files) == []


def test_removing_one_run(store):
    remove(store, Selection("a", "d"))
    assert store.datasets == ["d", "e"]
    assert {(r.model, r.dataset) for r in store.outcome_runs()} == {
        ("a", "e"),
        ("b", "d"),
        ("b", "e"),
    }
    assert verify(store.files) == []


def test_what_is_not_there_cannot_be_removed(store):
    with pytest.raises(UnknownNameError, match="unknown model 'x'; choose one of: a, b"):
        remove(store, Selection(model="x"))
    with pytest.raises(UnknownNameError, match="unknown data set 'x'"):
        remove(store, Selection(dataset="x"))
    with pytest.raises(StoreError, match="nothing is chosen"):
        removable(store, Selection())


def test_a_copy_is_whole_and_equal(store, tmp_path):
    target = Store.open(tmp_path / "t", create=True)
    assert copy(store, target, models="a") > 0
    assert verify(target.files) == []
    assert (target.models, target.datasets) == (["a"], ["d", "e"])
    np.testing.assert_array_equal(
        np.asarray(target.embeddings("a", "e")), np.asarray(store.embeddings("a", "e"))
    )
    assert copy(store, target, models="a") == 0  # the same again copies nothing
    assert target.outcomes().collect().equals(store.outcomes("a").collect())


def test_a_copy_refuses_damage_and_other_content(store, tmp_path):
    target = random_store(tmp_path / "t", models=("a",), datasets=("d",), seed=1)
    with pytest.raises(IdentityError, match="has another datasets/d"):
        copy(store, target, datasets="d")
    path = store.files.path("models/b/images/e/embeddings/c/0/0")
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(DamagedError, match="embeddings/c/0/0 is damaged"):
        copy(store, Store.open(tmp_path / "u", create=True))
    with pytest.raises(UnknownNameError):
        copy(store, target, models="none", datasets="none")


def test_nothing_is_copied_under_another_models_identity(store, tmp_path):
    from dataclasses import replace

    from embedstore.store.contents import save_model

    target = Store.open(tmp_path / "t", create=True)
    other = replace(store.model("a"), identity={**store.model("a").identity, "weights": "0" * 64})
    save_model(target.files, other)
    with pytest.raises(IdentityError, match="another weights"):
        copy(store, target, models="a")
    assert target.datasets == []


def add_prompts(store) -> TextsRecord:
    """Prompts over the classes of `d`, and model `a`'s head of that name."""
    prompts = TextsRecord("photo--d", "prompts", ("a {}",), "d", ("x",), ("x",))
    columns = {"text": ["a x"], "class_index": [0], "template_index": [0]}
    save_texts(store.files, prompts, table(schema.TEXTS, columns))
    save_head(store, "a", "photo--d", load_head(store, "a", "own"))
    return prompts


def test_prompts_over_a_data_sets_classes_stay_while_another_one_uses_their_head(store):
    prompts = add_prompts(store)
    for dataset in ("d", "e"):
        apply_head(store, "a", dataset, "photo--d")
    remove(store, Selection(dataset="d"))
    assert "photo--d" in store.heads("a")
    assert store.texts("photo--d")[0] == prompts
    remove(store, Selection("a", "e"))
    assert verify(store.files) == []


def test_prompts_that_no_other_data_set_uses_go_with_theirs(store):
    add_prompts(store)
    apply_head(store, "a", "d", "photo--d")
    remove(store, Selection(dataset="d"))
    assert store.heads("a") == ["own"]
    assert verify(store.files) == []
