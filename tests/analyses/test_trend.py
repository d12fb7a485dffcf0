"""Trends: published values through the command, statsmodels called directly, planted slopes."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from click.testing import CliRunner
from polars.testing import assert_frame_equal
from scipy.special import ndtri

from cli import main
from embedstore import Store, analysis, published
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.schema.across import TREND
from embedstore.stats.axes import to_axis
from embedstore.stats.trend_intervals import trend_intervals
from embedstore.testing.simulate import DATASET, add_shift, simulate_store
from embedstore.testing.stores import random_store

TOP1 = "accuracy.top1_accuracy?dataset="
IMAGENET = f"{TOP1}imagenet-val"
RECALL = "retrieval.recall?dataset=coco-karpathy&k=1&direction="


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Store:
    return Store.open(tmp_path_factory.mktemp("empty") / "s", create=True)


def call(store: Store, *words: str) -> pl.DataFrame:
    few = ("--n-resamples", "100", "--format", "json")
    line = ["analyze", "trend", str(store.files.root), *words, *few]
    done = CliRunner().invoke(main, line, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return pl.DataFrame(json.loads(done.stdout), schema=dict(TREND))


def tables(shared_data, *names: str) -> str:
    return ",".join(str(shared_data / "published" / f"{name}.csv") for name in names)


@pytest.mark.parametrize(
    ("dataset", "title", "r2"),
    [
        ("imagenet-v2-matched-frequency", "ImageNet v2", 0.99929381),
        ("imagenet-sketch", "ImageNet Sketch", 0.96887127),
        ("objectnet", "ObjectNet", 0.94717840),
        ("imagenet-r", "ImageNet-R", 0.94514380),
        ("imagenet-a", "ImageNet-A", 0.85287131),
    ],
)
def test_published_shifts_both_ways(empty, shared_data, dataset, title, r2):
    axis = ("--axis", "logit")
    shipped = call(empty, "--published", "open_clip", "--x", IMAGENET, "--y", TOP1 + dataset, *axis)
    files = tables(shared_data, "openclip_results")
    brought = call(empty, "--table", files, "--x", "ImageNet 1k", "--y", title, *axis)
    for found in (shipped, brought):
        row = found.row(0, named=True)
        assert (row["group"], row["n_models"], row["n_left_out"]) == ("all", 121, 0)
        assert (row["x_axis"], row["y_axis"]) == ("logit", "logit")
        assert row["r2"] == pytest.approx(r2, abs=5e-9)


@pytest.mark.parametrize(
    ("direction", "title", "spearman", "r2"),
    [
        ("text-to-image", "MSCOCO image retr. R@1", 0.93360701, 0.94432337),
        ("image-to-text", "MSCOCO text retr. R@1", 0.96361342, 0.96544814),
    ],
)
def test_published_retrieval_both_ways(empty, shared_data, direction, title, spearman, r2):
    recall = RECALL + direction
    shipped = call(empty, "--published", "open_clip", "--x", IMAGENET, "--y", recall)
    files = tables(shared_data, "openclip_results", "openclip_retrieval_results")
    brought = call(empty, "--table", files, "--x", "ImageNet 1k", "--y", title)
    for found in (shipped, brought):
        row = found.row(0, named=True)
        assert row["spearman"] == pytest.approx(spearman, abs=5e-9)
        assert row["r2"] == pytest.approx(r2, abs=5e-9)
        for name in ("slope", "r2", "spearman"):
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert shipped["source"].unique().to_list() == ["open_clip"]
    assert brought["source"].unique().to_list() == [files]
    numbers = [c for c in TREND if TREND[c].is_numeric() and not c.endswith(("_low", "_high"))]
    assert_frame_equal(shipped.select(numbers), brought.select(numbers))


@pytest.mark.parametrize("axis", ["probit", "logit", "linear"])
def test_the_line_is_statsmodels(empty, axis):
    y = f"{TOP1}imagenet-a"
    found = analysis.run(
        "trend", empty, x=IMAGENET, y=y, axis=axis, published="open_clip", n_resamples=9
    )
    table = published.results("open_clip").filter(column="top1_accuracy")
    both = table.filter(dataset="imagenet-val").join(table.filter(dataset="imagenet-a"), "model")
    groups = both.with_columns(pl.col("group").fill_null("other"))
    assert found["group"].to_list() == ["all", "other", "zero-shot"]
    for row in found.to_dicts():
        part = groups if row["group"] == "all" else groups.filter(group=row["group"])
        xs, ys = (to_axis(part[c], axis)[0] for c in ("value", "value_right"))
        norm = sm.robust.norms.HuberT(1.345)
        direct = sm.RLM(ys, sm.add_constant(xs), M=norm).fit(scale_est="mad", maxiter=200)
        assert row["n_models"] == part.height
        assert (row["intercept"], row["slope"]) == pytest.approx(tuple(direct.params), rel=1e-8)
        assert row["scale"] == pytest.approx(direct.scale, rel=1e-8)
        assert row["r2"] == pytest.approx(np.corrcoef(xs, ys)[0, 1] ** 2, rel=1e-10)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Thirty classifiers and ten CLIP models on a line of slope .8, the latter .06 above it."""
    path = tmp_path_factory.mktemp("planted") / "s"
    groups = {"imagenet": 30, "zero-shot": 10}
    sim = simulate_store(path, groups=groups, n_samples=4_000, spread=1.0, seed=2)
    gains = {"zero-shot": 0.06}
    add_shift(sim, "v2", slope=0.8, intercept=-0.3, robustness=gains, n_samples=4_000)
    return sim


