"""`calibration` and `reliability` over stores: imported, random, and of mixed label spaces."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import relplot
import torch
from netcal.metrics import ECE, MCE
from relplot.kernels import smooth_round_to_grid
from scipy.special import log_softmax, softmax
from torchmetrics.functional.classification import binary_calibration_error
from torchmetrics.functional.classification.calibration_error import _ce_compute

from embedstore import Store, analysis
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads import Head
from embedstore.heads.applying import apply_head
from embedstore.heads.splits import hashed
from embedstore.heads.stored import save_head
from embedstore.importers.logits import Target, import_logits
from embedstore.importers.matrices import read_matrix
from embedstore.importers.predictions import Target as Predicted
from embedstore.importers.predictions import import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.kernels.bins import in_bins
from embedstore.labels import ClassMap
from embedstore.prompts import ClassList
from embedstore.schema import runs
from embedstore.testing.stores import random_store

GOLDEN = {
    ("equal-width", 15): {"ViT": 0.0141253845, "ResNet50": 0.0373079126},
    ("equal-width", 10): {"ViT": 0.0138137562, "ResNet50": 0.0366686834},
    ("equal-mass", 15): {"ViT": 0.0141108311, "ResNet50": 0.0370799293},
}


@pytest.fixture(scope="module")
def imagenet_x(tmp_path_factory, shared_data) -> Store:
    """Two networks' published predictions on the 50,000 pictures of ImageNet's validation set."""
    found = importlib.util.find_spec("imagenet_x")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no imagenet-x; install it with: pip install --no-deps imagenet-x")
    labels = Path(found.submodule_search_locations[0]) / "annotations" / "filename_label.csv"
    store = Store.open(tmp_path_factory.mktemp("calibration") / "s", create=True)
    import_samples(store, read_table(labels), "imagenet")
    for model in ("ViT", "ResNet50"):
        table = read_table(shared_data / "imagenet-x" / f"predictions-{model}.csv.gz")
        import_predictions(store, table, Predicted(model, "imagenet"))
    return store


@pytest.mark.parametrize(("binning", "n_bins"), GOLDEN)
def test_the_published_predictions_have_their_errors(imagenet_x, binning, n_bins):
    found = analysis.run("calibration", imagenet_x, binning=binning, n_bins=n_bins)
    expected = GOLDEN[binning, n_bins]
    assert found["n_samples"].to_list() == [50_000, 50_000]
    for model, ece, low, high in found.select("model", "ece", "ece_low", "ece_high").iter_rows():
        assert ece == pytest.approx(expected[model], abs=1e-10)
        assert low < ece < high
    for row in found.iter_rows(named=True):
        assert (row["temperature"], row["nll"], row["brier"], row["classwise_ece"]) == (None,) * 4
        assert row["note"] == "not scaled, since only outcomes are stored, and no logits"


@pytest.mark.parametrize("model", ["ViT", "ResNet50"])
def test_peers_agree_on_the_published_predictions(imagenet_x, model):
    (row,) = analysis.run("calibration", imagenet_x, models=model, brier="top-label").to_dicts()
    said = imagenet_x.outcomes(model).collect()
    confidence = said["confidence"].cast(pl.Float64).to_numpy()
    hits = said["correct"].cast(pl.Int64).to_numpy()
    assert (model == "ResNet50") == (confidence == 1).any()  # which share their top bin
    assert row["ece"] == pytest.approx(ECE(15).measure(confidence, hits), abs=1e-9)
    mce = MCE(15).measure(confidence, hits)
    assert row["max_calibration_error"] == pytest.approx(mce, abs=1e-9)
    assert row["brier"] == pytest.approx(((confidence - hits) ** 2).mean(), abs=1e-9)


@pytest.fixture
def whole_ends(monkeypatch):
    """Relplot reflects its grid without repeating the ends: their mass, given twice, is whole."""

    def doubled(f, y, eval_points=1000):
        cells = smooth_round_to_grid(f, y, eval_points)
        cells[[0, -1]] *= 2
        return cells

    monkeypatch.setattr(relplot.kernels, "smooth_round_to_grid", doubled)


def smooth_errors(imagenet_x, model):
    """Ours and relplot's."""
    (row,) = analysis.run("calibration", imagenet_x, models=model).to_dicts()
    said = imagenet_x.outcomes(model).select(pl.col("confidence", "correct").cast(float)).collect()
    return row["smooth_ece"], relplot.smECE(*said.to_numpy().T)


@pytest.mark.parametrize("model", ["ViT", "ResNet50"])
def test_relplot_agrees_on_the_published_predictions(imagenet_x, whole_ends, model):
    ours, theirs = smooth_errors(imagenet_x, model)
    assert ours == pytest.approx(theirs, abs=1 / 1024)


