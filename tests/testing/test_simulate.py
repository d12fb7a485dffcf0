"""What simulated stores plant comes out of them again, within sampling error."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, ndtri

from embedstore import analysis, schema, zoo
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.kernels.outcomes import outcomes as outcomes_of
from embedstore.labels import class_map
from embedstore.stats.delong import delong
from embedstore.stats.effective_robustness import baseline_line
from embedstore.testing.simulate import (
    DATASET,
    EFFECTS,
    Design,
    add_cue_conflict,
    add_out_of_distribution,
    add_shift,
    simulate_store,
)

OOD, CUES = "out-of-distribution", "cue-conflict"
SIGMAS = 4.5  # of a few dozen comparisons, one in some thousand runs would fail by chance


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "s"
    return simulate_store(path, n_models=5, n_samples=8_000, sharpness=1.6, spread=1.0, seed=11)


@pytest.mark.parametrize("sharpness", [1.0, 1.6])
def test_outcomes_are_those_of_two_logits(tmp_path, sharpness):
    sim = simulate_store(tmp_path / "s", n_samples=400, spread=2.0, sharpness=sharpness)
    for i, model in enumerate(sim.store.models):
        said = sim.store.outcomes(model).collect()
        z = sharpness * (sim.skill[i] + sim.ease)
        sure = z > 0  # below, the prediction is not the greater of the two
        logits = np.stack([z, np.zeros_like(z)], axis=1).astype(np.float32)
        theirs = outcomes_of(logits, np.where(said["correct"], 0, 1))
        same = ["nll", "brier", "energy", "entropy"]
        for column in [*same, "confidence", "max_logit", "margin"]:
            rows = slice(None) if column in same else sure
            found = said[column].to_numpy()[rows]
            np.testing.assert_allclose(found, getattr(theirs, column)[rows], rtol=1e-5, atol=1e-6)


def test_certain_samples_have_finite_outcomes(tmp_path):
    sim = simulate_store(tmp_path / "s", spread=400.0, sharpness=2.0)
    said = sim.store.outcomes().select(*schema.OUTCOMES).collect()
    assert said.select(pl.selectors.float().is_finite().all()).row(0) == (True,) * 7
    assert said["entropy"].min() == 0.0


def test_accuracies(planted):
    found = analysis.run("accuracy", planted.store, datasets=DATASET)["top1_accuracy"].to_numpy()
    deviation = np.sqrt(planted.accuracies * (1 - planted.accuracies) / 8_000)
    assert (np.abs(found - planted.accuracies) < SIGMAS * deviation).all()
    np.testing.assert_allclose(planted.probabilities.mean(axis=1), planted.accuracies)


@pytest.mark.parametrize(("sharpness", "n_bins"), [(0.6, 15), (1.6, 15), (3.0, 10)])
def test_expected_calibration_errors(tmp_path, sharpness, n_bins):
    sizes = {"n_models": 4, "n_samples": 40_000, "spread": 1.0}
    sim = simulate_store(tmp_path / "s", sharpness=sharpness, seed=5, **sizes)
    found = analysis.run("calibration", sim.store, n_bins=n_bins)["ece"].to_numpy()
    truth = sim.calibration_errors(n_bins)
    assert (truth > 0.02).all()
    for p, ece, true in zip(sim.probabilities, found, truth, strict=True):
        # each bin's hits vary independently: the errors differ by at most their mean deviation
        confidence = expit(sharpness * np.log(p / (1 - p)))
        variance, _ = np.histogram(confidence, n_bins, (0, 1), weights=p * (1 - p))
        most = np.sqrt(2 / np.pi) * np.sqrt(variance).sum() + SIGMAS * np.sqrt(variance.sum())
        assert abs(ece - true) < most / 40_000
        assert most / 40_000 < 0.02


def test_the_expected_error_is_the_mean_of_many_drawn_ones(tmp_path):
    """Exact over logits: the same samples, labelled 200 times each, come to it without any bias."""
    sim = simulate_store(tmp_path / "s", n_models=1, spread=1.0, sharpness=2.0, seed=2)
    (p,) = sim.probabilities
    hits = np.random.default_rng(0).binomial(20_000, p) / 20_000
    confidence = expit(2.0 * (sim.skill[0] + sim.ease))
    place = np.minimum((confidence * 15).astype(int), 14)
    gaps = [(hits - confidence)[place == b].sum() for b in range(15)]
    assert sim.calibration_errors()[0] == pytest.approx(np.abs(gaps).sum() / 1_000, abs=1e-3)


def test_a_calibrated_store_has_no_expected_error(tmp_path):
    sim = simulate_store(tmp_path / "s", n_samples=8_000, seed=1)
    np.testing.assert_allclose(sim.calibration_errors(), 0.0, atol=1e-12)
    found = analysis.run("calibration", sim.store)
    assert (found["debiased_ece"] < 0.02).all()


def test_aurocs_of_every_score(tmp_path):
    sim = simulate_store(tmp_path / "s", n_models=5, n_samples=4_000, spread=1.0, seed=4)
    distances = [0.0, 0.5, 1.0, 2.0, 3.5]
    truth = add_out_of_distribution(sim, separation=distances, n_samples=3_000)
    np.testing.assert_allclose(ndtri(truth) * np.sqrt(2), distances, atol=1e-12)
    for model, auroc in zip(sim.store.models, truth, strict=True):
        inside, outside = (sim.store.outcomes(model, d).collect() for d in (DATASET, OOD))
        assert outside["correct"].null_count() == outside["nll"].null_count() == 3_000
        for score in ("max_logit", "confidence", "energy"):
            areas = delong(inside[score].to_numpy(), outside[score].to_numpy())
            deviation = np.sqrt(areas.covariance[0, 0])
            assert abs(areas.auroc[0] - auroc) < SIGMAS * deviation < 0.04


def test_scores_that_tie_are_refused(tmp_path):
    sim = simulate_store(tmp_path / "s")
    with pytest.raises(EmbedStoreError, match="tie, .* simulate the store with a spread above 0"):
        add_out_of_distribution(sim)


@pytest.mark.parametrize("protocol", ["names-16", "imagenet-1000"])
def test_shape_biases(tmp_path, protocol):
    sim = simulate_store(tmp_path / "s", n_models=4)
    truth = add_cue_conflict(sim, shape_bias=[0.1, 0.3, 0.6, 0.9], decided=0.8, protocol=protocol)
    found = analysis.run("shape-bias", sim.store)
    assert found["model"].to_list() == sim.store.models
    for row, bias in zip(found.to_dicts(), truth, strict=True):
        assert (row["protocol"], row["n_conflict"], row["n_ties"]) == (protocol, 1_200, None)
        n_decided = row["shape_decisions"] + row["texture_decisions"]
        assert abs(n_decided / 1_200 - 0.8) < SIGMAS * np.sqrt(0.8 * 0.2 / 1_200)
        deviation = np.sqrt(bias * (1 - bias) / n_decided)
        assert abs(row["shape_bias"] - bias) < SIGMAS * deviation


def test_cue_conflict_pictures_are_laid_out_as_published(tmp_path):
    sim = simulate_store(tmp_path / "s", n_models=1)
    assert add_cue_conflict(sim, shape_bias=1.0, decided=0.0).tolist() == [1.0]
    samples = sim.store.samples(CUES)
    pairs = samples.group_by("shape", "texture").len()
    assert samples["sample_id"].n_unique() == 1_280
    assert set(samples["shape"]) == set(class_map("cue-conflict").members)
    assert (pairs.height, set(pairs["len"])) == (256, {5})
    assert samples.filter(shape=pl.col("texture")).height == 80
    named = pl.Series(sim.store.dataset(CUES).class_ids).gather(
        sim.store.outcomes("*", CUES).collect()["prediction"]
    )
    assert not ((named == samples["shape"]) | (named == samples["texture"])).any()
    assert named.n_unique() == 16


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    path = tmp_path_factory.mktemp("shifted") / "s"
    groups = {"imagenet": 40, "zero-shot": 12}
    sim = simulate_store(path, n_samples=5_000, spread=1.0, groups=groups, seed=9)
    lines = {"v2": (1.0, -0.3), "sketch": (0.8, -0.9)}
    truth = {
        name: add_shift(
            sim, name, slope=s, intercept=i, robustness={"zero-shot": 0.06}, n_samples=5_000
        )
        for name, (s, i) in lines.items()
    }
    return sim, lines, truth


def accuracies(store, dataset, models=None):
    found = analysis.run("accuracy", store, datasets=dataset).sort("model")
    return found["top1_accuracy"].to_numpy()[slice(None) if models is None else models]


@pytest.mark.parametrize("name", ["v2", "sketch"])
def test_accuracies_under_a_shift(shifted, name):
    sim, _, truth = shifted
    found, expected = accuracies(sim.store, name), truth[name]
    assert (np.abs(found - expected) < SIGMAS * np.sqrt(expected * (1 - expected) / 5_000)).all()


@pytest.mark.parametrize("name", ["v2", "sketch"])
def test_lines_of_the_baselines_and_effective_robustness(shifted, name):
    sim, lines, _ = shifted
    slope, intercept = lines[name]
    baselines = [
        zoo.find(sim.store.model(model).spec)["group"] == "imagenet" for model in sim.store.models
    ]
    assert sum(baselines) == 40
    x, y = accuracies(sim.store, DATASET), accuracies(sim.store, name)
    fit = baseline_line(x[baselines], y[baselines])
    (v00, _), (_, v11) = fit.line.covariance
    assert abs(fit.line.slope - slope) < SIGMAS * np.sqrt(v11) < 0.15
    assert abs(fit.line.intercept - intercept) < SIGMAS * np.sqrt(v00) < 0.15
    assert fit.line.r2 > 0.98
    gains = fit.effective_robustness(x, y)
    assert gains[baselines].mean() == pytest.approx(0.0, abs=0.005)
    others = gains[~np.array(baselines)]
    assert others.mean() == pytest.approx(0.06, abs=SIGMAS * 0.007 / np.sqrt(12) + 0.005)


def test_models_of_the_zoo_bear_its_facts(shifted):
    sim, _, _ = shifted
    for model, group in zip(sim.store.models, sim.groups, strict=True):
        record = sim.store.model(model)
        row = zoo.find(record.spec)
        assert row["group"] == group
        for factor, value in record.factors.items():
            assert row[factor] == value
        assert record.factors["training_distribution"]


def test_accuracies_that_cannot_be_are_refused(shifted, tmp_path):
    sim, _, _ = shifted
    with pytest.raises(EmbedStoreError, match=r"'odd' would run from .* give less effective"):
        add_shift(sim, "odd", robustness={"imagenet": 0.5})
    assert "odd" not in sim.store.datasets
    with pytest.raises(EmbedStoreError, match="has 63 models and not 64; ask for no more"):
        simulate_store(tmp_path / "s", groups={"imagenet": 64})
    with pytest.raises(UnknownNameError, match="group of the zoo 'supervised'; choose one of"):
        simulate_store(tmp_path / "s", groups={"supervised": 1})
    with pytest.raises(EmbedStoreError, match="give either groups or design"):
        simulate_store(tmp_path / "s", groups={"imagenet": 2}, design=Design())


def test_effects_of_the_factors_of_design(tmp_path):
    """Least squares on indicators of the factors' values, from the store alone."""
    sim = simulate_store(tmp_path / "s", n_models=200, n_samples=2_000, design=Design(), seed=6)
    assert set(EFFECTS) <= set(schema.FACTORS)
    drawn = [sim.store.model(model).factors for model in sim.store.models]
    columns, truth = [np.ones(200)], [0.0]
    for factor, effects in EFFECTS.items():
        first, *others = effects
        for value in others:
            columns.append(np.array([factors[factor] == value for factors in drawn], float))
            truth.append(effects[value] - effects[first])
    X, y = np.stack(columns, axis=1), ndtri(accuracies(sim.store, DATASET))
    found, (squares,), rank, _ = np.linalg.lstsq(X, y)
    assert rank == X.shape[1]
    deviations = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * squares / (200 - rank))
    assert (np.abs(found - truth) < SIGMAS * deviations).all()
    assert (SIGMAS * deviations < 0.08).all()
    # samples' chance adds to the planted noise of .05
    assert np.sqrt(squares / (200 - rank)) == pytest.approx(0.06, abs=0.01)


