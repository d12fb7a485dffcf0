"""Shifts: naive counts on the same classes, planted effective robustness, published baselines."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtr, ndtri, softmax
from statsmodels.stats.proportion import confint_proportions_2indep

from embedstore import Store, analysis, published
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.applying import apply_head
from embedstore.labels import ClassMap
from embedstore.schema.runs import SHIFT
from embedstore.stats.effective_robustness import baseline_line
from embedstore.stats.intervals import clopper_pearson
from embedstore.stats.lines import robust_line
from embedstore.testing.simulate import (
    DATASET,
    add_out_of_distribution,
    add_shift,
    simulate_store,
)
from embedstore.testing.simulate.samples import add_samples
from embedstore.testing.stores import random_store

ID, SUBSET = "imagenet-val", "imagenet-a"
KEPT = ("class-4", "class-1", "class-2")
ROBUSTNESS = ["effective_robustness", "effective_robustness_low", "effective_robustness_high"]


def shift(store: Store, **options) -> pl.DataFrame:
    found = analysis.run("shift", store, **({"n_resamples": 200} | options))
    assert found.schema == dict(SHIFT)
    return found


@pytest.fixture
def small(tmp_path, say) -> Store:
    """A model over 90 pictures of 6 classes, and what it says of 9 pictures of 3 of these."""
    store = random_store(
        tmp_path / "s",
        models=("m",),
        datasets=(ID, "sketch"),
        n_samples=90,
        n_classes=6,
        failed=(3,),
    )
    add_samples(store, SUBSET, [str(i) for i in range(9)], np.arange(9) % 3, KEPT)
    hits = [True] * 4 + [False] * 5
    say(store, "m", hits, dataset=SUBSET, head="own", space=SUBSET, class_ids=KEPT)
    return store


def logits_of(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of the ID pictures that could be read."""
    logits = np.asarray(store.logits("m", ID, "own")).astype(np.float64)
    known = ~np.isnan(logits[:, 0])
    assert known.sum() == 89
    return logits[known], store.samples(ID)["label"].to_numpy()[known]


def test_id_accuracy_among_the_shifts_classes_from_logits(small):
    (row,) = shift(small, datasets=SUBSET).to_dicts()
    logits, labels = logits_of(small)
    columns = [int(c.removeprefix("class-")) for c in KEPT]
    rows = np.isin(labels, columns)
    right = np.array(columns)[logits[rows][:, columns].argmax(axis=1)] == labels[rows]
    assert (row["id_dataset"], row["n_id"]) == (ID, rows.sum())
    assert row["id_accuracy"] == right.mean()
    low, high = clopper_pearson(right.sum(), right.size)
    assert (row["id_accuracy_low"], row["id_accuracy_high"]) == (low, high)
    assert row["id_accuracy"] != (logits[rows].argmax(axis=1) == labels[rows]).mean()
    assert (row["accuracy"], row["n_samples"]) == (4 / 9, 9)
    assert row["drop"] == pytest.approx(right.mean() - 4 / 9)


def test_id_outcomes_in_the_shifts_classes_are_taken_where_they_are_stored(small, say):
    hits = [True] * 10 + [False] * 2 + [None] * 78
    say(small, "m", hits, dataset=ID, head="own", space=SUBSET, class_ids=KEPT[::-1])
    (row,) = shift(small, datasets=SUBSET).to_dicts()
    assert (row["n_id"], row["id_accuracy"]) == (12, 10 / 12)


def test_id_accuracy_on_all_classes(small):
    (row,) = shift(small, datasets="sketch").to_dicts()
    logits, labels = logits_of(small)
    assert (row["n_id"], row["n_samples"], row["n_left_out"]) == (89, 89, 1)
    assert row["id_accuracy"] == (logits.argmax(axis=1) == labels).mean()


GROUPS = {"even": (0, 2, 4), "odd": (1, 5)}  # and 3 is in neither


