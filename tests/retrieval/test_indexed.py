"""Retrieval through an index, against exact ranks: what counts, what is unknown, ties, blocks."""

from __future__ import annotations

import re
import shutil

import numpy as np
import polars as pl
import pytest

from embedstore import analysis
from embedstore.errors import EmbedStoreError, StoreError, UnknownNameError
from embedstore.index.building import build
from embedstore.index.subject import Subject
from embedstore.retrieval import indexed
from embedstore.schema.retrieval import RETRIEVAL
from embedstore.testing.captioned import Captions, captioned_store

pytest.importorskip("faiss")

POSITIVES = ("same-text", "own")
OPEN = [f"{name}{end}" for name in ("mrr", "map") for end in ("", "_low", "_high")]
RECALL = ["recall", "recall_low", "recall_high"]
ASKED = ["model", "dataset", "texts", "direction", "k", "n_queries", "n_gallery", "n_left_out"]


def indexed_store(store, kind="flat", model="model", dataset="data"):
    """Build both indexes of each caption set."""
    build(Subject.open(store, model, dataset=dataset), kind=kind)
    for name in store.dataset(dataset).captions:
        build(Subject.open(store, model, texts=name), kind=kind)
    return store


def noisy(random, pictures, picture_of, noise):
    """Captions around their pictures."""
    return pictures[picture_of] + noise * random.normal(size=(len(picture_of), pictures.shape[1]))


def assert_like_exact(store, **words):
    found = analysis.run("retrieval", store, **words)
    exact = analysis.run("retrieval", store, **{**words, "search": "exact"})
    assert dict(found.schema) == dict(RETRIEVAL)
    assert found.select(*ASKED, *RECALL).equals(exact.select(*ASKED, *RECALL))
    assert found.select(pl.col(*OPEN).null_count()).sum_horizontal().item() == 6 * found.height
    largest = exact["k"].max()
    known = exact.select(median=pl.when(pl.col("median_rank") <= largest).then("median_rank"))
    assert found["median_rank"].equals(known["median"].rename("median_rank"))
    return found


@pytest.mark.parametrize("positives", POSITIVES)
@pytest.mark.parametrize("seed", range(12))
def test_a_flat_index_finds_what_exact_search_does(tmp_path, monkeypatch, seed, positives):
    random = np.random.default_rng(seed)
    monkeypatch.setattr(indexed, "QUERY_ROWS", int(random.integers(1, 80)))
    n, m = 25, 90
    pictures = random.normal(size=(n, 6))
    picture_of = random.integers(0, n, m)
    # one's own texts alone: equal ones tie, which the index breaks by their rows
    kind = random.integers(0, 60, m) if positives == "same-text" else np.arange(m)
    texts = [" " if i % 7 == 0 else f"caption {i}" for i in kind]
    embeddings = noisy(random, pictures, picture_of, 0.7)[kind]
    given = {"captions": Captions(texts, picture_of.tolist(), embeddings)}
    failed = random.choice(n, 4, replace=False).tolist()
    store = captioned_store(tmp_path / "s", pictures, given, failed=failed)
    indexed_store(store)
    k = ",".join(map(str, (1, 3, 7)))
    found = assert_like_exact(store, positives=positives, search="flat", k=k)
    assert found["recall"].is_between(0.02, 0.999).any()
    assert (found["n_left_out"] > 0).all()
    automatic = analysis.run("retrieval", store, positives=positives, search="auto", k=k)
    assert automatic.equals(found)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf", "ivfpq"])
def test_texts_that_do_not_count_make_room_for_others(tmp_path, kind):
    """Empty captions, and those of a failed picture, that lie nearer than any that counts."""
    random = np.random.default_rng(1)
    pictures = random.normal(size=(20, 16))
    nearest = np.tile(pictures, (30, 1))
    captions = noisy(random, pictures, np.repeat(np.arange(20), 5), 0.8)
    embeddings = np.concatenate([nearest, captions])
    picture_of = [*[0] * 300, *range(20), *[1] * 280, *np.repeat(np.arange(20), 5).tolist()]
    texts = [*["of the failed one"] * 300, *[""] * 300, *(f"caption {i}" for i in range(100))]
    given = {"captions": Captions(texts, picture_of, embeddings)}
    store = captioned_store(tmp_path / "s", pictures, given, failed=[0])
    indexed_store(store, kind)
    if kind == "flat":
        found = assert_like_exact(store, search=kind)
    else:
        found = analysis.run("retrieval", store, search=kind)
        exact = analysis.run("retrieval", store)
        np.testing.assert_allclose(found["recall"], exact["recall"], atol=0.05)
    assert found["n_gallery"].unique().sort().to_list() == [19, 95]


