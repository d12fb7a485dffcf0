"""OOD detection through the public command: areas of scikit-learn, planted areas, bad input."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from textwrap import dedent

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from cli import main
from embedstore import analysis
from embedstore.detection.asking import asked_scores, own_scores
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.splits import hashed
from embedstore.schema.detection import OOD
from embedstore.testing.simulate import add_out_of_distribution, simulate_store
from embedstore.testing.stores import random_store

ID, FAR = "data", "far"
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two data sets of random numbers under one head; some pictures failed."""
    path = tmp_path_factory.mktemp("ood") / "store"
    return random_store(path, datasets=(ID, FAR), n_samples=90, failed=(3, 17), seed=1)


def run(store, **parameters):
    return analysis.run("ood", store, **{"id_dataset": ID, "ood": FAR, **parameters})


def logits_of(store, dataset):
    logits = np.asarray(store.logits("model", dataset, "own"), np.float64)
    return logits[~np.isnan(logits[:, 0])]


def areas(inside, outside):
    y = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    s = np.r_[inside, outside]
    return (
        roc_auc_score(y, s),
        average_precision_score(y, s),
        average_precision_score(1 - y, -s),
    )


NAIVE = {
    "msp": lambda z: softmax(z, axis=1).max(axis=1),
    "max-logit": lambda z: z.max(axis=1),
    "energy": lambda z: logsumexp(z, axis=1),
    "entropy": lambda z: (softmax(z, axis=1) * log_softmax(z, axis=1)).sum(axis=1),
    "margin": lambda z: np.diff(np.sort(softmax(z, axis=1))[:, -2:])[:, 0],
}


@pytest.mark.parametrize("score", NAIVE)
def test_scores_of_outcomes_have_scikit_learns_areas(store, score):
    (row,) = run(store, scores=score).to_dicts()
    expected = areas(*(NAIVE[score](logits_of(store, d)) for d in (ID, FAR)))
    # stored logits are float16, so two samples may change places
    assert (row["auroc"], row["aupr_in"], row["aupr_out"]) == pytest.approx(expected, abs=5e-4)
    assert (row["n_id"], row["n_ood"], row["n_left_out"]) == (88, 88, 4)
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def test_mcm_takes_plain_cosines_unless_it_is_asked_to_scale(store):
    plain, scaled = run(store, scores="mcm,mcm?scaled=true").sort("scaled").to_dicts()
    z = [logits_of(store, d) for d in (ID, FAR)]  # the head's scale is 4
    for row, divisor in ((plain, 4.0), (scaled, 1.0)):
        expected = areas(*(softmax(x / divisor, axis=1).max(axis=1) for x in z))
        assert (row["auroc"], row["aupr_in"], row["aupr_out"]) == pytest.approx(expected, abs=5e-4)
    assert (plain["temperature"], plain["scaled"], scaled["scaled"]) == (1.0, False, True)


def test_each_score_of_ours_gives_a_row_a_number_or_a_reason(store):
    found = run(store, scores="all")
    assert set(found["score"]) == set(own_scores())
    assert dict(found.schema) == dict(OOD)  # so that every hyper-parameter has a column
    for row in found.to_dicts():
        assert (row["auroc"] is None) == bool(row["note"]), row
    fitted = found.filter(pl.col("reference").is_not_null())
    half = hashed(store.samples(ID)["sample_id"].to_list(), 0, "reference") < 0.5
    n_scored = (~half & (np.arange(90) != 3) & (np.arange(90) != 17)).sum()
    assert set(fitted.filter(pl.col("auroc").is_not_null())["n_id"]) == {n_scored}


