"""Figures of models, asked of a store and of published results in the same words."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import analysis, zoo
from embedstore.across.facts import FACTS, facts_of_specs, stored_facts
from embedstore.across.figures import (
    FIGURES,
    published_figures,
    stored_figures,
    tabled_figures,
)
from embedstore.across.metrics import Metric
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.testing.simulate import add_shift, simulate_store
from embedstore.testing.stores import random_store

TOP1 = "accuracy.top1_accuracy"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three classifiers and two CLIP models of the zoo, over two data sets."""
    path = tmp_path_factory.mktemp("study") / "s"
    sim = simulate_store(path, groups={"imagenet": 3, "zero-shot": 2}, n_samples=300, spread=1.0)
    add_shift(sim, "v2", intercept=-0.4, n_samples=200)
    return sim


def figures(store, text: str, models: str = "*") -> pl.DataFrame:
    found = stored_figures(store, Metric.parse(text), models)
    assert found.schema == dict(FIGURES)
    return found


def test_a_column_of_an_analysis(study):
    found = figures(study.store, f"{TOP1}?dataset=v2")
    table = analysis.run("accuracy", study.store, datasets="v2")
    assert found["value"].to_list() == table["top1_accuracy"].to_list()
    assert found.select("source", "head", "n_samples").unique().rows() == [("store", "own", 200)]
    whole = figures(study.store, "accuracy.n_left_out?dataset=v2")
    assert whole["value"].to_list() == [0.0] * 5  # a whole number is a figure too


def test_facts_are_the_zoos(study):
    found = figures(study.store, f"{TOP1}?dataset=v2")
    assert found["group"].to_list() == list(study.groups)
    for row in found.to_dicts():
        known = zoo.find(study.store.model(row["model"]).spec)
        facts = {c: known[c] for c in FACTS if c != "prompts"}
        assert {c: row[c] for c in facts} == facts
    specs = [study.store.model(model).spec for model in found["model"]]
    of_specs = facts_of_specs([*specs, None, specs[0], "python:mine"])
    assert of_specs["spec"].to_list() == [*specs, "python:mine"]
    assert of_specs["group"].to_list() == [*study.groups, None]
    assert stored_facts(study.store, study.store.models)["group"].to_list() == list(study.groups)


def test_models_are_chosen_by_globs(study):
    assert figures(study.store, f"{TOP1}?dataset=v2", "*[12]")["model"].len() == 2
    several = figures(study.store, f"{TOP1}?dataset=v2", "model-000,*-004")
    assert several["model"].to_list() == ["model-000", "model-004"]


def test_parameters_are_passed_on(study):
    of_metric = figures(study.store, "calibration.ece?dataset=v2&n_bins=10&binning=equal-mass")
    table = analysis.run("calibration", study.store, datasets="v2", n_bins=10, binning="equal-mass")
    assert of_metric["value"].to_list() == table["ece"].to_list()
    default = figures(study.store, "calibration.ece?dataset=v2")
    assert of_metric["value"].to_list() != default["value"].to_list()


def test_a_parameter_counts_though_its_column_tells_more(study):
    """The column `baselines` of `shift` says `zero-shot, store`."""
    asked = "shift.expected_accuracy?dataset=v2&id_dataset=simulated&baselines={}"
    by = [figures(study.store, asked.format(g))["value"].to_list() for g in study.groups[::3]]
    assert len(by[0]) == len(by[1]) == 5
    assert by[0] != by[1]


def test_what_a_run_says_beside_each_factor_is_one_figure(study):
    found = figures(study.store, "factors.overall_accuracy")
    table = analysis.run("factors", study.store)
    assert table.height == 20
    assert found["value"].to_list() == table["overall_accuracy"].to_list()[::4]
    assert found["n_samples"].to_list() == [300] * 5
    assert figures(study.store, "factors.accuracy?factor=factor-02")["value"].len() == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOP1, f"2 rows of {TOP1}: they differ in dataset .simulated, v2.; choose one with data"),
        ("factors.accuracy", r"4 rows .* differ in factor \(factor-00, .*\); choose one with fact"),
    ],
)
def test_several_rows_name_what_they_differ_in(study, text, message):
    with pytest.raises(EmbedStoreError, match=f"model 'model-000' has {message}"):
        figures(study.store, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accurcy.top1_accuracy", "unknown analysis 'accurcy'"),
        ("accuracy.top3", "unknown number of the analysis 'accuracy' 'top3'; choose one of: mean_"),
        ("accuracy.model", "unknown number of the analysis 'accuracy' 'model'"),
        (f"{TOP1}?datset=v2", "unknown key of the analysis 'accuracy' 'datset'; choose one of: d"),
        ("trend.slope?x=a.b&y=a.b", "unknown analysis 'a'"),
    ],
)
def test_unknown_names(study, text, message):
    with pytest.raises(UnknownNameError, match=message):
        figures(study.store, text)


def test_an_analysis_without_rows_of_models(study):
    text = "slices.difference?first=model-000&second=model-001&datasets=v2"
    with pytest.raises(EmbedStoreError, match="'slices' has no row a model; choose one that has"):
        figures(study.store, text)


def test_data_sets_that_are_not_there_have_no_figures(study):
    assert figures(study.store, f"{TOP1}?dataset=v3").is_empty()


