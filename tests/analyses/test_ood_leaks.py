"""OOD detection scores no sample that a score or a head has seen, and says why some are missing."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from embedstore import analysis
from embedstore.detection.score import SCORES
from embedstore.errors import EmbedStoreError, NonFiniteError, UnknownNameError
from embedstore.heads.head import Head, unit
from embedstore.heads.splits import hashed
from embedstore.heads.stored import FITTED, load_head, save_head
from embedstore.testing.given import Given, given_store
from embedstore.testing.stores import random_store

ID, FAR, TRAIN = "data", "far", "train"
CLASSES = [f"class-{i}" for i in range(4)]


@pytest.fixture(autouse=True)
def _forgotten():
    """Each test has a file of its own with a score of the same name."""
    yield
    SCORES.pop("users", None)


def given(seed, n, *, n_classes=4, digests=None):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 6)).astype(np.float16)
    labels = [i % n_classes for i in range(n)]
    return Given(x, labels, [f"class-{i}" for i in range(n_classes)], digests)


def run(store, **parameters):
    return analysis.run("ood", store, **{"id_dataset": ID, "ood": FAR, **parameters})


def names(start, stop):
    return [f"{i:032x}" for i in range(start, stop)]


def area(inside, outside, reference):
    """AUROC of minus the distance to the nearest sample of a reference, all of unit length."""
    reference = unit(reference.astype(np.float32))
    far = [
        np.linalg.norm(unit(x.astype(np.float32))[:, None] - reference, axis=2).min(axis=1)
        for x in (inside, outside)
    ]
    return np.mean(far[0][:, None] < far[1])


def test_pictures_of_the_reference_are_scored_on_neither_side(tmp_path):
    """Of both sides, the last ten pictures are in the training set too."""
    data = {ID: given(1, 40, digests=names(0, 40)), FAR: given(2, 30, digests=names(100, 130))}
    x = np.concatenate(
        [data[ID].embeddings[30:], data[FAR].embeddings[20:], given(3, 9).embeddings]
    )
    data[TRAIN] = Given(x, [0] * 29, CLASSES, names(30, 40) + names(120, 130) + names(200, 209))
    store = given_store(tmp_path / "s", data)
    (row,) = run(store, scores="knn?k=1", reference=TRAIN).to_dicts()
    assert (row["n_id"], row["n_ood"], row["n_left_out"]) == (30, 20, 20)
    expected = area(data[ID].embeddings[:30], data[FAR].embeddings[:20], x)
    assert row["auroc"] == pytest.approx(expected, abs=1e-12)


def test_the_same_picture_is_not_in_both_halves(tmp_path):
    twice = names(0, 30) * 2
    data = {ID: given(1, 60, digests=twice), FAR: given(2, 30)}
    data[ID].embeddings[30:] = data[ID].embeddings[:30]
    store = given_store(tmp_path / "s", data)
    half = np.asarray(hashed(store.samples(ID)["sample_id"].to_list(), 0, "reference")) < 0.5
    apart = ~half & ~np.roll(half, 30)
    found = run(store, scores="knn?k=1,mahalanobis")
    assert found["n_id"].to_list() == [apart.sum()] * 2 != [(~half).sum()] * 2


def test_a_fitted_head_is_not_judged_on_ood_pictures_that_it_has_seen(tmp_path):
    store = given_store(tmp_path / "s", {ID: given(1, 40), FAR: given(2, 30)})
    weights = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    seen = [(store.dataset(d).fingerprint, d, r) for d, r in ((ID, 3), (FAR, 0), (FAR, 7))]
    rows = [
        {"fingerprint": f, "dataset": d, "row": r, "digest": store.samples(d)["digest"][r]}
        for f, d, r in seen
    ]
    fitted = pl.DataFrame(rows).select(*FITTED).cast(dict(FITTED))
    save_head(store, "model", "probe", Head(tuple(CLASSES), weights), {"kind": "probe"}, fitted)
    (row,) = run(store, scores="energy").to_dicts()
    assert (row["n_id"], row["n_ood"], row["n_left_out"]) == (39, 28, 3)


def test_means_of_pictures_are_no_texts(tmp_path):
    """Their cosines with pictures are far above those of negative words, whatever is in these."""
    store = given_store(tmp_path / "s", {ID: given(1, 40), FAR: given(2, 30)})
    weights = unit(np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32))
    fitted = pl.DataFrame(
        [{"fingerprint": store.dataset(ID).fingerprint, "dataset": ID, "row": 3, "digest": ""}]
    )
    head = Head(tuple(CLASSES), weights, scale=100.0, normalize=True)
    save_head(store, "model", "means", head, {"kind": "class-mean"}, fitted)
    save_head(store, "model", "texts", head, {"kind": "zero-shot"})
    notes = run(store, scores="mcm").select("head", "note").rows()
    assert notes == [
        ("means", "head 'means' is not zero-shot: its logits are no cosines with texts"),
        ("texts", None),
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("where", "score"),
    [(w, s) for w in (ID, FAR, TRAIN) for s in ("react", "dice", "residual", "nnguide")]
    + [(w, s) for w in (ID, FAR) for s in ("mcm", "gen")],
)
def test_an_embedding_that_is_no_number_is_named(tmp_path, where, value, score):
    random = np.random.default_rng(0)
    data = {d: given(seed, 40) for seed, d in enumerate((ID, FAR, TRAIN))}
    for one in data.values():
        np.abs(one.embeddings, out=one.embeddings)
    data[where].embeddings[5, 3] = value
    store = given_store(tmp_path / "s", data)
    weights = unit(random.normal(size=(4, 6)).astype(np.float32))
    save_head(store, "model", "head", Head(tuple(CLASSES), weights, normalize=score == "mcm"))
    with pytest.raises(NonFiniteError, match=f"row 5 of '{where}' holds NaN or infinity"):
        run(store, scores=score, reference=TRAIN)


def test_a_reference_counts_by_its_samples_of_the_id_classes(tmp_path):
    """The training set has ten classes, the ID data set four of them."""
    train = given(3, 50, n_classes=10)
    data = {ID: given(1, 40), FAR: given(2, 30), TRAIN: train}
    (row,) = run(given_store(tmp_path / "s", data), scores="knn?k=1", reference=TRAIN).to_dicts()
    known = np.array(train.labels) < 4
    expected = area(data[ID].embeddings, data[FAR].embeddings, train.embeddings[known])
    assert row["auroc"] == pytest.approx(expected, abs=1e-12)
    assert row["reference"] == "train, classes of data"


def test_a_reference_of_which_nothing_could_be_read_is_the_reason(tmp_path):
    unread = Given(np.full((9, 6), np.nan, np.float16), [0] * 9, CLASSES)
    store = given_store(tmp_path / "s", {ID: given(1, 40), FAR: given(2, 30), TRAIN: unread})
    weights = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    save_head(store, "model", "plain", Head(tuple(CLASSES), weights))
    found = run(store, scores="all", reference=TRAIN).filter(pl.col("reference").is_not_null())
    assert found.height == 11
    assert set(found["note"]) <= {
        "no sample of the reference 'train' could be read", "no sample of 'train' could be read"
    }  # fmt: skip


def test_what_lacks_the_logits_of_a_native_head_is_a_reason(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR, "near"), n_samples=30)
    save_head(store, "model", "native", Head(load_head(store, "model", "own").class_ids, None))
    logits = tmp_path / "s" / "models" / "model" / "logits"
    for dataset in (ID, "near"):
        shutil.copytree(logits / dataset / "own", logits / dataset / "native")
    store = type(store).open(tmp_path / "s")
    found = run(store, ood="far,near", heads="native", scores="gen")
    reasons = dict(found.select("ood", "note").rows())
    assert reasons["near"] is None
    assert reasons["far"] == "neither embeddings nor logits of far are stored under head 'native'"


def test_outcomes_alone_of_an_ood_data_set_leave_the_other_scores_undefined(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR, "near"), n_samples=30)
    for part in ("images", "logits"):
        shutil.rmtree(tmp_path / "s" / "models" / "model" / part / FAR)
    found = run(type(store).open(tmp_path / "s"), ood="far,near", scores="msp,mcm,knn")
    stated = found.filter(pl.col("note").is_not_null())
    assert stated.select("ood", "score").rows() == [(FAR, "mcm"), (FAR, "knn")]
    assert "no embeddings of far are stored" in stated["note"]


def test_logits_alone_have_a_reason_for_scores_of_embeddings(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR), n_samples=30)
    shutil.rmtree(tmp_path / "s" / "models" / "model" / "images")
    found = run(type(store).open(tmp_path / "s"), scores="energy,knn")
    reasons = dict(found.select("score", "note").rows())
    assert reasons == {"energy": None, "knn": "no embeddings of data are stored"}


def test_a_head_of_outcomes_alone_has_no_other_scores_beside_embeddings(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR), n_samples=30)
    outcomes = tmp_path / "s" / "models" / "model" / "outcomes"
    for dataset in (ID, FAR):
        shutil.copytree(outcomes / dataset / "own", outcomes / dataset / "imported")
    found = run(type(store).open(tmp_path / "s"), heads="imported", scores="msp,mcm")
    reasons = dict(found.select("score", "note").rows())
    assert reasons["msp"] is None
    assert "stored under head 'imported'" in reasons["mcm"]


USERS = """
import numpy as np
from embedstore.detection import score

