"""Every score of one model over five OOD data sets, beside what no table of them can do without.

That is the k-NN's search by FAISS alone: the products of all scored samples with the reference.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from embedstore import analysis
from embedstore.heads.head import Head, unit
from embedstore.heads.stored import save_head
from embedstore.testing.given import Given, given_store
from embedstore.testing.texts import add_prompts

N_REFERENCE, N_OOD, DIM, N_CLASSES, N_WORDS = 50_000, 10_000, 512, 1_000, 10_000
OOD = [f"ood-{i}" for i in range(5)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A training set, an ID one and five OOD ones of 10,000, under a linear and a zero-shot head.

    Features are not negative, so that all scores of changed activations are defined.
    """
    random = np.random.default_rng(0)
    means = random.normal(size=(N_CLASSES, DIM)).astype(np.float32)
    classes = [f"class-{i}" for i in range(N_CLASSES)]

    def labelled(n: int) -> Given:
        labels = random.integers(0, N_CLASSES, n)
        x = means[labels] + random.normal(size=(n, DIM)).astype(np.float32)
        return Given(np.maximum(x, 0).astype(np.float16), labels.tolist(), classes)

    data = {"train": labelled(N_REFERENCE), "id": labelled(N_OOD)}
    for name in OOD:
        x = 1.2 * random.normal(size=(N_OOD, DIM))
        data[name] = Given(np.maximum(x, 0).astype(np.float16))
    path = tmp_path_factory.mktemp("ood") / "store"
    store = given_store(path, data, block_rows=8_192)
    save_head(store, "model", "linear", Head(tuple(classes), means, np.ones(N_CLASSES, np.float32)))
    zero_shot = Head(tuple(classes), unit(np.maximum(means, 0)), scale=100.0, normalize=True)
    save_head(store, "model", "zero-shot", zero_shot)
    words = unit(random.normal(size=(N_WORDS, DIM)).astype(np.float32))
    ids = [f"word-{i}" for i in range(N_WORDS)]
    add_prompts(store, "model", "words", ids, words, range(N_WORDS))
    return store


@pytest.mark.parametrize("head", ["linear", "zero-shot"])
def test_all_scores_over_five_data_sets(benchmark, store, head):
    faiss = pytest.importorskip("faiss")
    x = [unit(np.asarray(store.embeddings("model", d), np.float32)) for d in ("train", "id", *OOD)]
    start = time.perf_counter()
    faiss.knn(np.concatenate(x[1:]), x[0], 50, metric=faiss.METRIC_INNER_PRODUCT)
    search = time.perf_counter() - start
    asked = {"id_dataset": "id", "ood": "ood-*", "reference": "train", "heads": head}
    asked["negatives"] = "words--classes"

    def table():
        return analysis.run("ood", store, refresh=True, scores="all", **asked)

    found = benchmark.pedantic(table, rounds=1)
    undefined = found.filter(found["auroc"].is_null())["score"].unique().to_list()
    benchmark.extra_info["seconds"] = benchmark.stats.stats.median
    benchmark.extra_info["of the k-NN's search alone"] = benchmark.stats.stats.median / search
    benchmark.extra_info["undefined"] = ", ".join(sorted(undefined))