@pytest.mark.parametrize("rule", ["mean", "max", "allowed"])
def test_id_accuracy_where_several_classes_become_one(small, rule):
    members = {name: tuple(f"class-{i}" for i in of) for name, of in GROUPS.items()}
    apply_head(small, "m", "sketch", "own", [ClassMap("parity", members, rule)])
    (row,) = shift(small, datasets="sketch").filter(space="parity").to_dicts()
    logits, labels = logits_of(small)
    rows = labels != 3
    p, even = softmax(logits[rows], axis=1), labels[rows] % 2 == 0
    reduced = {"mean": np.mean, "max": np.max, "allowed": np.max}[rule]
    says_even = reduced(p[:, GROUPS["even"]], axis=1) >= reduced(p[:, GROUPS["odd"]], axis=1)
    assert row["n_id"] == rows.sum()
    assert row["id_accuracy"] == pytest.approx((says_even == even).mean(), abs=1e-12)
    fine = np.where(labels[rows] == logits[rows][:, [0, 1, 2, 4, 5]].argmax(axis=1), 1, 0).mean()
    assert row["id_accuracy"] > fine


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Thirty baselines on a line, eight CLIP models .05 above it, and pictures without labels."""
    path = tmp_path_factory.mktemp("planted") / "s"
    groups = {"imagenet": 30, "zero-shot": 8}
    sim = simulate_store(path, groups=groups, n_samples=5_000, spread=1.0, seed=1)
    for name, line in (("v2", (0.95, -0.3)), ("sketch", (0.8, -0.9))):
        gains = {"zero-shot": 0.05}
        add_shift(sim, name, slope=line[0], intercept=line[1], robustness=gains, n_samples=5_000)
    add_out_of_distribution(sim)
    return sim


def accuracies(store: Store, dataset: str) -> np.ndarray:
    return analysis.run("accuracy", store, datasets=dataset)["top1_accuracy"].to_numpy()


def test_drops_and_their_bounds(planted):
    found = shift(planted.store, id_dataset=DATASET)
    assert found["dataset"].unique().sort().to_list() == ["sketch", "v2"]  # the others lack labels
    assert found.height == 76
    for dataset in ("v2", "sketch"):
        rows = found.filter(dataset=dataset)
        x, y = accuracies(planted.store, DATASET), accuracies(planted.store, dataset)
        np.testing.assert_allclose(rows["drop"], x - y, atol=1e-12)
        for row, p, q in zip(rows.to_dicts(), x, y, strict=True):
            counts = (round(p * 5_000), 5_000, round(q * 5_000), 5_000)
            bounds = confint_proportions_2indep(*counts, method="newcomb")
            assert (row["drop_low"], row["drop_high"]) == pytest.approx(bounds, abs=1e-9)


@pytest.mark.parametrize(
    ("dataset", "slope", "intercept"), [("v2", 0.95, -0.3), ("sketch", 0.8, -0.9)]
)
def test_planted_effective_robustness_is_recovered(planted, dataset, slope, intercept):
    found = shift(planted.store, id_dataset=DATASET, datasets=dataset, n_resamples=2_000)
    x, y = accuracies(planted.store, DATASET), accuracies(planted.store, dataset)
    line = baseline_line(x[:30], y[:30], n_samples=5_000, n_shifted=5_000)
    gains = line.effective_robustness(x, y, n_samples=5_000)
    np.testing.assert_allclose(found["effective_robustness"], gains, atol=1e-12)
    assert found["line_slope"][0] == pytest.approx(slope, abs=0.06)
    assert found["line_intercept"][0] == pytest.approx(intercept, abs=0.04)
    assert found.select("n_baselines", "baselines", "note").unique().rows() == [
        (30, "imagenet, store", None)
    ]
    truths = np.repeat([0.0, 0.05], [30, 8])
    low, high = (found[name].to_numpy() for name in ROBUSTNESS[1:])
    assert ((low < truths) & (truths < high)).mean() > 0.9
    assert (low[30:] > 0).all()
    assert ((high - low) < 0.05).all()


def test_bounds_hold_the_truth_as_often_as_they_say(tmp_path):
    held = []
    for seed in range(8):
        sim = simulate_store(
            tmp_path / str(seed),
            groups={"imagenet": 12, "zero-shot": 6},
            n_samples=400,
            spread=1.0,
            seed=seed,
        )
        add_shift(sim, "v2", intercept=-0.3, robustness={"zero-shot": 0.03}, n_samples=400)
        found = shift(sim.store, id_dataset=DATASET).filter(group="zero-shot")
        low, high = (found[name].to_numpy() for name in ROBUSTNESS[1:])
        held.append((low < 0.03) & (high > 0.03))
    assert np.mean(held) > 0.88


def test_bounds_are_seeded(planted):
    asked = {"id_dataset": DATASET, "datasets": "v2", "models": "model-03*"}
    one, same, other = (shift(planted.store, **asked, seed=s, refresh=True) for s in (0, 0, 1))
    assert one.equals(same)
    assert (one[ROBUSTNESS[1]] != other[ROBUSTNESS[1]]).all()
    assert one[ROBUSTNESS[0]].equals(other[ROBUSTNESS[0]])


def test_baselines_are_a_glob_or_a_group_and_need_not_be_shown(planted):
    asked = {"id_dataset": DATASET, "datasets": "v2", "models": "model-030,model-031"}
    by_name = shift(planted.store, **asked, baselines="model-00*")
    x, y = accuracies(planted.store, DATASET), accuracies(planted.store, "v2")
    expected = baseline_line(x[:10], y[:10]).expected(x[30:32])
    np.testing.assert_allclose(by_name["expected_accuracy"], expected, atol=1e-12)
    assert by_name["baselines"].unique().to_list() == ["model-00*, store"]
    of_group = shift(planted.store, **asked, baselines="zero-shot", axis="logit")
    expected = baseline_line(x[30:], y[30:], axis="logit").expected(x[30:32])
    np.testing.assert_allclose(of_group["expected_accuracy"], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("baselines", "n", "note"),
    [
        ("lmm", 0, "baselines: 0 models have both values, so no line .*--published timm"),
        ("model-000", 0, "baselines: 1 model has both values, so no line can be fitted"),
        ("model-00[13]", 2, "^2 baselines are too few for bounds$"),
    ],
)
def test_too_few_baselines(planted, baselines, n, note):
    found = shift(planted.store, id_dataset=DATASET, datasets="v2", baselines=baselines)
    assert found["n_baselines"].unique().to_list() == [n]
    assert found["note"].str.contains(note).all()
    nulls = [38 * (n == 0), 38, 38]
    assert found.select(ROBUSTNESS).null_count().row(0) == tuple(nulls)
    assert found["drop"].null_count() == 0


def test_of_several_heads_a_baselines_own_counts(tmp_path, say):
    store = random_store(tmp_path / "s", models=(), datasets=(ID, "v2"), n_samples=20)
    hits = {"a": (10, 6), "b": (14, 9), "c": (18, 15)}
    for model, counts in hits.items():
        for dataset, n in zip((ID, "v2"), counts, strict=True):
            say(store, model, [True] * n + [False] * (20 - n), dataset=dataset, head="own")
            say(store, model, [True] * 19 + [False], dataset=dataset, head="a-probe")
    found = shift(store, baselines="*").filter(head="own")
    x, y = np.array(list(hits.values())).T / 20
    np.testing.assert_allclose(found["expected_accuracy"], baseline_line(x, y).expected(x))


@pytest.fixture
def mine(tmp_path, say) -> Store:
    """A model with accuracies on ImageNet and ImageNet-A, all in the same classes."""
    store = random_store(tmp_path / "s", models=(), datasets=(ID, SUBSET, "pets"), n_samples=100)
    for dataset, n in ((ID, 90), (SUBSET, 30), ("pets", 50)):
        say(store, "m", [True] * n + [False] * (100 - n), dataset=dataset)
    return store


def published_line(source: str, baselines: pl.Expr, space: str | None):
    table = published.results(source).filter(baselines, pl.col("column") == "top1_accuracy")
    clean = table.filter(pl.col("dataset") == ID, pl.col("space").eq_missing(pl.lit(space)))
    both = clean.join(table.filter(dataset=SUBSET), "model")
    return robust_line(*(ndtri(both[c].to_numpy()) for c in ("value", "value_right")))


def test_published_baselines_on_the_same_classes(mine):
    rows = shift(mine, published="timm").rows_by_key("dataset", named=True, unique=True)
    line = published_line("timm", pl.col("group") == "imagenet", SUBSET)
    row = rows[SUBSET]
    assert (row["n_baselines"], row["baselines"]) == (83, "imagenet, timm")
    assert row["expected_accuracy"] == pytest.approx(ndtr(line.at(ndtri(0.9))), rel=1e-9)
    assert row["effective_robustness_low"] < row["effective_robustness"]
    pets = rows["pets"]
    assert (pets["drop"], pets["n_baselines"]) == (pytest.approx(0.4), 0)
    assert pets["note"].startswith("baselines: timm has no accuracy.top1_accuracy?dataset=pets; it")
    assert "--published" not in pets["note"]


def test_published_accuracy_on_all_classes_stands_for_the_same_where_these_are_all(mine):
    (row,) = shift(mine, published="open_clip", baselines="ViT-B*", datasets=SUBSET).to_dicts()
    line = published_line("open_clip", pl.col("model").str.starts_with("ViT-B"), None)
    assert row["n_baselines"] == line.n_models
    assert row["expected_accuracy"] == pytest.approx(ndtr(line.at(ndtri(0.9))), rel=1e-9)


def test_published_accuracy_on_all_classes_is_no_stand_in_for_a_few(small):
    found = shift(small, published="open_clip", baselines="ViT-B*", datasets=SUBSET)
    assert found["n_baselines"].to_list() == [0]
    assert found["note"][0].startswith("baselines: open_clip has no accuracy")


def test_a_head_without_the_id_data_set(small, say):
    hits = [True] * 3 + [False] * 6
    say(small, "m", hits, dataset=SUBSET, head="photo", space=SUBSET, class_ids=KEPT)
    rows = shift(small, datasets=SUBSET).rows_by_key("head", named=True, unique=True)
    row = rows["photo"]
    assert (row["accuracy"], row["n_id"], row["drop"]) == (3 / 9, None, None)
    assert row["note"].startswith("head 'photo' has no outcomes or logits on the ID data set among")
    assert "; baselines: 0 models" in row["note"]
    assert rows["own"]["drop"] is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "drops are measured from one .* any of out-of.*, v2 could be it; .* --id-dataset "),
        ({"id_dataset": "imagenet"}, "unknown in-dist.* 'imagenet'; choose one of: out-of.*, v2$"),
        ({"id_dataset": DATASET, "datasets": "out*"}, "no labelled data set besides 'simulated' m"),
        ({"id_dataset": DATASET, "datasets": DATASET}, "no labelled data set besides 'simulated'"),
        ({"id_dataset": DATASET, "published": "tim"}, "unknown source of published results 'tim'"),
        ({"id_dataset": DATASET, "axis": "log"}, "unknown axis 'log'; choose one of: linear"),
    ],
)
def test_what_is_refused(planted, options, message):
    with pytest.raises(EmbedStoreError, match=message):
        shift(planted.store, **options)


def test_an_empty_store(tmp_path):
    with pytest.raises(EmbedStoreError, match="the store has no outcomes; encode the in-distrib"):
        shift(Store.open(tmp_path / "s", create=True))


def test_models_that_match_nothing_have_no_row(planted):
    assert shift(planted.store, id_dataset=DATASET, models="nobody").is_empty()
    with pytest.raises(UnknownNameError):
        shift(planted.store, id_dataset=DATASET, published="tim")
