"""Planted duplicates and planted wrong labels are found, and nothing else."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import analysis
from embedstore.errors import DatasetError, EmbedStoreError, StoreError, UnknownNameError
from embedstore.index.building import build
from embedstore.index.subject import Subject
from embedstore.schema.neighbours import DUPLICATES, SUSPECTS
from embedstore.testing.given import Given, given_store

N, DIM = 300, 32
CLASSES = ("cat", "dog", "cow")


def noise(seed, n_rows=N):
    return np.random.default_rng(seed).normal(size=(n_rows, DIM))


@pytest.fixture
def leaky(tmp_path):
    """Test pictures of which 5 are copies of training pictures, and 5 nearly are."""
    train, test = noise(0), noise(1, 80)
    test[10:15] = train[100:105]
    test[20:25] = 3 * train[200:205] + 0.1 * noise(2, 5)
    test[30], train[5] = np.nan, np.nan
    digests = [f"test-{i}" for i in range(80)]
    digests[10:15] = [f"train-{i}" for i in range(100, 105)]
    labels = [i % 2 for i in range(80)]
    given = {
        "train": Given(train, [i % 3 for i in range(N)], CLASSES, [f"train-{i}" for i in range(N)]),
        "test": Given(test, labels, ("dog", "cat"), digests),
    }
    return given_store(tmp_path / "s", given, block_rows=64)


def test_planted_copies_are_found_with_their_partners(leaky):
    found = analysis.run("duplicates", leaky, datasets="test", reference="train")
    assert found.schema == dict(DUPLICATES)
    assert found.height == 10
    rows = found.sort("sample_id")
    expected = [*range(10, 15), *range(20, 25)]
    assert rows["sample_id"].to_list() == [f"test-{i:06d}" for i in expected]
    partners = [*range(100, 105), *range(200, 205)]
    assert rows["reference_id"].to_list() == [f"train-{i:06d}" for i in partners]
    assert rows["same_digest"].to_list() == [True] * 5 + [False] * 5
    of_test = [("dog", "cat")[i % 2] for i in expected]
    of_train = [CLASSES[i % 3] for i in partners]
    assert rows["class_name"].to_list() == of_test
    assert rows["reference_class_name"].to_list() == of_train
    assert rows["same_label"].to_list() == [a == b for a, b in zip(of_test, of_train, strict=True)]
    assert found["cosine"].is_sorted(descending=True)
    assert found.select("n_samples", "n_left_out", "threshold", "search").unique().rows() == [
        (79, 1, 0.95, "exact")
    ]


def test_cosine_and_margin_are_those_of_the_whole_matrix(leaky):
    found = analysis.run("duplicates", leaky, datasets="test", reference="train", threshold=-1.0)
    test, train = (np.asarray(leaky.embeddings("model", d), np.float64) for d in ("test", "train"))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (test, train)]
    cosines = np.sort(np.nan_to_num(unit[0] @ unit[1].T, nan=-2), axis=1)[:, ::-1]
    rows = found["sample_id"].str.slice(5).cast(pl.Int64).to_numpy()
    assert sorted(rows) == [i for i in range(80) if i != 30]
    np.testing.assert_allclose(found["cosine"], cosines[rows, 0], atol=1e-5)
    np.testing.assert_allclose(found["margin"], cosines[rows, 0] - cosines[rows, 1], atol=1e-5)


def test_the_margin_passes_over_copies_and_is_null_of_nothing_but_copies(tmp_path):
    x = noise(3, 40)
    x[:12] = x[0]
    x[20:22] = x[20]
    digests = [f"{i}" for i in range(40)]
    digests[:12], digests[20:22] = ["a"] * 12, ["b"] * 2
    store = given_store(
        tmp_path / "s", {"train": Given(x, digests=digests), "test": Given(x[[3, 21, 30]])}
    )
    found = analysis.run("duplicates", store, datasets="test", reference="train")
    margins = dict(zip(found["sample_id"], found["margin"], strict=True))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert margins["test-000000"] is None
    following = np.delete(cosines[21], [20, 21]).max()
    assert margins["test-000001"] == pytest.approx(1 - following, abs=2e-3)
    assert found["same_label"].is_null().all()


def test_within_a_data_set_a_pair_stands_once_and_none_is_its_own_neighbour(tmp_path):
    x = noise(4, 50)
    x[40], x[7], x[8] = x[3], x[9], x[9]
    store = given_store(tmp_path / "s", {"data": Given(x)})
    found = analysis.run("duplicates", store)
    pairs = {frozenset(pair) for pair in found.select("sample_id", "reference_id").rows()}
    names = [{3, 40}, {7, 8}, {7, 9}]  # 8 is nearest to 7, of equal ones the lower row
    assert pairs == {frozenset(f"data-{i:06d}" for i in pair) for pair in names}
    assert found.height == 3


def test_bytes_that_are_not_known_are_no_copies(tmp_path):
    """Imported samples have no digests."""
    x = noise(3, 40)
    given = {"train": Given(x, digests=[""] * 40), "test": Given(x[:5], digests=[""] * 5)}
    store = given_store(tmp_path / "s", given)
    found = analysis.run("duplicates", store, datasets="test", reference="train")
    assert found.height == 5
    assert found["same_digest"].is_null().all()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    following = np.sort(unit[:5] @ unit.T, axis=1)[:, -2]
    np.testing.assert_allclose(found.sort("sample_id")["margin"], 1 - following, atol=2e-3)


def test_copies_are_found_at_a_cosine_of_1_in_the_order_of_their_samples(tmp_path):
    """Rounding puts the cosine of equal embeddings just above 1, or just below."""
    x = noise(3, 200)
    store = given_store(tmp_path / "s", {"train": Given(x), "test": Given(x)})
    words = {"datasets": "test", "reference": "train", "threshold": 1.0}
    assert analysis.run("duplicates", store, **words).height == 200
    x = np.tile(noise(4, 1), (200, 1))
    store = given_store(tmp_path / "t", {"train": Given(x), "test": Given(x)})
    assert analysis.run("duplicates", store, **words)["sample_id"].is_sorted()


@pytest.mark.parametrize("name", ["duplicates", "suspects"])
def test_a_reference_that_no_model_has_encoded_is_no_empty_table(leaky, name):
    given = {"elsewhere": Given(noise(5, 20), [0] * 20, ("cat",))}
    given_store(leaky.files.root, given, model="other")
    with pytest.raises(EmbedStoreError, match="encoded the reference 'elsewhere': model; encode"):
        analysis.run(name, leaky, models="model", datasets="test", reference="elsewhere")
    both = analysis.run(name, leaky, datasets="*", reference="elsewhere")  # `other` has
    assert set(both["model"]) <= {"other"}


def test_an_index_finds_the_same_duplicates(leaky):
    words = {"datasets": "test", "reference": "train"}
    exact = analysis.run("duplicates", leaky, **words)
    with pytest.raises(StoreError, match="no index .* build it with: embedstore index build"):
        analysis.run("duplicates", leaky, **words, search="hnsw")
    build(Subject.open(leaky, "model", dataset="train"), kind="hnsw")
    found = analysis.run("duplicates", leaky, **words, search="hnsw")
    assert found.select("sample_id", "reference_id").equals(
        exact.select("sample_id", "reference_id")
    )
    assert found["search"].str.starts_with("hnsw, recall@10").all()


def test_bad_questions_about_duplicates(leaky, tmp_path):
    with pytest.raises(EmbedStoreError, match=r"threshold 1.2 is no cosine; choose one from -1"):
        analysis.run("duplicates", leaky, threshold=1.2)
    with pytest.raises(UnknownNameError, match="unknown data set 'trian'; choose one of: test, tr"):
        analysis.run("duplicates", leaky, reference="trian")
    assert analysis.run("duplicates", leaky, datasets="none").is_empty()
    lone = given_store(tmp_path / "t", {"one": Given(noise(5, 1))})
    with pytest.raises(EmbedStoreError, match="there is nothing to search"):
        analysis.run("duplicates", lone)


@pytest.fixture
def mislabelled(tmp_path):
    """Three classes far apart; rows 4, 100 and 299 have wrong labels, 7 none, 50 failed."""
    truth = np.arange(N) % 3
    x = 0.3 * noise(6) + 3 * noise(7, 3)[truth]
    labels = truth.tolist()
    labels[4], labels[100], labels[299], labels[7] = 2, 0, 0, None
    x[50] = np.nan
    fresh = 0.3 * noise(8, 30) + 3 * noise(7, 3)[np.arange(30) % 3]
    given = {
        "data": Given(x, labels, CLASSES),
        "fresh": Given(fresh, [0] * 30, ("cow", "fox")),
        "bare": Given(fresh),
    }
    return given_store(tmp_path / "s", given, block_rows=64)


def test_planted_wrong_labels_are_found(mislabelled):
    found = analysis.run("suspects", mislabelled, datasets="data")
    assert found.schema == dict(SUSPECTS)
    assert set(found["sample_id"]) == {"data-000004", "data-000100", "data-000299"}
    truth = {"data-000004": "dog", "data-000100": "dog", "data-000299": "cow"}
    names = dict(zip(found["sample_id"], found["other_class_name"], strict=True))
    assert names == truth
    assert (found["share"] == 0).all()
    assert found["other_share"].min() >= 0.8
    assert found["margin"].is_sorted()
    assert found.select("n_samples", "n_left_out", "k", "reference").unique().rows() == [
        (298, 2, 10, "data")
    ]


def naive(x, labels, k):
    """Votes sample by sample, in Python: row -> (share, other share, other label)."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    said = {}
    for i in range(len(x)):
        if labels[i] is None or np.isnan(x[i]).any():
            continue
        cosines = unit @ unit[i]
        cosines[i] = -np.inf
        cosines[np.isnan(cosines)] = -np.inf
        votes = [labels[j] for j in np.argsort(-cosines, kind="stable")[:k]]
        others = [v for v in votes if v is not None and v != labels[i]]
        best = max(others, key=lambda v: (others.count(v), -others.index(v)), default=None)
        said[i] = (votes.count(labels[i]) / k, others.count(best) / k, best)
    return said