def test_a_design_without_noise_plants_its_probits_exactly(tmp_path):
    effects = {"architecture": {"RN": -0.4, "ViT": 0.7}}
    design = Design(effects, intercept=0.2, noise=0.0)
    sim = simulate_store(tmp_path / "s", n_models=12, spread=1.0, design=design)
    drawn = [sim.store.model(model).factors["architecture"] for model in sim.store.models]
    assert set(drawn) == {"RN", "ViT"}
    expected = [0.2 + effects["architecture"][value] for value in drawn]
    np.testing.assert_allclose(ndtri(sim.accuracies), expected, atol=1e-9)


def test_the_same_seed_makes_the_same_data_sets_and_another_does_not(tmp_path):
    tables = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        sim = simulate_store(tmp_path / folder, n_models=2, n_samples=100, spread=1.0, seed=seed)
        add_cue_conflict(sim)
        add_shift(sim, "v2", n_samples=100)
        add_out_of_distribution(sim, n_samples=100)
        tables.append(sim.store.outcomes("model-001").select("dataset", *schema.OUTCOMES).collect())
    assert tables[0].equals(tables[1])
    for dataset in (DATASET, "v2", OOD, CUES):
        one, other = (t.filter(pl.col("dataset") == dataset) for t in (tables[0], tables[2]))
        assert not one.equals(other)