def test_several_heads_are_several_figures_of_their_prompts(tmp_path, say):
    store = random_store(tmp_path / "s", n_samples=10)
    for head, hits in (("name--data", 3), ("openai-80--data", 5), ("probe", 7)):
        say(store, "clip", [True] * hits + [False] * (10 - hits), head=head)
    found = figures(store, f"{TOP1}?dataset=data", "clip")
    assert found.select("head", "prompts", "value").rows() == [
        ("name--data", "name", 0.3),
        ("openai-80--data", "openai-80", 0.5),
        ("probe", "probe", 0.7),
    ]
    one = figures(store, f"{TOP1}?dataset=data&head=o*,own")
    assert one.select("model", "head", "prompts").rows() == [
        ("clip", "openai-80--data", "openai-80"),
        ("model", "own", "none"),
    ]


def test_of_several_spaces_the_data_sets_own_counts(tmp_path, say):
    store = random_store(tmp_path / "s", n_samples=10, models=())
    for model, spaces in (("a", ("all", "coarse")), ("b", ("data--held-out", "coarse"))):
        for space, hits in zip(spaces, (4, 8), strict=True):
            say(store, model, [True] * hits + [False] * (10 - hits), space=space)
    assert figures(store, TOP1).select("model", "value").rows() == [("a", 0.4), ("b", 0.4)]
    say(store, "c", [True] * 9 + [False], space="coarse")
    coarse = figures(store, f"{TOP1}?space=coarse")
    assert coarse["value"].to_list() == [0.8, 0.8, 0.9]
    say(store, "c", [True] * 2 + [False] * 8, space="fine")
    with pytest.raises(
        EmbedStoreError, match=r"'c' has 2 rows .* differ in space \(coarse, fine\)"
    ):
        figures(store, TOP1)


def test_label_spaces_of_different_models_are_never_mixed_silently(tmp_path, say):
    store = random_store(tmp_path / "s", models=(), n_samples=4)
    say(store, "a", [True] * 4)  # in the data set's own classes
    say(store, "b", [True, False] * 2, space="imagenet-real")
    say(store, "c", [True] * 4, space="data--held-out")  # these are its own, too
    with pytest.raises(
        EmbedStoreError,
        match=r"would mix label spaces \('a' in all; 'b' in imagenet-real\); choose with space=",
    ):
        figures(store, f"{TOP1}?dataset=data")
    assert figures(store, f"{TOP1}?dataset=data", "[ac]")["value"].to_list() == [1.0, 1.0]
    asked = figures(store, f"{TOP1}?dataset=data&space=*")
    assert asked["value"].to_list() == [1.0, 0.5, 1.0]


def published(source: str, text: str) -> pl.DataFrame:
    found = published_figures(source, Metric.parse(text))
    assert found.schema == dict(FIGURES)
    return found


def test_published_figures_are_asked_alike():
    found = published("open_clip", f"{TOP1}?dataset=imagenet-a&head=own&models=*")
    assert found.select("source", "n_samples").unique().rows() == [("open_clip", 7_500)]
    row = found.row(by_predicate=pl.col("model") == "ViT-B-32-quickgelu/openai", named=True)
    assert (row["group"], row["training_distribution"], row["patch"]) == ("zero-shot", "WIT", 32)
    assert row["value"] == 0.3155
    both = [
        published("open_clip", f"retrieval.recall?dataset=coco-karpathy&direction={d}&k=1")["value"]
        for d in ("text-to-image", "image-to-text")
    ]
    assert (both[0] < both[1]).mean() > 0.9


def test_published_accuracy_is_in_the_data_sets_own_classes_unless_a_space_is_named():
    own = published("timm", f"{TOP1}?dataset=imagenet-val")
    subset = published("timm", f"{TOP1}?dataset=imagenet-val&space=imagenet-a")
    assert (own.height, subset.height) == (1_556, 1_555)
    assert own["n_samples"].unique().to_list() == [50_000]
    assert subset["n_samples"].unique().to_list() == [10_000]


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("openclip", TOP1, "unknown source of published results 'openclip'; choose one of: imag"),
        ("timm", f"{TOP1}?spce=imagenet-a", "unknown key of the results of timm 'spce'"),
        ("timm", f"{TOP1}?dataset=coco", r"timm has no accuracy.*; it has, among others: accur"),
        ("timm", TOP1, r"6 rows|5 rows .* they differ in dataset \(imagenet-a, "),
        ("imagenet-x", "factors.worst_factor", r"differ in kind \(multi, top\); .* kind=multi"),
        ("imagenet-x", "factors.overall_accuracy?kind=top&space=imagenet-real", "has no factors.o"),
    ],
)
def test_published_figures_that_are_not_there(source, text, message):
    with pytest.raises(EmbedStoreError, match=message):
        published(source, text)


TABLE = """name,tag,top1,params
ViT-B-32-quickgelu,openai,63.3,151
ViT-B-32-quickgelu,mine,70.0,99
RN50-quickgelu,openai,,102
"""


def test_figures_of_a_users_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    found = tabled_figures(str(path), "top1")
    assert found.schema == dict(FIGURES)
    assert found.select("model", "group", "value", "n_samples").rows() == [
        ("ViT-B-32-quickgelu openai", "zero-shot", pytest.approx(0.633), None),
        ("ViT-B-32-quickgelu mine", None, pytest.approx(0.7), None),
        ("RN50-quickgelu openai", "zero-shot", None, None),
    ]
    by_tag = tabled_figures(str(path), "top1", "tag")
    assert by_tag["group"].to_list() == ["openai", "mine", "openai"]
    with pytest.raises(UnknownNameError, match="group by 'tags'; choose one of: .*group.*tag"):
        tabled_figures(str(path), "top1", "tags")
    path.write_text(TABLE.replace("tag,", "architecture,"))
    by_fact = tabled_figures(str(path), "top1", "architecture")
    assert by_fact["architecture"].to_list() == [
        "openai",
        "mine",
        "openai",
    ]  # the user's word counts