@pytest.mark.parametrize("k", [1, 5, 60])
def test_votes_are_those_of_a_plain_count(tmp_path, k):
    random = np.random.default_rng(9)
    x = noise(10, 200).astype(np.float16).astype(np.float64)
    x[[3, 77]] = np.nan
    labels = [None if random.random() < 0.2 else int(random.integers(0, 4)) for _ in range(200)]
    store = given_store(tmp_path / "s", {"data": Given(x, labels, tuple("abcd"))}, block_rows=64)
    found = analysis.run("suspects", store, k=k, below=2.0)
    expected = naive(x, labels, k)
    assert found.height == len(expected)
    for row in found.iter_rows(named=True):
        share, other_share, other = expected[int(row["sample_id"][5:])]
        assert (row["share"], row["other_share"]) == pytest.approx((share, other_share))
        assert row["other_class_name"] == (None if other is None else "abcd"[other])
        assert (row["nearest_id"] is None) == (other is None)
        assert row["margin"] == pytest.approx(share - other_share)


def test_a_trusted_reference_judges_classes_by_their_ids(mislabelled):
    """`cow` is class 2 there and class 0 here; `fox` it does not know."""
    found = analysis.run("suspects", mislabelled, datasets="fresh", reference="data", below=2.0)
    assert found.height == 30
    said = dict(zip(found["sample_id"], found["margin"], strict=True))
    for i in range(30):
        assert (said[f"fresh-{i:06d}"] > 0) == (i % 3 == 2)
    with pytest.raises(DatasetError, match="'bare' has no labels that could contradict any"):
        analysis.run("suspects", mislabelled, datasets="fresh", reference="bare")
    assert analysis.run("suspects", mislabelled, datasets="bare").is_empty()
    with pytest.raises(EmbedStoreError, match="k = 30 .* choose a k from 1 to 29"):
        analysis.run("suspects", mislabelled, datasets="fresh", k=30)


def test_the_votes_of_many_neighbours_are_counted_few_samples_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("embedstore.index.rows.GATHERED_BYTES", 2**20)
    labels = [i % 4 for i in range(700)]
    store = given_store(tmp_path / "s", {"data": Given(noise(10, 700), labels, tuple("abcd"))})
    analysis.run("suspects", store, k=600)  # what is loaded once
    tracemalloc.start()
    analysis.run("suspects", store, k=600, refresh=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 2**20  # 700 x 600 x 600 comparisons are 240 MiB


def test_the_command(mislabelled):
    words = ["analyze", "suspects", str(mislabelled.files.root), "--datasets", "data"]
    said = CliRunner().invoke(main, [*words, "--format", "json"])
    assert said.exit_code == 0, said.output
    assert len(json.loads(said.stdout)) == 3
