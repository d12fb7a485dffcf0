"""Samples that had a say in a head never judge it, in any space, in any data set."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from embedstore import analysis
from embedstore.heads import Head, fit_head
from embedstore.heads.applying import apply_head
from embedstore.heads.class_means import ClassMean
from embedstore.heads.held_out import hold_out, judgeable
from embedstore.heads.probes import KShot, LinearProbe
from embedstore.heads.splits import fraction_of
from embedstore.heads.stored import load_fitted, save_head
from embedstore.heads.wise_ft import WiseFT
from embedstore.labels import ClassMap, Judgement, Labels, LabelSpace
from embedstore.store import Store
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store

HALF = LinearProbe(dataset="data", fraction=0.5, C=1.0, name="half")
OF_LABEL = ["correct", "label_rank", "nll", "brier"]


@pytest.fixture
def store(tmp_path) -> Store:
    """One model on two data sets of 100 random samples; some pictures are in both."""
    return random_store(tmp_path / "s", datasets=("data", "more"), n_samples=100, failed=(3,))


def outcomes(store, dataset, head):
    return store.outcomes(datasets=dataset, heads=head).collect()


def test_outcomes_on_fitted_rows_have_no_label_and_the_space_says_so(store):
    fit_head(store, "model", HALF)
    run = apply_head(store, "model", "data", "half")
    assert [j.space.name for j in run.judgements] == ["all--held-out"]
    table = outcomes(store, "data", "half")
    half = set(fraction_of(store.samples("data")["sample_id"].to_list(), 0.5, 0)) - {3}
    assert 30 < len(half) < 70
    for row, values in enumerate(table.iter_rows(named=True)):
        nothing = [values[name] is None for name in OF_LABEL]
        assert nothing == [row in half or row == 3] * 4, row
        assert (values["prediction"] is None) == (row == 3)
    (accuracy,) = analysis.run("accuracy", store, datasets="data", heads="half").to_dicts()
    assert accuracy["n_samples"] == 100 - 1 - len(half)
    assert accuracy["space"] == "all--held-out"
    assert verify(store.files) == []


def test_a_picture_is_known_by_its_bytes_in_other_data_sets(store):
    fit_head(store, "model", HALF)
    apply_head(store, "model", "more", "half")
    data, more = store.samples("data"), store.samples("more")
    fitted = load_fitted(store, "model", "half")
    seen = set(data["digest"].gather(fitted["row"])) & set(more["digest"])
    assert seen, "the planted overlap"
    table = outcomes(store, "more", "half")
    expected = [d in seen or i == 3 for i, d in enumerate(more["digest"])]
    assert table["correct"].is_null().to_list() == expected


def test_validation_samples_had_a_say(store):
    recipe = KShot(dataset="data", shots=2, name="few")
    fit_head(store, "model", recipe)
    fitted = load_fitted(store, "model", "few")
    labels = store.samples("data")["label"].to_numpy()[fitted["row"]]
    np.testing.assert_array_equal(np.bincount(labels), [4] * 5)  # two to fit, two to validate


def test_heads_between_heads_have_seen_what_either_saw(store):
    fit_head(store, "model", HALF)
    fit_head(store, "model", ClassMean(dataset="more", fraction=0.3, metric="euclidean", name="m"))
    fit_head(store, "model", WiseFT(start="half", end="m", name="between"))
    parts = [load_fitted(store, "model", name) for name in ("half", "m")]
    found = load_fitted(store, "model", "between")
    assert set(found.rows()) == set(pl.concat(parts).rows())
    assert found["fingerprint"].n_unique() == 2


def test_every_space_leaves_them_out(store):
    fit_head(store, "model", HALF)
    few = ClassMap("few", {"class-3": ("class-3",), "class-1": ("class-1",)})
    run = apply_head(store, "model", "data", "half", [few])
    assert [j.space.name for j in run.judgements] == ["all--held-out", "few--held-out"]
    table = store.outcomes(datasets="data", heads="half", space="few--held-out").collect()
    fitted = load_fitted(store, "model", "half")["row"].to_numpy()
    labels = store.samples("data")["label"].to_numpy()
    judged = np.isin(labels, [1, 3]) & ~np.isin(np.arange(100), [*fitted, 3])
    np.testing.assert_array_equal(table["correct"].is_not_null(), judged)


def test_several_right_classes_are_dropped_row_by_row():
    labels = Labels(np.array([0, 1, 2, 0, 1]), np.array([0, 2, 2, 3, 5]))
    judged = Judgement(LabelSpace("real", tuple("abc"), None), labels)
    found = hold_out(judged, np.array([False, True, True, False]))
    assert found.space.name == "real--held-out"
    np.testing.assert_array_equal(found.labels.classes, [0, 1, 0, 1])
    np.testing.assert_array_equal(found.labels.offsets, [0, 2, 2, 2, 4])


def test_a_head_of_some_classes_is_judged_on_those(store):
    x = np.asarray(store.embeddings("model", "data"), np.float32)
    labels = store.samples("data")["label"].to_numpy()
    head = Head(("class-4", "class-1"), np.eye(2, 8, dtype=np.float32))
    save_head(store, "model", "two", head, {}, load_fitted_like(store, rows=[0, 1]))
    run = apply_head(store, "model", "data", "two")
    assert [j.space.name for j in run.judgements] == ["known--held-out"]
    table = outcomes(store, "data", "two")
    judged = np.isin(labels, [1, 4]) & ~np.isin(np.arange(100), [0, 1, 3])
    np.testing.assert_array_equal(table["correct"].is_not_null(), judged)
    right = np.where(x[:, 1] >= x[:, 0], 1, 4) == labels  # the space counts as the data set does
    np.testing.assert_array_equal(table["correct"].fill_null(value=False), right & judged)


def load_fitted_like(store, rows):
    record = store.dataset("data")
    columns = {"fingerprint": [record.fingerprint] * len(rows), "row": rows, "digest": [""] * 2}
    return pl.DataFrame(columns)


def test_other_heads_are_judged_as_before(store):
    before = outcomes(store, "data", "own")
    (run,) = [r for r in store.outcome_runs(datasets="data") if r.head == "own"]
    apply_head(store, "model", "data", "own")
    assert run.space == "all"
    assert outcomes(store, "data", "own").equals(before)


def test_what_can_judge_a_head(store):
    fit_head(store, "model", HALF)
    fit_head(store, "model", ClassMean(dataset="data", name="all-of-it"))
    assert judgeable(store, "model", "half") == ["data", "more"]
    assert judgeable(store, "model", "all-of-it") == ["more"]
    save_head(store, "model", "foreign", Head(("x", "y"), np.eye(2, 8, dtype=np.float32)))
    assert judgeable(store, "model", "foreign") == []