def test_a_named_reference_leaves_all_other_id_samples_to_be_scored(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID, FAR, "train"), n_samples=60, seed=2)
    found = run(store, scores="knn?k=3", reference="train")
    n_others = (~store.samples(ID)["digest"].is_in(store.samples("train")["digest"])).sum()
    assert found.select("n_id", "reference", "k").row(0) == (n_others, "train", 3)
    with pytest.raises(EmbedStoreError, match="the very samples of the in-distribution"):
        run(store, scores="knn", reference=ID)
    with pytest.raises(UnknownNameError, match="reference data set 'nowhere'"):
        run(store, scores="knn", reference="nowhere")


def test_embeddings_alone_need_no_head(store, tmp_path):
    shutil.copytree(store.files.root, tmp_path / "s")
    for part in ("heads", "logits", "outcomes"):
        shutil.rmtree(tmp_path / "s" / "models" / "model" / part)
    headless = type(store).open(tmp_path / "s")
    found = run(headless, scores="knn,msp")
    assert found.select("head", "score").rows() == [(None, "knn")]
    assert found["auroc"].item() == run(store, scores="knn")["auroc"].item()


@pytest.mark.parametrize("score", ["max-logit", "energy", "msp"])
def test_a_planted_area_is_found_from_outcomes_alone(tmp_path, score):
    simulation = simulate_store(tmp_path / "s", n_models=2, n_samples=4_000, spread=1.0, seed=3)
    planted = add_out_of_distribution(simulation, separation=[1.0, 2.0], n_samples=4_000)
    store = simulation.store
    found = analysis.run("ood", store, id_dataset="simulated", ood="out*", scores=score)
    for area, row in zip(planted, found.sort("model").to_dicts(), strict=True):
        assert row["auroc"] == pytest.approx(area, abs=0.015)
        assert row["auroc_low"] - 0.01 < area < row["auroc_high"] + 0.01
    (reason,) = analysis.run("ood", store, id_dataset="simulated", ood="out*", scores="mcm")[
        "note"
    ].unique()
    assert "neither embeddings nor logits" in reason


def test_a_users_score_is_one_more(store, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n"
        "from embedstore.detection import score\n\n"
        "@score('norm')\n"
        "def norm(subject, *, power: float = 1.0):\n"
        "    return lambda block: np.linalg.norm(block.embeddings, axis=1) ** power\n",
        "utf-8",
    )
    found = run(store, scores=f"{path}?power=2,msp")
    mine = found.filter(score="norm").to_dicts()[0]
    norms = []
    for dataset in (ID, FAR):
        x = np.asarray(store.embeddings("model", dataset), np.float64)
        norms.append(np.linalg.norm(x[~np.isnan(x[:, 0])], axis=1))
    assert mine["auroc"] == pytest.approx(areas(*norms)[0], abs=1e-12)
    assert mine["power"] == 2.0
    path.write_text("x = 1\n", "utf-8")
    with pytest.raises(EmbedStoreError, match="marks no score"):
        run(store, scores=str(path))


def test_rules_of_projects_are_columns(store):
    stated = {c: run(store, scores="msp", convention=c)["convention"][0] for c in
              ("mcm", "ninco", "openood")}  # fmt: skip
    assert "id-recall" in stated["mcm"]
    assert "id-quantile" in stated["ninco"]
    assert "ood-recall" in stated["openood"]
    assert "trapezoid" in stated["openood"]
    mixed = run(store, scores="msp", convention="openood", aupr="average-precision")
    assert "average-precision" in mixed["convention"][0]


def test_class_means_are_means_over_the_classes_of_the_ood_data_set(store):
    (row,) = run(store, scores="energy").to_dicts()
    inside, outside = (NAIVE["energy"](logits_of(store, d)) for d in (ID, FAR))
    labels = store.samples(FAR)["label"].to_numpy()[np.setdiff1d(np.arange(90), [3, 17])]
    each = [areas(inside, outside[labels == c])[0] for c in np.unique(labels)]
    assert row["class_mean_auroc"] == pytest.approx(np.mean(each), abs=1e-3)