@pytest.mark.parametrize("positives", POSITIVES)
@pytest.mark.parametrize("seed", range(10))
def test_where_scores_tie_recall_lies_between_the_last_and_the_first_of_equals(
    tmp_path, exact_vectors, seed, positives
):
    random = np.random.default_rng(seed)
    pictures, captions = exact_vectors(random, 20, 8), exact_vectors(random, 60, 12)
    picture_of = random.integers(0, 20, 60)
    texts = [f"caption {i}" for i in range(60)]
    given = {"captions": Captions(texts, picture_of.tolist(), captions)}
    store = captioned_store(tmp_path / "s", pictures, given)
    indexed_store(store)
    found = analysis.run("retrieval", store, search="flat", positives=positives)
    last = analysis.run("retrieval", store, positives=positives)
    own = picture_of == np.arange(20)[:, None]
    for row, least in zip(found.to_dicts(), last["recall"], strict=True):
        to_text = row["direction"] == "image-to-text"
        scores, right = pictures @ captions.T, own
        if not to_text:
            scores, right = scores.T, right.T
        scores, right = scores[right.any(axis=1)], right[right.any(axis=1)]
        best = np.where(right, scores, -2).max(axis=1, keepdims=True)
        most = ((scores > best).sum(axis=1) < row["k"]).mean()
        assert least - 1e-12 <= row["recall"] <= most + 1e-12
        assert row["ties"] == "index"


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_an_approximate_index_within_its_recall(tmp_path, kind):
    random = np.random.default_rng(0)
    pictures = random.normal(size=(3_000, 24))
    picture_of = np.repeat(np.arange(3_000), 2)
    embeddings = noisy(random, pictures, picture_of, 1.5)
    texts = [f"caption {i}" for i in range(6_000)]
    given = {"captions": Captions(texts, picture_of.tolist(), embeddings)}
    store = indexed_store(captioned_store(tmp_path / "s", pictures, given), kind)
    exact = analysis.run("retrieval", store)
    found = analysis.run("retrieval", store, search=kind)
    assert exact["recall"].is_between(0.1, 0.9).all()
    np.testing.assert_allclose(found["recall"], exact["recall"], atol=0.05)
    assert found["convention"].str.contains(rf"index: {kind}, recall@10 (0\.9[5-9]\d|1\.000)").all()
    assert found["convention"].str.contains("ranks to 10 known").all()


@pytest.mark.parametrize(("n_right", "median"), [(2, None), (3, 1.0), (4, 1.0)])
def test_the_median_is_known_where_more_than_half_find_theirs(tmp_path, n_right, median):
    pictures = np.eye(4)
    wrong = np.arange(n_right, 4)
    embeddings = pictures + 0.01 * np.arange(4)[:, None]  # no ties
    embeddings[wrong] = -pictures[wrong]
    given = {"captions": Captions([f"caption {i}" for i in range(4)], [0, 1, 2, 3], embeddings)}
    store = indexed_store(captioned_store(tmp_path / "s", pictures, given))
    words = {"search": "flat", "k": "1", "direction": "text-to-image"}
    (row,) = analysis.run("retrieval", store, **words).to_dicts()
    assert (row["recall"], row["median_rank"]) == (n_right / 4, median)
    assert row["recall_low"] < row["recall"] <= row["recall_high"]


def test_what_an_index_cannot_do_is_said(tmp_path):
    random = np.random.default_rng(0)
    texts, picture_of = [f"caption {i}" for i in range(40)], [*range(20)] * 2
    given = {"captions": Captions(texts, picture_of, random.normal(size=(40, 4)))}
    store = captioned_store(tmp_path / "s", random.normal(size=(20, 4)), given)
    root = re.escape(str(store.files.root))
    over = {"text-to-image": "--data data", "image-to-text": "--texts captions--data"}
    for way, option in over.items():
        command = f"embedstore index build {root} --model model {option} --kind hnsw --metric ip"
        with pytest.raises(StoreError, match=f"there is no index .*build it with: {command}$"):
            analysis.run("retrieval", store, search="hnsw", direction=way)
    indexed_store(store, "hnsw")
    assert analysis.run("retrieval", store, search="hnsw").height == 6
    with pytest.raises(EmbedStoreError, match=r"leave out --ties expected, or take --search exact"):
        analysis.run("retrieval", store, search="hnsw", ties="expected")
    (positives,) = analysis.run(
        "retrieval", store, search="hnsw", convention="clip-benchmark"
    )["convention"].str.extract("positives: ([a-z-]+);").unique()  # fmt: skip
    assert positives == "own"
    with pytest.raises(UnknownNameError, match="kind of index 'tree'; choose one of: auto, flat"):
        analysis.run("retrieval", store, search="tree")
    with pytest.raises(EmbedStoreError, match="k = 21 is more than the 20 candidates text-to-im"):
        analysis.run("retrieval", store, search="hnsw", k="21", direction="text-to-image")
    shutil.rmtree(store.files.path("models/model/images/data"))
    store = captioned_store(tmp_path / "s", random.normal(size=(20, 4)), given)
    with pytest.raises(StoreError, match=r"embeddings that are gone; build it with: .*--data data"):
        analysis.run("retrieval", store, search="hnsw", direction="text-to-image")


def test_stamps_and_captions_that_do_not_tie(real_store, tmp_path):
    _, texts = real_store.texts("captions--stamps")
    every = np.asarray(real_store.text_embeddings("image-text", "captions--stamps"))
    rows = np.sort(np.unique(every, axis=0, return_index=True)[1])
    pictures = np.asarray(real_store.embeddings("image-text", "stamps"))
    picture_of = texts["sample_index"].gather(rows).to_list()
    given = {"captions": Captions(texts["text"].gather(rows), picture_of, every[rows])}
    store = indexed_store(captioned_store(tmp_path / "s", pictures, given))
    for positives in POSITIVES:
        assert_like_exact(store, positives=positives, search="flat")


def test_stamps_as_they_are(real_copy):
    """Captions that repeat count for all their pictures; near equal ones may tie."""
    indexed_store(real_copy, model="image-text", dataset="stamps")
    found = analysis.run("retrieval", real_copy, datasets="stamps", search="flat")
    exact = analysis.run("retrieval", real_copy, datasets="stamps")
    assert found.select(ASKED).equals(exact.select(ASKED))
    assert (found["recall"] >= exact["recall"] - 1e-12).all()
    likely = analysis.run("retrieval", real_copy, datasets="stamps", ties="expected")
    np.testing.assert_allclose(found["recall"], likely["recall"], atol=0.03)