def trend(store: Store, x: str = DATASET, y: str = "v2", **options) -> pl.DataFrame:
    found = analysis.run("trend", store, x=TOP1 + x, y=TOP1 + y, **options)
    assert found.schema == dict(TREND)
    return found


def test_a_planted_line_is_recovered(planted):
    found = trend(planted.store)
    assert found["group"].to_list() == ["all", "imagenet", "zero-shot"]
    assert found["n_models"].to_list() == [40, 30, 10]
    row = found.row(1, named=True)
    assert row["slope_low"] < 0.8 < row["slope_high"]
    assert row["slope_high"] - row["slope_low"] < 0.1
    assert row["intercept"] == pytest.approx(-0.3, abs=0.03)
    assert row["r2"] > 0.99
    assert row["note"] is None


def test_intervals_are_those_of_resampled_models(planted):
    found = trend(planted.store, n_resamples=300, seed=5)
    accuracies = [
        analysis.run("accuracy", planted.store, datasets=d)["top1_accuracy"].to_numpy()
        for d in (DATASET, "v2")
    ]
    for row, rows in zip(found.to_dicts(), (slice(None), slice(30), slice(30, None)), strict=True):
        xs, ys = (ndtri(a[rows]) for a in accuracies)
        bounds = trend_intervals(xs, ys, n_resamples=300, seed=5)
        for name in ("slope", "r2", "spearman"):
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            assert (low, high) == pytest.approx(bounds[name], rel=1e-9)


def test_intervals_are_seeded(planted):
    tables = [
        analysis.run(
            "trend", planted.store, refresh=True, x=TOP1 + DATASET, y=f"{TOP1}v2", seed=seed
        )
        for seed in (0, 0, 1)
    ]
    assert tables[0].equals(tables[1])
    assert (tables[0]["slope_low"] != tables[2]["slope_low"]).all()
    assert tables[0]["slope"].equals(tables[2]["slope"])


def test_groups_by_a_factor_of_design(planted):
    found = trend(planted.store, group="architecture")
    families = {planted.store.model(m).factors["architecture"] for m in planted.store.models}
    assert found["group"].to_list() == ["all", *sorted(families)]
    assert found["n_models"][1:].sum() == found["n_models"][0] == 40
    with pytest.raises(UnknownNameError, match="group models by 'family'; choose one of: archi"):
        trend(planted.store, group="family")


def test_groups_of_two_points_and_of_one(tmp_path):
    groups = {"imagenet": 4, "zero-shot": 2, "clip-ft": 1}
    sim = simulate_store(tmp_path / "s", groups=groups, n_samples=500, spread=1.0)
    add_shift(sim, "v2", intercept=-0.3)
    rows = trend(sim.store).rows_by_key("group", named=True, unique=True)
    two, one = rows["zero-shot"], rows["clip-ft"]
    xs, ys = (
        ndtri(analysis.run("accuracy", sim.store, datasets=d)["top1_accuracy"].to_numpy()[4:6])
        for d in (DATASET, "v2")
    )
    assert two["slope"] == pytest.approx((ys[1] - ys[0]) / (xs[1] - xs[0]), rel=1e-9)
    assert (two["n_models"], two["slope_low"], two["slope_high"]) == (2, None, None)
    assert two["note"] == "2 models are too few for an interval"
    assert (one["n_models"], one["slope"], one["r2"]) == (1, None, None)
    assert one["note"].startswith("1 model has both values, so no line can be fitted; choose")
    assert rows["imagenet"]["note"] is None


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("model-000", "^1 model has both values, so no line can be fitted; choose at least 2 mod"),
        ("clip*", r"^no model has accuracy.top1_accuracy\?dataset=simulated; choose another --x"),
    ],
)
def test_too_few_models(planted, models, message):
    with pytest.raises(EmbedStoreError, match=message):
        trend(planted.store, models=models)


def test_no_figure_at_all(planted, empty):
    with pytest.raises(EmbedStoreError, match=r"^no model has .*=sketch; choose another --y"):
        trend(planted.store, y="sketch")
    with pytest.raises(EmbedStoreError, match="^no model has .*; choose another --x"):
        trend(empty)