def test_bad_requests_get_one_clear_line(store):
    with pytest.raises(EmbedStoreError, match="both in distribution and out of distr"):
        run(store, ood=ID)
    with pytest.raises(UnknownNameError, match="OOD data set 'nothing\\*'; choose one of: far"):
        run(store, ood="nothing*")
    with pytest.raises(UnknownNameError, match="'nothing'; choose one of: own"):
        run(store, heads="nothing")
    with pytest.raises(UnknownNameError, match="unknown score 'mps'"):
        run(store, scores="mps")
    with pytest.raises(UnknownNameError, match="hyper-parameter of the score 'knn' 'n'"):
        run(store, scores="knn?n=3")
    with pytest.raises(EmbedStoreError, match="k=three cannot be; give a value of type int"):
        run(store, scores="knn?k=three")
    with pytest.raises(EmbedStoreError, match="write NAME\\?KEY=VALUE"):
        run(store, scores="knn?k")


def test_copies_of_the_id_data_set_are_refused(tmp_path):
    store = random_store(tmp_path / "s", datasets=(ID,), n_samples=30)
    again = random_store(tmp_path / "t", datasets=("copy",), n_samples=30)
    assert store.dataset(ID).fingerprint == again.dataset("copy").fingerprint
    for part in ("datasets", "models/model/images", "models/model/logits", "models/model/outcomes"):
        shutil.copytree(tmp_path / "t" / part / "copy", tmp_path / "s" / part / "copy")
    with pytest.raises(EmbedStoreError, match="holds the very samples"):
        run(store, ood="copy")


def test_asking_twice_for_the_same_score_asks_once():
    assert len(asked_scores("msp,msp,all")) == len(own_scores())
    assert [a.hyperparameters["k"] for a in asked_scores("knn?k=5,knn?k=7")] == [5, 7]


def test_the_command_prints_json(store):
    arguments = ["analyze", "ood", str(store.files.root), "--id-dataset", ID, "--ood", FAR]
    result = CliRunner().invoke(main, [*arguments, "--format", "json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert {row["score"] for row in rows} == {"msp", "max-logit", "energy", "mcm"}


def written(tmp_path, name, body):
    path = tmp_path / f"{name}.py"
    head = "from embedstore.detection import score\n\n"
    path.write_text(f"{head}@score({name!r})\n{body}\n", "utf-8")
    return path


WRONG = {
    "no-head": ("(subject):\n    return lambda b: b.logits.max(1)", "", 'score.NAME, "head"'),
    "nothing": ("(subject):\n    pass", "", "'nothing' returns NoneType; return a function"),
    "bare": ("(subject, t=1.0):\n    return len", "?t=2", "one of your own function's stands"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_users_score_is_said(store, tmp_path, name):
    body, query, message = WRONG[name]
    path = written(tmp_path, name, f"def f{body}")
    with pytest.raises(EmbedStoreError, match=message):
        run(store, scores=f"{path}{query}")


def test_a_users_hyperparameter_may_be_known_by_its_default(store, tmp_path):
    body = "def f(subject, *, weight=1.0):\n    return lambda b: weight * b.embeddings[:, 0]"
    found = run(store, scores=f"{written(tmp_path, 'weighted', body)}?weight=-1")
    assert found["weight"].to_list() == [-1.0]


def test_the_reference_is_not_out_of_distribution(store):
    with pytest.raises(EmbedStoreError, match="both the reference and out of distribution"):
        run(store, scores="knn", reference=FAR)


def test_the_readmes_score_runs(store, tmp_path):
    (code,) = re.findall(r"( *# mine.py:.*?)\n *```", README, re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(dedent(code), "utf-8")
    found = run(store, scores=f"{path}?power=3")
    assert found["power"].to_list() == [3.0]
    expected = areas(*((logits_of(store, d) ** 3).sum(axis=1) for d in (ID, FAR)))
    assert found["auroc"].item() == pytest.approx(expected[0], abs=5e-4)