def test_relplot_counts_the_surest_samples_less(imagenet_x):
    """Of ResNet50, .999 sure of a fifth of the pictures, which pulls its own error up."""
    said = imagenet_x.outcomes("ResNet50").select(sure=pl.col("confidence") > 0.999).collect()
    assert 0.15 < said["sure"].mean() < 0.25
    ours, theirs = smooth_errors(imagenet_x, "ResNet50")
    assert ours < theirs - 1 / 1024


@pytest.mark.parametrize("model", ["ViT", "ResNet50"])
def test_torchmetrics_agrees_on_the_published_predictions(imagenet_x, model):
    """It sets confidences of 1 apart, in a bin of their own: left out, nothing differs."""
    said = imagenet_x.outcomes(model).filter(pl.col("confidence") < 1).collect()
    confidence = said["confidence"].cast(pl.Float64).to_numpy()
    correct = said["correct"].to_numpy()
    bins, given = in_bins(confidence, correct, 15), torch.from_numpy(confidence)
    found = {"l1": bins.expected_calibration_error, "max": bins.max_calibration_error}
    for norm, value in found.items():
        theirs = binary_calibration_error(
            given, torch.from_numpy(correct.astype(int)), n_bins=15, norm=norm
        )
        assert value == pytest.approx(float(theirs), abs=1e-9)
    hits = torch.from_numpy(correct.astype(float))
    debiased = float(_ce_compute(given, hits, 15, "l2", debias=True))
    assert bins.debiased_calibration_error == pytest.approx(debiased, abs=1e-9)


@pytest.mark.parametrize("model", ["ViT", "ResNet50"])
def test_equal_mass_agrees_with_netcal_on_the_published_predictions(imagenet_x, model):
    """Its quantiles cut up to four of 50,000 samples away from ours at each of 14 edges."""
    (row,) = analysis.run("calibration", imagenet_x, models=model, binning="equal-mass").to_dicts()
    said = imagenet_x.outcomes(model).collect()
    confidence = said["confidence"].cast(pl.Float64).to_numpy()
    theirs = ECE(15, equal_intervals=False).measure(
        confidence, said["correct"].cast(int).to_numpy()
    )
    assert row["ece"] == pytest.approx(theirs, abs=2 * 14 * 4 / 50_000)
    assert row["ece"] == pytest.approx(theirs, rel=0.01)


def test_reliability_is_what_the_error_is_made_of(imagenet_x):
    bins = analysis.run("reliability", imagenet_x)
    assert bins.schema == dict(runs.RELIABILITY)
    gaps = (pl.col("accuracy") - pl.col("confidence")).abs() * pl.col("n_samples")
    errors = dict(bins.group_by("model").agg(gaps.sum() / 50_000).iter_rows())
    assert errors == pytest.approx(GOLDEN["equal-width", 15], abs=1e-10)
    assert not bins["scaled"].any()
    inside = (pl.col("accuracy_low") <= pl.col("accuracy")) & (
        pl.col("accuracy") <= pl.col("accuracy_high")
    )
    assert bins.select(inside.all()).item()


def stored(store, dataset="data", model="model", head="own"):
    """float64 logits as stored, labels, and the half that temperatures are fitted on."""
    logits = np.asarray(store.logits(model, dataset, head)).astype(np.float64)
    samples = store.samples(dataset)
    half = hashed(samples["sample_id"].to_list(), 0, "temperature") < 0.5
    return logits, samples["label"].to_numpy(), half


def mean_nll(logits, labels, temperature):
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()


def test_temperature_is_fitted_on_one_half_and_measured_on_the_rest(tmp_path):
    store = random_store(tmp_path / "s", datasets=("data", "shift"), n_samples=300, failed=(3, 70))
    found = analysis.run("calibration", store, id_dataset="data")
    assert found.schema == dict(runs.CALIBRATION)
    rows = {row["dataset"]: row for row in found.iter_rows(named=True)}
    read = np.ones(300, bool)
    read[[3, 70]] = False
    logits, labels, half = stored(store)
    temperature = rows["data"]["temperature"]
    fitted, rest = read & half, read & ~half
    grid = temperature * np.linspace(0.99, 1.01, 201)
    nll = [mean_nll(logits[fitted], labels[fitted], t) for t in grid]
    if not rows["data"]["at_bound"]:
        assert grid[np.argmin(nll)] == pytest.approx(temperature, rel=1e-4)
    assert rows["shift"]["temperature"] == temperature
    assert [rows[d]["n_scaled"] for d in ("data", "shift")] == [rest.sum(), 298]
    assert [rows[d]["n_left_out"] for d in ("data", "shift")] == [2, 2]
    for dataset, kept in (("data", rest), ("shift", read)):
        logits, labels, _ = stored(store, dataset)
        row, z, y = rows[dataset], logits[kept], labels[kept]
        p = softmax(z / temperature, axis=1)
        ece = in_bins(p.max(axis=1), p.argmax(axis=1) == y, 15).expected_calibration_error
        assert row["ece_scaled"] == pytest.approx(ece, abs=1e-6)
        assert row["nll_scaled"] == pytest.approx(mean_nll(z, y, temperature), abs=1e-6)
        assert row["nll_before"] == pytest.approx(mean_nll(z, y, 1.0), abs=1e-3)
    assert rows["shift"]["nll_before"] == pytest.approx(rows["shift"]["nll"])
    assert rows["shift"]["ece_before"] == rows["shift"]["ece"]


