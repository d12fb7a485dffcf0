"""Heads of others: weights that stored embeddings go through."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embedstore import Store
from embedstore.errors import EmbedStoreError, IdentityError, NonFiniteError
from embedstore.heads.applying import apply_head
from embedstore.heads.stored import load_head
from embedstore.importers.arrays import open_arrays
from embedstore.importers.embeddings import import_embeddings, read_embeddings
from embedstore.importers.heads import Parts, import_head
from embedstore.importers.models import imported_model
from embedstore.prompts import ClassList
from embedstore.testing.stores import random_store

CLASSES = ClassList("", *[tuple(f"class-{i}" for i in range(5))] * 2)
W = np.random.default_rng(3).normal(size=(5, 8)).astype(np.float32)
B = np.arange(5, dtype=np.float32)


@pytest.fixture
def store(tmp_path) -> Store:
    """A model of eight numbers on a data set of five classes."""
    return random_store(tmp_path / "s", failed=(3,))


def bring(store, path, *, classes=CLASSES, model="model", name="coop", **parts):
    return import_head(store, open_arrays(path), model, name, parts=Parts(**parts), classes=classes)


@pytest.mark.parametrize("normalize", [True, False])
def test_logits_are_those_of_the_formula(store, tmp_path, normalize):
    """scale * f(x) @ W.T + b, written out, within the store's float16."""
    np.savez(tmp_path / "h.npz", w=W, b=B)
    bring(store, tmp_path / "h.npz", weights="w", bias="b", scale=3.0, normalize=normalize)
    apply_head(store, "model", "data", "coop")
    x = np.asarray(store.embeddings("model", "data")).astype(np.float64)
    if normalize:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    expected = 3 * x @ W.T.astype(np.float64) + B
    found = np.asarray(store.logits("model", "data", "coop"))
    np.testing.assert_allclose(found, expected, atol=0.05 if not normalize else 0.01)
    predictions = store.outcomes("model", heads="coop").collect()["prediction"].to_list()
    best = [None if np.isnan(row[0]) else int(row.argmax()) for row in expected]
    assert predictions == best


def test_what_the_file_says_need_not_be_said(store, tmp_path):
    np.savez(
        tmp_path / "h.npz", weights=W, bias=B, scale=2.5, normalize=True,
        class_ids=np.array(CLASSES.ids),
    )  # fmt: skip
    bring(store, tmp_path / "h.npz", classes=None)
    head = load_head(store, "model", "coop")
    np.testing.assert_array_equal(head.weights, W)
    np.testing.assert_array_equal(head.bias, B)
    assert (head.scale, head.normalize, head.class_ids) == (2.5, True, CLASSES.ids)


def test_safetensors_say_it_in_their_texts(store, tmp_path):
    save = pytest.importorskip("safetensors.numpy").save_file
    texts = {"scale": "2.5", "normalize": "false", "class_ids": json.dumps(CLASSES.ids)}
    save({"classifier.weight": W.astype(np.float64)}, tmp_path / "h.safetensors", texts)
    bring(store, tmp_path / "h.safetensors", classes=None)
    head = load_head(store, "model", "coop")
    np.testing.assert_array_equal(head.weights, W)
    assert (head.scale, head.normalize, head.bias) == (2.5, False, None)


def test_importing_twice_and_another_under_its_name(store, tmp_path):
    np.savez(tmp_path / "h.npz", weights=W)
    assert not bring(store, tmp_path / "h.npz", normalize=True).already
    assert bring(store, tmp_path / "h.npz", normalize=True).already
    for other in ({"normalize": False}, {"normalize": True, "scale": 2.0}):
        with pytest.raises(IdentityError, match="another head named 'coop'.*--name NAME"):
            bring(store, tmp_path / "h.npz", **other)
    np.savez(tmp_path / "h.npz", weights=W + 1)
    with pytest.raises(IdentityError, match="another head named 'coop'"):
        bring(store, tmp_path / "h.npz", normalize=True)


