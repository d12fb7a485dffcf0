"""Residuals: published claims, a store's models among published ones, the line called directly."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy.special import ndtr, ndtri

from cli import main
from embedstore import Store, analysis, published
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.published.datasets import FACTORS
from embedstore.schema.across import RESIDUALS
from embedstore.stats.lines import robust_line
from embedstore.testing.simulate import DATASET, add_shift, simulate_store
from embedstore.testing.stores import random_store

TOP1 = "accuracy.top1_accuracy?dataset="
IMAGENET, SHIFT = f"{TOP1}imagenet-val", f"{TOP1}imagenet-a"
CLIP = "resnet50_clip_zeroshot"
ABOVE = {"background", "color", "smaller", "subcategory", "texture", "larger"}
BELOW = {"pose", "pattern", "shape", "partial_view"}


def residuals(store: Store, **options) -> pl.DataFrame:
    found = analysis.run("residuals", store, **options)
    assert found.schema == dict(RESIDUALS)
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Store:
    return Store.open(tmp_path_factory.mktemp("empty") / "s", create=True)


@pytest.mark.parametrize("factor", sorted(ABOVE | BELOW))
def test_clip_resnet50_and_the_line_of_the_testbeds_baselines(empty, factor):
    words = ["--published", "imagenet-testbed", "--fit", "baseline", "--others"]
    words += ["--x", "factors.overall_accuracy", "--y", f"factors.accuracy?factor={factor}"]
    line = ["analyze", "residuals", str(empty.files.root), *words, "--format", "json"]
    done = CliRunner().invoke(main, line, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert len(rows) == 335
    row = rows[CLIP]
    assert (row["group"], row["fit"], row["n_fit"]) == ("zero-shot", "baseline", 333)
    assert (row["residual"] > 0) == (factor in ABOVE)
    counts = FACTORS["top"]
    both = np.array([(r["x"], r["y"]) for r in rows.values() if r["group"] == "baseline"])
    xs, ys = (
        ndtri(np.clip(v, 1 / (2 * n), 1 - 1 / (2 * n)))
        for v, n in zip(both.T, (46_110, counts[factor]), strict=True)
    )
    expected = ndtr(robust_line(xs, ys).at(ndtri(row["x"])))
    assert row["expected"] == pytest.approx(expected, rel=1e-9)


def own_store(path, say, **accuracies: tuple[float, float]) -> Store:
    """A store of models with accuracies on 1,000 pictures of ImageNet and 500 of ImageNet-A."""
    store = random_store(path, models=(), datasets=("imagenet-val",), n_samples=1_000)
    random_store(path, models=(), datasets=("imagenet-a",), n_samples=500)
    for model, (x, y) in accuracies.items():
        for dataset, n, share in (("imagenet-val", 1_000, x), ("imagenet-a", 500, y)):
            right = round(share * n)
            say(store, model, [True] * right + [False] * (n - right), dataset=dataset)
    return store


@pytest.fixture(scope="module")
def mine(tmp_path_factory, say) -> Store:
    path = tmp_path_factory.mktemp("mine") / "s"
    return own_store(path, say, low=(0.7, 0.1), usual=(0.7, 0.4), high=(0.7, 0.9), worst=(0.3, 0))


def shifted(source: str) -> pl.DataFrame:
    table = (
        published.results(source).filter(column="top1_accuracy").filter(pl.col("space").is_null())
    )
    columns = ("model", "group", "value")
    clean, other = (table.filter(dataset=d).select(columns) for d in ("imagenet-val", "imagenet-a"))
    return clean.join(other.drop("group"), "model")


@pytest.mark.parametrize(("source", "fit"), [("open_clip", "all"), ("timm", "imagenet")])
def test_a_stores_models_among_published_ones(mine, source, fit):
    found = residuals(mine, x=IMAGENET, y=SHIFT, published=source, fit=fit)
    points = shifted(source)
    points = points if fit == "all" else points.filter(group=fit)
    xs, ys = (ndtri(points[c].to_numpy()) for c in ("value", "value_right"))
    line = robust_line(xs, ys)
    errors = line.residuals(xs, ys)
    assert set(found["model"]) == {"low", "usual", "high", "worst"}
    for row in found.to_dicts():
        assert (row["source"], row["fit_source"], row["n_fit"]) == ("store", source, len(xs))
        place, height = ndtri(row["x"]), ndtri(max(row["y"], 1 / 1_000))
        low, high = (float(bound[0]) for bound in line.prediction_interval([place]))
        assert row["expected"] == pytest.approx(ndtr(line.at(place)), rel=1e-9)
        assert row["residual"] == pytest.approx(row["y"] - row["expected"], abs=1e-12)
        bounds = row["expected_low"], row["expected_high"]
        assert bounds == pytest.approx((ndtr(low), ndtr(high)), rel=1e-9)
        assert row["inside"] == (low <= height <= high)
        assert row["quantile"] == (errors < height - line.at(place)).mean()
    assert found["residual"].is_sorted(descending=True)


def test_a_placed_model_has_no_say_in_the_line(mine, tmp_path, say):
    other = own_store(tmp_path / "s", say, odd=(0.9, 0.001))
    asked = {"x": IMAGENET, "y": SHIFT, "published": "open_clip", "others": True}
    tables = [
        residuals(store, **asked).filter(source="open_clip").drop("fit_source")
        for store in (mine, other)
    ]
    assert tables[0].height == 121
    assert tables[0].equals(tables[1])
    assert set(residuals(other, **asked)["source"]) == {"store", "open_clip"}


def test_with_nothing_to_place_published_models_are_shown(empty, mine):
    asked = {"x": IMAGENET, "y": SHIFT, "published": "timm"}
    shown = residuals(empty, **asked, fit="imagenet")
    assert (shown.height, shown["n_fit"].unique().to_list()) == (1_555, [83])  # one lacks either
    quantiles = shown.filter(group="imagenet")["quantile"].sort()
    np.testing.assert_allclose(quantiles, np.arange(83) / 83)
    assert shown["inside"].null_count() == 0
    assert residuals(mine, **asked, models="nobody").height == 1_555
    assert residuals(mine, **asked, models="u*").height == 1


@pytest.mark.parametrize("direction", ["clean", "top1"])
def test_a_users_table_and_what_its_columns_are_in_the_store(mine, tmp_path, direction):
    random = np.random.default_rng(0)
    x = random.uniform(0.3, 0.9, 30)
    y = ndtr(0.9 * ndtri(x) - 1 + 0.1 * random.normal(size=30))
    path = tmp_path / "theirs.csv"
    frame = pl.DataFrame({"name": [f"net-{i}" for i in range(30)], direction: x, "a": y})
    frame.with_columns(family=pl.Series(["cnn", "vit"] * 15)).write_csv(path)
    asked = {"x": f"{direction}={IMAGENET}", "y": f"a={SHIFT}", "table": str(path)}
    found = residuals(mine, **asked)
    line = robust_line(ndtri(x), ndtri(y))
    assert found["n_fit"].unique().to_list() == [30]
    row = found.row(by_predicate=pl.col("model") == "usual", named=True)
    assert row["expected"] == pytest.approx(ndtr(line.at(ndtri(0.7))), rel=1e-9)
    assert row["x_metric"] == asked["x"]
    of_family = residuals(mine, **asked, group="family", fit="vit")
    line = robust_line(ndtri(x[1::2]), ndtri(y[1::2]))
    row = of_family.row(by_predicate=pl.col("model") == "usual", named=True)
    assert row["expected"] == pytest.approx(ndtr(line.at(ndtri(0.7))), rel=1e-9)
    assert (row["n_fit"], row["group"]) == (15, "other")
    theirs = residuals(mine, x=direction, y="a", table=str(path))
    assert (theirs.height, set(theirs["source"])) == (30, {str(path)})
    with pytest.raises(EmbedStoreError, match="one alone says what it is in the store; write both"):
        residuals(mine, x=asked["x"], y="a", table=str(path))
    with pytest.raises(
        UnknownNameError, match="family of the models 'rnn'; choose one of: all, cnn, v"
    ):
        residuals(mine, **asked, group="family", fit="rnn")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "s"
    groups = {"imagenet": 20, "zero-shot": 8}
    sim = simulate_store(path, groups=groups, n_samples=20_000, spread=1.0, seed=4)
    gains = {"zero-shot": 0.05}
    add_shift(sim, "v2", slope=0.9, intercept=-0.4, robustness=gains, n_samples=20_000)
    return sim


def test_planted_effective_robustness_within_a_store(planted):
    asked = {"x": TOP1 + DATASET, "y": f"{TOP1}v2", "fit": "imagenet"}
    found = residuals(planted.store, **asked)
    assert found["n_fit"].unique().to_list() == [20]
    others = found.filter(group="zero-shot")
    assert others.height == 8
    assert (others["residual"] - 0.05).abs().max() < 0.02
    assert others["inside"].to_list() == [False] * 8
    assert others["quantile"].to_list() == [1.0] * 8
    baselines = found.filter(group="imagenet")
    assert baselines["inside"].mean() >= 0.8
    np.testing.assert_allclose(baselines["quantile"].sort(), np.arange(20) / 20)


def test_a_line_through_two_models_has_no_interval(planted):
    asked = {"x": TOP1 + DATASET, "y": f"{TOP1}v2", "models": "model-00[12]"}
    found = residuals(planted.store, **asked)
    assert found["n_fit"].to_list() == [2, 2]
    np.testing.assert_allclose(found["residual"], 0, atol=1e-9)
    bounds = found.select("expected_low", "expected_high", "inside")
    assert bounds.null_count().row(0) == (2, 2, 2)
    with pytest.raises(EmbedStoreError, match="1 model has both values, so no line can be fitted"):
        residuals(planted.store, **(asked | {"models": "model-001"}))


def test_the_linear_axis(planted):
    asked = {"x": TOP1 + DATASET, "y": f"{TOP1}v2", "axis": "linear", "fit": "imagenet"}
    found = residuals(planted.store, **asked)
    fitted = found.filter(group="imagenet")
    line = robust_line(fitted["x"], fitted["y"])
    np.testing.assert_allclose(found["residual"], line.residuals(found["x"], found["y"]), atol=1e-9)
    low, high = line.prediction_interval(found["x"])
    np.testing.assert_allclose(found["expected_low"], low)
    np.testing.assert_allclose(found["expected_high"], high)


def test_models_that_lack_either_have_no_row(mine, tmp_path, say):
    store = own_store(tmp_path / "s", say, both=(0.6, 0.3))
    say(store, "lone", [True] * 1_000, dataset="imagenet-val")
    found = residuals(store, x=IMAGENET, y=SHIFT, published="open_clip")
    assert found["model"].to_list() == ["both"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "lmm"}, "unknown group of the models 'lmm'; choose one of: all, imagenet, zero-s"),
        ({"fit": "a", "group": "family"}, "unknown fact to group models by 'family'; choose"),
        ({"published": "timm", "table": "t"}, "both --published and --table are given; choose one"),
        ({"models": "nobody"}, "0 models have both values, so no line can be fitted; choose at le"),
        ({"published": "timm"}, r"timm has no accuracy.*dataset=simulated; it has, among others"),
    ],
)
def test_what_is_refused(planted, options, message):
    with pytest.raises(EmbedStoreError, match=message):
        residuals(planted.store, x=TOP1 + DATASET, y=f"{TOP1}v2", **options)


def test_groups_to_fit_are_those_of_the_models_of_the_line(mine):
    with pytest.raises(UnknownNameError, match="'imagenet'; choose one of: all, other, zero-shot$"):
        residuals(mine, x=IMAGENET, y=SHIFT, published="open_clip", fit="imagenet")