def test_other_seeds_split_otherwise_and_none_fits_none(tmp_path):
    store = random_store(tmp_path / "s", n_samples=200)
    first, again, other = (
        analysis.run("calibration", store, seed=seed)["temperature"].item() for seed in (0, 0, 1)
    )
    assert first == again != other
    (row,) = analysis.run("calibration", store, id_dataset="none").to_dicts()
    assert (row["temperature"], row["note"]) == (
        None,
        "not scaled, since no temperature was asked for",
    )
    assert row["nll"] is not None
    assert "no temperature" in row["convention"]


def test_the_in_distribution_data_set_is_found_or_asked_for(tmp_path):
    several = random_store(tmp_path / "a", datasets=("pets", "cars"))
    with pytest.raises(EmbedStoreError, match="any of cars, pets could be it; name it with --id-d"):
        analysis.run("calibration", several)
    with pytest.raises(
        UnknownNameError, match=r"data set 'birds'; choose one of: cars, none, pets"
    ):
        analysis.run("calibration", several, id_dataset="birds")
    named = random_store(tmp_path / "b", datasets=("cars", "ImageNet-val"))
    only_cars = analysis.run("calibration", named, datasets="cars")
    assert only_cars["dataset"].to_list() == ["cars"]  # fitted elsewhere all the same
    assert "half of ImageNet-val" in only_cars["convention"].item()
    assert only_cars["n_scaled"].item() == 40


def bring(store, tmp_path, logits, model):
    np.save(tmp_path / f"{model}.npy", np.asarray(logits, np.float32))
    matrix = read_matrix(tmp_path / f"{model}.npy", None, (), "logits")
    ids = store.dataset("data").class_ids
    classes = ClassList("", ids, ids)
    import_logits(store, matrix, Target(model, "data"), classes=classes, order="as-samples")


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_logits_on_other_scales_are_calibrated_alike(tmp_path, scale):
    store = random_store(tmp_path / "s", n_samples=400)
    random = np.random.default_rng(0)
    labels = store.samples("data")["label"].to_numpy()
    logits = random.standard_normal((400, 5)).astype(np.float32) * 3
    logits[np.arange(400), labels] += 3
    bring(store, tmp_path, logits, "plain")
    bring(store, tmp_path, logits * np.float32(scale), "scaled")
    found = analysis.run("calibration", store, heads="imported").sort("model")
    plain, scaled = found.iter_rows(named=True)
    assert scaled["temperature"] == pytest.approx(plain["temperature"] * scale, rel=2e-3)
    assert scaled["ece_scaled"] == pytest.approx(plain["ece_scaled"], abs=2e-3)
    assert scaled["nll_scaled"] == pytest.approx(plain["nll_scaled"], abs=1e-4)
    assert not found["at_bound"].any()


def test_separable_logits_are_reported_as_at_the_bound(tmp_path):
    store = random_store(tmp_path / "s")
    labels = store.samples("data")["label"].to_numpy()
    bring(store, tmp_path, 2 * np.eye(5)[labels], "perfect")
    (row,) = analysis.run("calibration", store, models="perfect").to_dicts()
    assert row["at_bound"] is True
    assert row["note"] == "temperature at the lowest of its range"
    assert row["ece_scaled"] == pytest.approx(0, abs=1e-6)
    assert row["ece_before"] > 0.3


def test_one_class_has_no_temperature(tmp_path):
    (row,) = analysis.run("calibration", random_store(tmp_path / "s", n_classes=1)).to_dicts()
    assert (row["accuracy"], row["ece"], row["nll"]) == (1.0, 0.0, 0.0)
    assert row["temperature"] is None
    assert row["note"] == "not scaled, since NLL on data is the same at every temperature"


