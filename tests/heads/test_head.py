"""Heads: logits, zero-shot weights, and how a store keeps them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from embedstore import Store
from embedstore.errors import EmbedStoreError, IdentityError, UnknownNameError
from embedstore.heads import Head, unit, zero_shot_weights
from embedstore.heads.stored import head_record, load_fitted, load_head, save_head
from embedstore.heads.tip_adapter import build_cache
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store

RANDOM = np.random.default_rng(0)


def test_logits_are_scale_times_cosine_plus_bias():
    weights = unit(RANDOM.normal(size=(3, 4)).astype(np.float32))
    head = Head(("a", "b", "c"), weights, np.float32([1, 2, 3]), scale=10.0, normalize=True)
    x = RANDOM.normal(size=(5, 4)).astype(np.float16)
    x64, w64 = x.astype(np.float64), weights.astype(np.float64)
    expected = 10 * (x64 / np.linalg.norm(x64, axis=1, keepdims=True)) @ w64.T + [1, 2, 3]
    np.testing.assert_allclose(head.logits(x), expected, rtol=1e-5, atol=1e-5)


def test_zero_shot_weights_are_the_normalised_mean_of_normalised_texts():
    texts = RANDOM.normal(size=(6, 4)).astype(np.float32)
    weights = zero_shot_weights(texts, np.array([1, 0, 1, 0, 1, 0]), 2)
    for c, rows in ((0, [1, 3, 5]), (1, [0, 2, 4])):
        unit_rows = texts[rows] / np.linalg.norm(texts[rows], axis=1, keepdims=True)
        mean = unit_rows.mean(0)
        np.testing.assert_allclose(weights[c], mean / np.linalg.norm(mean), rtol=1e-5)
    with pytest.raises(EmbedStoreError, match="class 2 has no text"):
        zero_shot_weights(texts, np.array([1, 0, 1, 0, 1, 0]), 3)


def test_a_zero_row_stays_zero():
    np.testing.assert_array_equal(unit(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))


def test_heads_come_back_from_the_store_and_another_is_refused(tmp_path):
    store: Store = random_store(tmp_path / "s")
    bias = np.float32([1, 2])
    head = Head(("x", "y"), RANDOM.normal(size=(2, 8)).astype(np.float32), bias, 3.5, True)
    save_head(store, "model", "mine", head)
    found = load_head(store, "model", "mine")
    np.testing.assert_array_equal(found.weights, head.weights)
    np.testing.assert_array_equal(found.bias, bias)
    assert (found.class_ids, found.scale, found.normalize) == (("x", "y"), 3.5, True)
    with pytest.raises(IdentityError, match="has another head named 'mine'"):
        save_head(store, "model", "mine", Head(("x", "z"), head.weights))
    save_head(store, "model", "mine", head)
    with pytest.raises(IdentityError, match="has another head named 'mine'.*weights"):
        save_head(store, "model", "mine", Head(("x", "y"), -head.weights, bias, 3.5, True))
    save_head(store, "model", "native", Head(("x", "y"), None))
    assert load_head(store, "model", "native").native


def test_a_cache_and_the_fitted_samples_come_back_too(tmp_path):
    store: Store = random_store(tmp_path / "s")
    keys = RANDOM.normal(size=(5, 8)).astype(np.float32)
    cache = build_cache(keys, np.array([1, 0, 1, 1, 0]), 1.25, 5.5)
    weights = RANDOM.normal(size=(2, 8)).astype(np.float32)
    fitted = store.samples("data").select(
        pl.lit("f").alias("fingerprint"), pl.lit(3).alias("row"), "digest"
    )
    head = Head(("x", "y"), weights, normalize=True, cache=cache)
    save_head(store, "model", "tip", head, {"kind": "tip-adapter"}, fitted)
    found = load_head(store, "model", "tip")
    x = RANDOM.normal(size=(9, 8)).astype(np.float16)
    np.testing.assert_array_equal(found.logits(x), head.logits(x))
    assert (found.cache.alpha, found.cache.beta) == (1.25, 5.5)
    assert load_fitted(store, "model", "tip").rows() == fitted.rows()
    assert load_fitted(store, "model", "own") is None
    assert head_record(store, "model", "tip")["origin"] == {"kind": "tip-adapter"}
    assert verify(store.files) == []
    with pytest.raises(UnknownNameError, match="unknown head of model 'model' 'none'"):
        load_head(store, "model", "none")
    with pytest.raises(UnknownNameError, match="unknown model 'nobody'"):
        load_head(store, "nobody", "own")