def test_another_array_of_the_same_file_is_another_head(store, tmp_path):
    np.savez(tmp_path / "h.npz", a=W, b=W + 1, bias=B, bias_of_b=B + 1)
    bring(store, tmp_path / "h.npz", weights="a", normalize=True)
    for other in ({"weights": "b"}, {"weights": "a", "bias": "bias_of_b"}):
        with pytest.raises(IdentityError, match="another head named 'coop'"):
            bring(store, tmp_path / "h.npz", normalize=True, **other)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"normalize": "yes"}, "says 'yes' of whether .*--normalize"),
        ({"normalize": "true", "scale": "high"}, "scale of .* is 'high', no number; give it with"),
        (
            {"normalize": "true", "scale": "nan"},
            "scale of .* is nan, .* above 0; give it with --sc",
        ),
        ({"normalize": "true", "scale": "0"}, "scale of .* is 0, .* above 0"),
        ({"normalize": "true", "logit_scale": "?"}, "logit_scale of .* is '.', no number"),
        ({"normalize": "true", "class_ids": "cat, dog"}, "no list of different ids; .*--classes"),
        ({"normalize": "true", "class_ids": "7"}, "no list of different ids"),
        ({"normalize": "true", "class_ids": '["a", "a", "b", "c", "d"]'}, "no list of different"),
    ],
)
def test_texts_that_mean_nothing_are_refused(store, tmp_path, texts, said):
    save = pytest.importorskip("safetensors.numpy").save_file
    save({"weights": W}, tmp_path / "h.safetensors", texts)
    with pytest.raises(EmbedStoreError, match=said):
        bring(store, tmp_path / "h.safetensors", classes=None if "class_ids" in texts else CLASSES)
    assert store.heads("model") == ["own"]


@pytest.mark.parametrize("normalize", ["TRUE", b"true", 1, np.float32(1)])
def test_facts_in_arrays_of_any_kind(store, tmp_path, normalize):
    ids = np.array([i.encode() for i in CLASSES.ids])
    np.savez(tmp_path / "h.npz", weights=W, normalize=normalize, class_ids=ids)
    bring(store, tmp_path / "h.npz", classes=None)
    head = load_head(store, "model", "coop")
    assert (head.normalize, head.class_ids) == (True, CLASSES.ids)


def test_a_model_of_predictions_learns_its_dimension_of_a_head(store, tmp_path):
    """So embeddings of another dimension, which the head could not take, are refused."""
    imported_model(store, "m")
    np.savez(tmp_path / "h.npz", weights=W)
    bring(store, tmp_path / "h.npz", model="m", normalize=True)
    assert store.model("m").embedding_dim == 8
    np.save(tmp_path / "e.npy", np.ones((40, 3), np.float32))
    with pytest.raises(IdentityError, match="has embeddings of 8 numbers .*these are of 3"):
        import_embeddings(
            store, read_embeddings(tmp_path / "e.npy"), "m", "data", order="as-samples"
        )


def test_a_head_may_come_before_its_model(store, tmp_path):
    np.savez(tmp_path / "h.npz", weights=W)
    bring(store, tmp_path / "h.npz", model="new", normalize=True)
    assert store.model("new").embedding_dim == 8


@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"weights": W}, {}, "--normalize .*or --no-normalize"),
        ({"weights": W[:, :6]}, {"normalize": True}, r"shape \(5, 6\).*have 8 numbers"),
        ({"weights": W.T}, {"normalize": True}, "transposed: save weights.T"),
        ({"weights": W[0]}, {"normalize": True}, "a head has .classes, embedding."),
        ({"weights": W.astype(int)}, {"normalize": True}, "holds int64"),
        ({"weights": W[:4]}, {"normalize": True}, "4 classes, and 5 are named.*--classes"),
        ({"weights": W, "bias": B[:4]}, {"normalize": True}, r"bias 'bias' .*shape \(4,\)"),
        ({"weights": W, "logit_scale": np.log(100)}, {"normalize": True}, "--scale 100 if it is"),
        (
            {"a": W, "b": W},
            {"normalize": True},
            "which are the weights with --weights: it has a, b",
        ),
        ({"weights": W}, {"normalize": True, "weights": "w"}, "no array 'w'.*it has weights"),
    ],
)
def test_what_a_head_needs_is_asked_for(store, tmp_path, arrays, options, said):
    np.savez(tmp_path / "h.npz", **arrays)
    with pytest.raises(EmbedStoreError, match=said):
        bring(store, tmp_path / "h.npz", **options)
    assert store.heads("model") == ["own"]


def test_a_weight_that_is_nan_is_named_by_its_row(store, tmp_path):
    weights = W.copy()
    weights[2, 1] = np.nan
    np.savez(tmp_path / "h.npz", weights=weights)
    with pytest.raises(NonFiniteError, match="row 2"):
        bring(store, tmp_path / "h.npz", normalize=True)


def test_classes_that_nobody_names_are_asked_for(store, tmp_path):
    np.savez(tmp_path / "h.npz", weights=W)
    with pytest.raises(EmbedStoreError, match="none are named.*--classes imagenet or"):
        bring(store, tmp_path / "h.npz", classes=None, normalize=True)