def test_the_same_metric_twice_and_models_of_one_accuracy(tmp_path, planted, say):
    (row, *_) = trend(planted.store, y=DATASET).to_dicts()
    assert (row["slope"], row["intercept"]) == pytest.approx((1, 0), abs=1e-12)
    assert row["r2"] == pytest.approx(1)
    store = random_store(tmp_path / "s", models=(), datasets=("a", "b"), n_samples=4)
    for model, n in (("p", 1), ("q", 3)):
        say(store, model, [True, True, False, False], dataset="a")
        say(store, model, [True] * n + [False] * (4 - n), dataset="b")
    with pytest.raises(EmbedStoreError, match=r"all 2 models have the same x \(0\), so no line"):
        trend(store, "a", "b")


def test_published_models_are_chosen_by_globs_too(empty):
    found = trend(empty, "imagenet-val", "imagenet-a", published="open_clip", models="RN*,ViT-B*")
    names = published.results("open_clip")["model"].unique()
    assert found["n_models"][0] == names.str.contains("^(RN|ViT-B)").sum()


def ends(tmp_path, say) -> Store:
    store = random_store(tmp_path / "s", models=(), datasets=("a", "b"), n_samples=10)
    for model, (x, y) in {"p": (0, 1), "q": (5, 4), "r": (7, 6), "s": (10, 10)}.items():
        for dataset, n in (("a", x), ("b", y)):
            say(store, model, [True] * n + [False] * (10 - n), dataset=dataset)
    say(store, "lone", [True] * 10, dataset="a")
    return store


def test_accuracies_of_0_and_1_are_clipped_and_counted(tmp_path, say):
    store = ends(tmp_path, say)
    (row,) = trend(store, "a", "b").to_dicts()
    xs, ys = ndtri([0.05, 0.5, 0.7, 0.95]), ndtri([0.1, 0.4, 0.6, 0.95])
    direct = sm.RLM(ys, sm.add_constant(xs), M=sm.robust.norms.HuberT(1.345))
    params = direct.fit(scale_est="mad", maxiter=200).params
    assert (row["intercept"], row["slope"]) == pytest.approx(tuple(params), rel=1e-8)
    assert (row["n_models"], row["n_clipped"], row["n_left_out"]) == (4, 2, 1)
    (linear,) = trend(store, "a", "b", axis="linear").to_dicts()
    assert linear["n_clipped"] == 0


def test_mixed_axes(planted):
    found = trend(planted.store, y_axis="linear", models="model-00*")
    assert found.select("x_axis", "y_axis").rows() == [("probit", "linear")]
    xs, ys = (
        analysis.run("accuracy", planted.store, datasets=d)["top1_accuracy"].to_numpy()[:10]
        for d in (DATASET, "v2")
    )
    assert found["r2"][0] == pytest.approx(np.corrcoef(ndtri(xs), ys)[0, 1] ** 2, rel=1e-9)


def test_a_table_with_ends_asks_of_how_many_samples(empty, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model,clean,shifted,family\na,0,0.1,x\nb,0.5,0.3,x\nc,0.8,1,y\nd,0.6,0.4,y\n")
    asked = {"x": "clean", "y": "shifted", "table": str(path)}
    with pytest.raises(EmbedStoreError, match="on the probit axis; say of how many: --n-samples"):
        analysis.run("trend", empty, **asked)
    found = analysis.run("trend", empty, **asked, n_samples=100, group="family")
    assert found["n_clipped"].to_list() == [2, 1, 1]
    assert found["group"].to_list() == ["all", "x", "y"]
    expected = (ndtri(0.3) - ndtri(0.1)) / (ndtri(0.5) - ndtri(0.005))
    assert found["slope"][1] == pytest.approx(expected, rel=1e-9)


def test_a_figure_that_is_no_proportion_needs_the_linear_axis(planted):
    ratio = {"x": TOP1 + DATASET, "y": "factors.error_ratio?factor=factor-00"}
    with pytest.raises(EmbedStoreError, match="is not a proportion; .* or use the linear axis"):
        analysis.run("trend", planted.store, **ratio)
    found = analysis.run("trend", planted.store, **ratio, y_axis="linear")
    assert found["slope"][0] > 0  # the fewer errors there are, the more of them are the factor's


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"published": "timm", "table": "t.csv"}, "both --published and --table are given; choose"),
        ({"published": "openclip"}, "unknown source of published results 'openclip'"),
        ({"axis": "log"}, "unknown axis 'log'; choose one of: linear, logit, probit"),
        ({"n_resamples": 0}, "0 resamples asked for; give 1 or more"),
        ({"seed": -1}, "the seed is -1; give 0 or more"),
        ({"table": "t.csv"}, "cannot read t.csv .*; check the path"),
    ],
)
def test_options_that_are_refused(planted, options, message):
    with pytest.raises(EmbedStoreError, match=message):
        trend(planted.store, **options)
