"""Applying heads without a model: further label spaces, from embeddings and from logits alone."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from embedstore.errors import DatasetError, IdentityError, NonFiniteError, UnknownNameError
from embedstore.heads.applying import apply_head
from embedstore.heads.head import Head
from embedstore.heads.held_out import judgeable
from embedstore.heads.run import HeadRun
from embedstore.heads.stored import load_head, save_head
from embedstore.kernels.outcomes import outcomes
from embedstore.labels import ClassMap, judgement, judgements
from embedstore.store import Store, layout
from embedstore.store.runs import BlockRun
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store

FEW = ClassMap("few", {"class-3": ("class-3",), "class-1": ("class-1",)}, source="a test")
PAIRS = ClassMap("pairs", {"x": ("class-0", "class-4"), "y": ("class-1", "class-2")}, rule="mean")


@pytest.fixture
def store(tmp_path) -> Store:
    return random_store(tmp_path / "s", failed=(7,))


def table(store, space):
    return store.outcomes(space=space).collect()


def test_a_further_space_is_judged_from_the_stored_embeddings(store):
    before = table(store, "all")
    apply_head(store, "model", "data", "own", [FEW, PAIRS])
    head = load_head(store, "model", "own")
    logits = head.logits(np.asarray(store.embeddings("model", "data")))[:, [3, 1]]
    labels = store.samples("data")["label"].to_numpy()
    y = np.select([labels == 3, labels == 1], [0, 1], -1)
    expected = outcomes(np.ascontiguousarray(logits), y, failed=np.isnan(logits[:, 0]))
    found = table(store, "few")
    np.testing.assert_array_equal(found["prediction"].fill_null(0), expected.prediction)
    np.testing.assert_allclose(
        found["nll"].to_numpy(), np.where(expected.labelled, expected.nll, np.nan), rtol=1e-6
    )
    assert found["prediction"].null_count() == 1
    runs = store.outcome_runs()
    assert [run.space for run in runs] == ["all", "few", "pairs"]
    assert store.space(runs[1])["class_ids"] == ["class-3", "class-1"]
    assert store.space(runs[2])["rule"] == "mean"
    assert table(store, "all").equals(before)
    assert verify(store.files) == []


def test_a_new_head_gets_logits_and_outcomes(store):
    weights = np.eye(5, 8, dtype=np.float32)
    head = Head(tuple(f"class-{i}" for i in range(5)), weights, normalize=True, scale=9.0)
    save_head(store, "model", "mine", head)
    apply_head(store, "model", "data", "mine")
    stored = np.asarray(store.logits("model", "data", "mine"))
    live = head.logits(np.asarray(store.embeddings("model", "data")))
    np.testing.assert_allclose(stored, live, atol=0.01)
    assert store.outcomes(heads="mine").collect().height == 40


def test_without_embeddings_the_stored_logits_serve(store):
    apply_head(store, "model", "data", "own", [FEW])
    exact = table(store, "few")
    shutil.rmtree(store.files.path("models/model/outcomes/data/own/few"))
    shutil.rmtree(store.files.path("models/model/images"))
    again = Store.open(store.files.root)
    apply_head(again, "model", "data", "own", [FEW])
    found = table(again, "few")
    assert found["prediction"].equals(exact["prediction"])
    np.testing.assert_allclose(found["nll"].to_numpy(), exact["nll"].to_numpy(), atol=5e-3)


def test_what_cannot_be_is_said(store):
    with pytest.raises(UnknownNameError, match="unknown head of model 'model' 'none'"):
        apply_head(store, "model", "data", "none")
    apply_head(store, "model", "data", "own", [FEW])
    with pytest.raises(IdentityError, match="another label space of that name"):
        apply_head(store, "model", "data", "own", [ClassMap("few", {"class-2": ("class-2",)})])
    with pytest.raises(DatasetError, match="lacks members of class 'z'"):
        apply_head(store, "model", "data", "own", [ClassMap("s", {"z": ("q",)})])
    save_head(store, "model", "native", Head(("a", "b"), None))
    with pytest.raises(UnknownNameError, match="unknown head of 'model' on 'data' 'native'"):
        apply_head(store, "model", "data", "native")


def begun(store, name, *spaces) -> tuple[HeadRun, BlockRun]:
    """A head's run of which no block is there yet."""
    images = BlockRun.planned(store.files, layout.images("model", "data"))
    head = load_head(store, "model", name)
    record, samples = store.dataset("data"), store.samples("data")
    judged = judgements(head.class_ids, record, samples)
    judged += [judgement(space, head.class_ids, record, samples) for space in spaces]
    return HeadRun.start(store, images, ("model", "data", name), head, judged), images


def test_a_space_defined_anew_after_a_kill_takes_over_no_block(store):
    save_head(store, "model", "mine", load_head(store, "model", "own"))
    run, images = begun(store, "mine", FEW)
    run.commit(0, images.read(0, "embeddings"))  # and killed here
    other = ClassMap("few", {"class-2": ("class-2",), "class-4": ("class-4", "class-0")})
    apply_head(store, "model", "data", "mine", [other])
    apply_head(store, "model", "data", "own", [other])
    of_mine, of_own = (
        store.outcomes(space="few", heads=name).drop("head").collect() for name in ("mine", "own")
    )
    assert of_mine.equals(of_own)


def test_a_native_heads_nan_is_refused_in_classes_of_no_space_too(store):
    save_head(store, "model", "native", Head((*(f"class-{i}" for i in range(5)), "z"), None))
    run, images = begun(store, "native")
    native = np.ones((16, 6), np.float32)
    native[3, 5] = np.nan
    with pytest.raises(NonFiniteError, match="logits of row 19 hold NaN"):
        run.commit(1, images.read(1, "embeddings"), native)
    assert run.run.missing() == [0, 1, 2]


def test_a_head_can_be_judged_where_there_are_logits_alone(store):
    save_head(store, "model", "native", Head(load_head(store, "model", "own").class_ids, None))
    assert judgeable(store, "model", "native") == []
    shutil.rmtree(store.files.path("models/model/images"))
    assert judgeable(Store.open(store.files.root), "model", "own") == ["data"]