@score("users", "head")
def users(subject, *, {parameter}):
    {first}
    return lambda block: {scores}
"""


def users(folder, *, parameter="k: int = 1", first="pass", scores="block.embeddings[:, 0]"):
    path = folder / "users.py"
    path.write_text(USERS.format(parameter=parameter, first=first, scores=scores), "utf-8")
    return str(path)


@pytest.mark.parametrize("scores", ["1.0", "block.embeddings", "np.zeros(2 * len(block))"])
def test_a_users_score_gives_one_number_a_sample(tmp_path, scores):
    store = random_store(tmp_path / "s", datasets=(ID, FAR), n_samples=30)
    with pytest.raises(EmbedStoreError, match="for 30 samples; return one a sample"):
        run(store, scores=users(tmp_path, scores=scores))


def test_a_users_score_that_is_fitted_says_so(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR), n_samples=30)
    with pytest.raises(EmbedStoreError, match=r"mark it with @score\(NAME, 'reference'\)"):
        run(store, scores=users(tmp_path, first="list(subject.reference_blocks())"))


@pytest.mark.parametrize("parameter", ["head: str = 'x'", "n_id: int = 1", "k: float = 0.5"])
def test_hyperparameters_of_a_user_take_no_other_column(tmp_path, parameter):
    store = random_store(tmp_path / "s", datasets=(ID, FAR), n_samples=30)
    with pytest.raises(EmbedStoreError, match="a column that holds something else; rename it"):
        run(store, scores=users(tmp_path, parameter=parameter))


def test_a_users_hyperparameter_may_be_none_until_it_is_given(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR), n_samples=30)
    path = users(tmp_path, parameter="power: float | None = None, temperature: float = 1")
    assert run(store, scores=f"{path}?power=2,{path}")["power"].to_list() == [2.0, None]


def test_each_ood_glob_matches_something(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR, "near"), n_samples=30)
    with pytest.raises(UnknownNameError, match="unknown OOD data set 'fra'; choose one of: far"):
        run(store, ood="near,fra")
    assert run(store, ood="*a*,near", scores="msp").height == 2