def test_one_sample_and_no_sample(tmp_path):
    (one,) = analysis.run("calibration", random_store(tmp_path / "a", n_samples=1)).to_dicts()
    assert one["n_samples"] == 1
    assert one["ece"] is not None
    assert one["ece_low"] is None
    assert one["temperature"] is None  # one half of one sample is empty
    empty = random_store(tmp_path / "b", n_samples=3, failed=(0, 1, 2))
    (none,) = analysis.run("calibration", empty).to_dicts()
    assert (none["n_samples"], none["n_left_out"]) == (0, 3)
    measured = [c for c, t in runs.CALIBRATION.items() if t == pl.Float64]
    assert {none[c] for c in measured} == {None}
    assert analysis.run("reliability", empty).schema == dict(runs.RELIABILITY)
    assert analysis.run("calibration", empty, models="nobody").is_empty()


def test_each_label_space_is_a_row_and_shares_the_temperature(tmp_path):
    store = random_store(tmp_path / "s", n_samples=300)
    pairs = {"first": ("class-0", "class-1"), "second": ("class-2", "class-3", "class-4")}
    apply_head(
        store, "model", "data", "own", [ClassMap("pairs", pairs, "mean"), ClassMap("max", pairs)]
    )
    found = analysis.run("calibration", store)
    assert found["space"].to_list() == ["all", "max", "pairs"]
    assert found["temperature"].n_unique() == 1
    logits, labels, half = stored(store)
    groups, y = ([0, 1], [2, 3, 4]), (labels > 1).astype(int)[~half]
    cuts = {
        "max": [logits[:, g].max(axis=1) for g in groups],
        "pairs": [np.log(np.exp(logits[:, g]).mean(axis=1)) for g in groups],
    }
    for space, cut in cuts.items():
        (row,) = found.filter(space=space).to_dicts()
        z = np.stack(cut, axis=1)[~half]
        assert row["nll_scaled"] == pytest.approx(mean_nll(z, y, row["temperature"]), abs=1e-6)
        p = softmax(z / row["temperature"], axis=1)
        ece = in_bins(p.max(axis=1), p.argmax(axis=1) == y, 15).expected_calibration_error
        assert row["ece_scaled"] == pytest.approx(ece, abs=1e-6)


def test_several_right_classes_have_confidences_and_no_nll(tmp_path):
    store = random_store(tmp_path / "s", n_samples=200)
    both = ClassMap("allowed", {"low": ("class-0", "class-1"), "high": ("class-2",)}, "allowed")
    apply_head(store, "model", "data", "own", [both])
    (row,) = analysis.run("calibration", store).filter(space="allowed").to_dicts()
    nulls = (row["nll"], row["brier"], row["classwise_ece"], row["nll_before"], row["nll_scaled"])
    assert nulls == (None,) * 5
    assert row["ece_scaled"] is not None
    assert row["n_left_out"] == (store.samples("data")["label"] > 2).sum()


def test_classwise_error_needs_logits_and_single_labels(tmp_path):
    store = random_store(tmp_path / "s", n_samples=200, failed=(7,))
    logits, labels, _ = stored(store)
    kept = np.arange(200) != 7
    p = softmax(logits[kept], axis=1)
    expected = [
        in_bins(p[:, k], labels[kept] == k, 15).expected_calibration_error for k in range(5)
    ]
    found = analysis.run("calibration", store)["classwise_ece"].item()
    assert found == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_head_that_only_the_shift_has_says_why_it_is_not_scaled(tmp_path):
    store = random_store(tmp_path / "s", datasets=("data", "shift"))
    weights = np.eye(5, 8, dtype=np.float32)
    head = Head(store.dataset("shift").class_ids, weights, scale=1.0, normalize=False)
    save_head(store, "model", "late", head)
    apply_head(store, "model", "shift", "late")
    (row,) = analysis.run("calibration", store, id_dataset="data", heads="late").to_dicts()
    assert row["note"] == (
        "not scaled, since nothing of this head is stored on data, where temperatures are fitted"
    )
    assert row["ece"] is not None


def test_reliability_has_bins_before_and_after(tmp_path):
    store = random_store(tmp_path / "s", n_samples=300)
    bins = analysis.run("reliability", store, n_bins=10)
    (row,) = analysis.run("calibration", store, n_bins=10).to_dicts()
    assert bins["bin"].to_list() == [*range(10), *range(10)]
    counts = bins.group_by("scaled", maintain_order=True).agg(pl.col("n_samples").sum())
    assert counts.rows() == [(False, 300), (True, row["n_scaled"])]
    after = bins.filter("scaled")
    gaps = ((after["accuracy"] - after["confidence"]).abs() * after["n_samples"]).sum()
    assert gaps / row["n_scaled"] == pytest.approx(row["ece_scaled"], abs=1e-12)
    assert after["temperature"].unique().to_list() == [row["temperature"]]
    empty = bins.filter(n_samples=0)
    assert empty.height
    assert empty["accuracy"].null_count() == empty["accuracy_low"].null_count() == empty.height
