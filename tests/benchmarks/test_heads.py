"""Fitting a head of the store beside the bare operation on the same matrix in memory."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from embedstore.heads import Head, unit
from embedstore.heads.class_means import ClassMean
from embedstore.heads.probes import LinearProbe
from embedstore.heads.tip_adapter import build_cache
from embedstore.heads.training import training
from embedstore.testing.stores import random_store

N_SAMPLES, N_CLASSES, DIM = 20_000, 100, 512


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return random_store(
        tmp_path_factory.mktemp("heads") / "s",
        n_samples=N_SAMPLES,
        n_classes=N_CLASSES,
        dim=DIM,
        block_rows=8192,
    )


def fitter(store, recipe):
    def fit():
        samples = training(store, "model", "data")
        return recipe.fit(samples, recipe.split(samples), lambda _text: None)

    return fit


def test_linear_probe_beside_bare_scikit_learn(beside, store):
    x = np.asarray(store.embeddings("model", "data")).astype(np.float32)
    y = store.samples("data")["label"].to_numpy()
    recipe = LinearProbe(dataset="data", C=1e-3)
    bare = LogisticRegression(C=1e-3, max_iter=1000)
    beside(fitter(store, recipe), rounds=3, scikit_learn=lambda: bare.fit(x, y))


def test_class_means_beside_a_sum_a_class(beside, store):
    x = np.asarray(store.embeddings("model", "data")).astype(np.float32)
    y = store.samples("data")["label"].to_numpy()
    beside(
        fitter(store, ClassMean(dataset="data")),
        rounds=5,
        sums=lambda: np.stack([unit(x[y == c]).mean(axis=0) for c in range(N_CLASSES)]),
    )


def test_tip_adapter_logits_beside_the_two_products(beside):
    random = np.random.default_rng(0)
    x = random.normal(size=(4096, DIM)).astype(np.float32)
    keys, classes = unit(random.normal(size=(1600, DIM)).astype(np.float32)), np.arange(1600) % 100
    weights = unit(random.normal(size=(N_CLASSES, DIM)).astype(np.float32))
    cache = build_cache(keys, classes, 1.0, 5.5)
    head = Head(tuple(map(str, range(100))), weights, None, 100.0, True, cache)
    values = np.eye(100, dtype=np.float32)[classes]
    beside(
        lambda: head.logits(x),
        rounds=5,
        products=lambda: (x @ keys.T) @ values + x @ weights.T,
    )
