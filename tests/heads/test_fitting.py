"""Heads made in a store: what is fitted on, what is recorded, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.errors import (
    DatasetError,
    EmbedStoreError,
    IdentityError,
    NonFiniteError,
    UnknownNameError,
)
from embedstore.heads import Head, fit_class_means, fit_head, fit_linear_probe
from embedstore.heads.catalogue import heads_table, remove_head
from embedstore.heads.class_means import ClassMean
from embedstore.heads.fitting import RECIPES, is_made
from embedstore.heads.probes import KShot, LinearProbe
from embedstore.heads.stored import head_record, load_head, save_head
from embedstore.heads.tip_adapter import TipAdapter
from embedstore.heads.training import training
from embedstore.heads.wise_ft import WiseFT
from embedstore.store import Store
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path) -> Store:
    """40 samples in three shards, two of which failed; the zero-shot head is called `own`."""
    return random_store(tmp_path / "s", failed=(3, 20))


def arrays(store: Store):
    """(38, 8) embeddings and (38,) labels of all but the failed pictures."""
    x = np.asarray(store.embeddings("model", "data"), np.float32)
    y = store.samples("data")["label"].to_numpy()
    good = ~np.isnan(x[:, 0])
    assert good.sum() == 38
    return x[good], y[good]


CLASSES = tuple(f"class-{i}" for i in range(5))


def test_a_probe_of_the_store_is_that_of_its_arrays(store):
    report = fit_head(store, "model", LinearProbe(dataset="data", C=0.5, normalize=True))
    assert (report.head, report.already) == ("linear-probe--data", False)
    found = load_head(store, "model", report.head)
    expected = fit_linear_probe(*arrays(store), CLASSES, C=0.5, normalize=True)
    np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(found.bias, expected.bias)
    assert found.normalize
    assert found.class_ids == CLASSES


def test_class_means_of_the_store_are_those_of_its_arrays(store):
    fit_head(store, "model", ClassMean(dataset="data", metric="euclidean"))
    found = load_head(store, "model", "class-mean--data")
    expected = fit_class_means(*arrays(store), CLASSES, metric="euclidean")
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-6)
    np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-6)


def test_a_tip_adapter_of_the_store_adds_its_shots_to_the_head_below(store):
    recipe = TipAdapter(dataset="data", shots=3, base="own", alpha=2.0, beta=5.0)
    fit_head(store, "model", recipe)
    found, below = (load_head(store, "model", h) for h in ("tip-adapter-3--data", "own"))
    samples = training(store, "model", "data")
    chosen = recipe.split(samples).fit
    x = np.asarray(store.embeddings("model", "data"), np.float32)[[0, 1, 2]]
    keys, labels = samples.matrix(chosen), samples.labels[chosen]
    f, k = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, keys))
    added = 2 * np.exp(-5 * (1 - f @ k.T)) @ np.eye(5)[labels]
    np.testing.assert_allclose(found.logits(x), below.logits(x) + added, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(np.bincount(labels), [3] * 5)


def test_a_searched_tip_adapter_records_what_it_chose(store):
    fit_head(store, "model", TipAdapter(dataset="data", shots=2, base="own"))
    facts = head_record(store, "model", "tip-adapter-2--data")["origin"]["facts"]
    found = load_head(store, "model", "tip-adapter-2--data").cache
    assert (found.alpha, found.beta) == (facts["alpha"], facts["beta"])
    spare = np.bincount(arrays(store)[1]) - 2
    assert facts["n_validation"] == np.minimum(spare, 2).sum()
    assert 0 <= facts["validation_accuracy"] <= 1


def test_the_origin_says_how_a_head_came_about(store):
    fit_head(store, "model", LinearProbe(dataset="data", fraction=0.8, seed=7))
    origin = head_record(store, "model", "linear-probe--data")["origin"]
    assert origin["kind"] == "linear-probe"
    assert origin["settings"] == {
        "dataset": "data", "fraction": 0.8, "seed": 7, "C": None, "normalize": False,
        "max_iter": 1000,
    }  # fmt: skip
    assert origin["inputs"]["fingerprint"] == store.dataset("data").fingerprint
    facts = origin["facts"]
    assert facts["n_fit"] + facts["n_validation"] < 38
    assert facts["C"] > 0
    assert facts["converged"] is True
    assert set(facts) >= {"validation_accuracy", "n_iter", "scikit-learn"}


def test_again_is_already_there_and_other_settings_are_refused(store):
    recipe = LinearProbe(dataset="data", C=1.0)
    assert not is_made(store, "model", recipe)
    fit_head(store, "model", recipe)
    written = store.files.path("models/model/heads/linear-probe--data/head.json").stat()
    assert fit_head(store, "model", recipe).already
    again = store.files.path("models/model/heads/linear-probe--data/head.json").stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    message = r"made with another C \(1.0, now 2.0\); give this one another name, --name NAME, or "
    with pytest.raises(IdentityError, match=message):
        fit_head(store, "model", LinearProbe(dataset="data", C=2.0))
    other = LinearProbe(dataset="data", C=2.0, name="strong")
    assert fit_head(store, "model", other).head == "strong"
    with pytest.raises(IdentityError, match="another kind"):
        fit_head(store, "model", ClassMean(dataset="data", name="strong"))


@pytest.mark.parametrize("kind", RECIPES)
def test_every_kind_is_made_of_equal_settings_alike(store, tmp_path, kind):
    settings = {"start": "own", "end": "own"} if kind == "wise-ft" else {"dataset": "data"}
    settings |= {"shots": 2} if kind in ("k-shot", "tip-adapter") else {}
    settings |= {"base": "own"} if kind == "tip-adapter" else {}
    recipe = RECIPES[kind](**settings)
    name = fit_head(store, "model", recipe).head
    twin = random_store(tmp_path / "twin", failed=(3, 20))
    fit_head(twin, "model", RECIPES[kind](**settings))
    x = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float16)
    heads = [load_head(s, "model", name) for s in (store, twin)]
    np.testing.assert_array_equal(heads[0].logits(x), heads[1].logits(x))
    made, expected = recipe.effort(store, "model"), head_record(store, "model", name)
    assert made.n_classes == len(expected["class_ids"])
    if kind != "wise-ft":
        facts = expected["origin"]["facts"]
        assert (made.n_fit, made.n_validation) == (facts["n_fit"], facts["n_validation"])
        assert made.n_held_out == 38 - made.n_fit - made.n_validation
        assert made.n_bytes >= 4 * 8 * 5
    assert verify(store.files) == []


def test_classes_without_a_sample_are_said(store):
    heard: list[str] = []
    fit_head(store, "model", ClassMean(dataset="data", fraction=0.15), heard.append)
    known = load_head(store, "model", "class-mean--data").class_ids
    assert 2 <= len(known) < 5
    assert heard == [
        f"{5 - len(known)} of 5 classes of data have no sample to fit on: the head is fitted on "
        "the others alone"
    ]


@pytest.mark.parametrize(
    ("recipe", "error", "message"),
    [
        (LinearProbe(dataset="none"), UnknownNameError, "unknown data set 'none'"),
        (KShot(dataset="data", shots=30), DatasetError, "5 of 5 classes have fewer than 30"),
        (TipAdapter(dataset="data", shots=2), EmbedStoreError, "no zero-shot head.*--base HEAD"),
        (TipAdapter(dataset="data", base="x"), UnknownNameError, "unknown head.*'x'"),
        (TipAdapter(dataset="data", shots=2, base="native"), EmbedStoreError, "is native or has"),
        (TipAdapter(dataset="data", base="few"), EmbedStoreError, "lacks classes of data set"),
        (WiseFT(start="own", end="native"), EmbedStoreError, "--to is native"),
        (WiseFT(start="own", end="few"), EmbedStoreError, "differ in 5 classes"),
        (ClassMean(dataset="data", name="a/b"), EmbedStoreError, "holds a slash"),
        (LinearProbe(dataset="data", fraction=0.001), DatasetError, "holds no sample"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_leaves_nothing(store, recipe, error, message):
    save_head(store, "model", "native", Head(CLASSES, None))
    save_head(store, "model", "few", Head(("class-0", "z"), np.eye(2, 8)))
    before = store.heads("model")
    with pytest.raises(error, match=message) as said:
        fit_head(store, "model", recipe)
    assert "\n" not in str(said.value)
    assert store.heads("model") == before


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (LinearProbe, {"fraction": 0.0}, r"--fraction 0.0 is not in \(0, 1\]"),
        (ClassMean, {"metric": "manhattan"}, "unknown metric 'manhattan'"),
        (ClassMean, {"scale": 0.0}, "--scale 0.0 is not positive"),
    ],
)
def test_senseless_settings_are_refused_at_once(kind, settings, message):
    with pytest.raises(EmbedStoreError, match=message):
        kind(dataset="data", **settings)


def test_several_zero_shot_heads_ask_which(store):
    for name in ("photo--pets", "name--pets"):
        weights = np.ones((5, 8), np.float32)
        save_head(store, "model", name, Head(CLASSES, weights), {"kind": "zero-shot"})
    recipe = TipAdapter(dataset="data", shots=2)
    with pytest.raises(EmbedStoreError, match="name--pets, photo--pets; choose one: --base HEAD"):
        recipe.base_head(store, "model")
    # The one over the data set's own list of names goes before those over other lists.
    weights = np.ones((5, 8), np.float32)
    save_head(store, "model", "photo--data", Head(CLASSES, weights), {"kind": "zero-shot"})
    assert recipe.base_head(store, "model") == "photo--data"


def test_the_catalogue_and_removal(store):
    fit_head(store, "model", LinearProbe(dataset="data", fraction=0.5, C=0.25))
    from embedstore.heads.applying import apply_head

    apply_head(store, "model", "data", "linear-probe--data")
    row, own = heads_table(store).to_dicts()
    assert (row["head"], row["kind"], row["trained_on"]) == (
        "linear-probe--data", "linear-probe", "data",
    )  # fmt: skip
    assert (row["settings"], row["applied_to"]) == ("C 0.25, fraction 0.5", 1)
    assert (own["head"], own["kind"], own["n_fit"], own["applied_to"]) == ("own", None, None, 1)
    removed = remove_head(store, "model", "linear-probe--data")
    assert len(removed) == 3
    assert store.heads("model") == ["own"]
    assert [run.head for run in store.outcome_runs()] == ["own"]
    assert verify(store.files) == []
    fit_head(store, "model", LinearProbe(dataset="data", fraction=0.5, C=4.0))
    apply_head(store, "model", "data", "linear-probe--data")
    with pytest.raises(UnknownNameError, match="unknown head"):
        remove_head(store, "model", "none")


def test_an_infinite_embedding_is_an_error_that_names_its_row(store, monkeypatch):
    samples = training(store, "model", "data")
    shard = np.array(samples.embeddings.shard(1))  # rows 16 to 31
    shard[5, 2] = np.inf
    monkeypatch.setitem(samples.embeddings._shards, 1, shard)
    with pytest.raises(NonFiniteError, match="row 21 of 'data' holds NaN or infinity; encode"):
        samples.matrix(np.arange(len(samples)))


def test_a_head_between_heads_of_any_names_is_told_from_its_reverse(store):
    for seed, name in enumerate(("start", "end")):
        weights = np.random.default_rng(seed).normal(size=(5, 8)).astype(np.float32)
        save_head(store, "model", name, Head(CLASSES, weights))
    fit_head(store, "model", WiseFT(start="start", end="end", alpha=0.25, name="mid"))
    with pytest.raises(IdentityError, match="'mid' made with another end"):
        is_made(store, "model", WiseFT(start="end", end="start", alpha=0.25, name="mid"))
