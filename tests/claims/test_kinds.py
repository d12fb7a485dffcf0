"""Kinds of tests on planted truths: each finds an effect, and its opposite, of the size planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from embedstore import analysis
from embedstore.claims.correlation import RankCorrelation
from embedstore.claims.evidence import Evidence, Models
from embedstore.claims.explained import FactorExplainsMore
from embedstore.claims.finding import Finding, Rule
from embedstore.claims.groups import Change, ShareExceeding
from embedstore.claims.lines import Expected, LinesExceeded
from embedstore.testing.simulate import DATASET, EFFECTS, Design, add_shift, simulate_store

TOP1 = "accuracy.top1_accuracy?dataset="
CLIPS = Models("CLIPs", {"group": ("zero-shot",)})
BASELINES = Models("baselines", {"group": ("imagenet",)})
ANY = Models("models")


def evidence(simulation, min_models: int = 5) -> Evidence:
    return Evidence(simulation.store, False, DATASET, min_models, 400, 0)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """Two groups; shifts that help CLIPs, that hurt them, and one that turns the order around."""
    path = tmp_path_factory.mktemp("shifted") / "s"
    simulation = simulate_store(
        path, groups={"zero-shot": 8, "imagenet": 20}, n_samples=4_000, sharpness=3.0
    )
    for name, gain in (("helps", 0.1), ("helps-too", 0.1), ("hurts", -0.1)):
        add_shift(simulation, name, intercept=-0.4, robustness={"zero-shot": gain}, n_samples=4_000)
    add_shift(simulation, "turned", slope=-1.0, n_samples=4_000)
    return simulation


def test_lines_exceeded_are_counted(shifted):
    lines = {n: Expected(f"{TOP1}{{id}}", TOP1 + n, BASELINES) for n in ("helps", "hurts")}
    more = lines | {"helps-too": Expected(f"{TOP1}{{id}}", f"{TOP1}helps-too", BASELINES)}
    found = LinesExceeded(more, CLIPS).find(evidence(shifted))
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)
    assert (found.n_models, found.n_least) == (28, 8)
    assert LinesExceeded(lines, CLIPS).find(evidence(shifted)).value == 1.0
    few = LinesExceeded(more, CLIPS).find(evidence(shifted, min_models=9))
    assert few.value == 2.0
    assert np.isnan(few.low)


@pytest.mark.parametrize(("dataset", "sign"), [("helps", 1), ("turned", -1)])
def test_rank_correlations(shifted, dataset, sign):
    found = RankCorrelation(f"{TOP1}{{id}}", TOP1 + dataset, BASELINES).find(evidence(shifted))
    tables = (analysis.run("accuracy", shifted.store, datasets=d) for d in (DATASET, dataset))
    x, y = (table["top1_accuracy"].to_numpy()[8:] for table in tables)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert found.value * sign > 0.9
    assert Rule("above").verdict(found, 5) == ("holds" if sign > 0 else "does not hold")
    assert found.p_value < 1e-6


def test_changes_of_the_same_models(shifted):
    falls = Change(f"{TOP1}{{id}}", f"{TOP1}hurts", CLIPS).find(evidence(shifted))
    rises = Change(f"{TOP1}hurts", f"{TOP1}{{id}}", CLIPS).find(evidence(shifted))
    assert falls.value == -rises.value < 0
    assert falls.p_value == pytest.approx(2 * 0.5**8)
    below = Rule("below")
    assert (below.verdict(falls, 5), below.verdict(rises, 5)) == ("holds", "does not hold")
    assert below.verdict(falls, 9) == "not enough models"


def test_shares_beyond_the_median_of_others(shifted):
    metric = "calibration.ece?dataset={id}&id_dataset=none"
    found = ShareExceeding(metric, CLIPS, BASELINES).find(evidence(shifted))
    table = analysis.run("calibration", shifted.store, datasets=DATASET, id_dataset="none")
    ece = table["ece"].to_numpy()
    assert found.value == np.mean(ece[:8] > np.median(ece[8:]))
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("larger", "verdict"), [("source", "holds"), ("size", "does not hold")])
def test_which_factor_explains_more(tmp_path, larger, verdict):
    source, size = (0.5, 0.05) if larger == "source" else (0.05, 0.5)
    effects = {
        **{factor: {next(iter(levels)): 0.0} for factor, levels in EFFECTS.items()},
        "training_distribution": {"WIT": 0.0, "LAION-2B": source},
        "training_samples": {10_000_000: 0.0, 1_000_000_000: size},
        "n_parameters": {86_000_000: 0.0},
        "resolution": {224: 0.0},
    }
    design = Design(effects, noise=0.02)
    simulation = simulate_store(tmp_path / "s", n_models=40, n_samples=4_000, design=design)
    more = FactorExplainsMore(
        f"{TOP1}{{id}}", "training_distribution", ANY, other_factor="training_size"
    )
    found = more.find(evidence(simulation))
    assert Rule("above").verdict(found, 5) == verdict
    of = analysis.run("design", simulation.store, metric=TOP1 + DATASET, n_resamples=400)
    drop = dict(of.select("factor", "drop_r2").iter_rows())
    difference = drop["training_distribution"] - drop["training_size"]
    assert found.value == pytest.approx(difference)


@pytest.mark.parametrize(
    ("direction", "low", "high", "p", "verdict"),
    [
        ("above", 0.1, 0.3, 0.5, "holds"),
        ("above", -0.1, 0.3, 0.01, "does not hold"),
        ("below", -0.3, -0.1, 0.5, "holds"),
        ("below", -0.3, 0.1, 0.01, "does not hold"),
        ("apart", -0.3, -0.1, 0.5, "holds"),
        ("apart", -0.1, 0.3, 0.5, "does not hold"),
        ("significant", -0.1, 0.3, 0.01, "holds"),
        ("significant", 0.1, 0.3, 0.05, "does not hold"),
        ("significant", 0.1, 0.3, float("nan"), "not enough models"),
        ("above", float("nan"), float("nan"), 0.01, "not enough models"),
    ],
)
def test_rules(direction, low, high, p, verdict):
    finding = Finding("mean", 0.1, 9, 5, "nine models", low, high, p)
    assert Rule(direction).verdict(finding, 5) == verdict
    assert Rule(direction).verdict(finding, 6) == "not enough models"
