"""Corruption errors: published golden values, a planted store, rows counted one by one, claims."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis, schema
from embedstore.across.figures import stored_figures
from embedstore.across.metrics import Metric
from embedstore.claims.evidence import Evidence
from embedstore.claims.recipes import THREE_D
from embedstore.corruption.benchmarks import IMAGENET_3DCC, KIND_OF, SEVERITIES, corruptions_of
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.labels import ALL, Judgement, Labels, label_space
from embedstore.prompts import imagenet
from embedstore.published import results
from embedstore.schema.corruption import CORRUPTIONS
from embedstore.store.datasets import (
    DatasetRecord,
    fingerprint,
    save_annotations,
    save_dataset,
)
from embedstore.store.tables import table
from embedstore.testing.simulate import DATASET, HEAD, add_corruptions, simulate_store
from embedstore.testing.simulate.outcomes import judged, save_run
from embedstore.testing.simulate.samples import add_samples, numbered
from embedstore.testing.simulate.simulation import Simulation

PUBLISHED = "published/imagenet-3dcc-per-severity.csv"
GOLDEN = {"AlexNet": 100.0, "Standard_R50": 73.16198490, "Hendrycks2020AugMix": 64.64171968}
CLAIM = "corruptions.mean_corruption_error?benchmark=imagenet-3dcc"


def corruptions(store: Store | None, **options: object) -> pl.DataFrame:
    """Ask anew: a store that tests share would find what it kept."""
    frame = analysis.find("corruptions")(store, **options)
    assert dict(frame.schema) == dict(CORRUPTIONS)
    return frame


def call(*words: object):
    return CliRunner().invoke(main, ["analyze", "corruptions", *map(str, words)])


def test_the_golden_values_of_the_published_table(shared_data):
    done = call("--table", shared_data / PUBLISHED, "--format", "json")
    assert done.exit_code == 0
    rows = json.loads(done.stdout)
    found = {row["model"]: row["mean_corruption_error"] for row in rows}
    assert found == pytest.approx(GOLDEN, abs=5e-9)
    assert {row["normaliser_source"] for row in rows} == {Path(PUBLISHED).name}
    assert {row["relative_mean_corruption_error"] for row in rows} == {None}


def test_a_table_without_alexnet_takes_what_is_published_of_it(shared_data, tmp_path):
    rows = results("robustbench-3dcc").filter(pl.col("model") != "AlexNet")
    rows.rename({"value": "accuracy"}).drop("dataset").write_parquet(tmp_path / "t.parquet")
    frame = corruptions(None, table=str(tmp_path / "t.parquet"))
    assert frame["normaliser_source"].unique().to_list() == ["robustbench-3dcc, 5,000 pictures"]
    found = dict(frame.select("model", "mean_corruption_error").rows())
    assert found == pytest.approx({m: GOLDEN[m] for m in found}, abs=5e-9)
    own = corruptions(None, table=str(tmp_path / "t.parquet"), normaliser="Standard_R50")
    assert own.filter(model="Standard_R50")["mean_corruption_error"].to_list() == [100.0]
    alone = corruptions(None, table=str(tmp_path / "t.parquet"), models="Hendrycks*")
    assert alone["mean_corruption_error"].to_list() == [found["Hendrycks2020AugMix"]]
    with pytest.raises(UnknownNameError, match="normaliser 'x'; choose one of: AlexNet, Hendr"):
        corruptions(None, table=str(tmp_path / "t.parquet"), normaliser="x")


def test_what_only_a_store_has_is_refused_with_a_table(shared_data):
    path = shared_data / PUBLISHED
    for option, value in (("datasets", "a*"), ("clean", "none"), ("rows", "common")):
        done = call("--table", path, f"--{option}", value)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
        assert f"so that --{option} would do nothing with --table; leave it out" in done.stderr
    with pytest.raises(EmbedStoreError, match="--datasets and --rows would do nothing"):
        corruptions(None, table=str(path), datasets="a*", rows="common")


def test_a_table_that_holds_alexnet_offers_it_once_as_normaliser(shared_data):
    with pytest.raises(UnknownNameError) as refused:
        corruptions(None, table=str(shared_data / PUBLISHED), normaliser="resnet50")
    assert str(refused.value).count("AlexNet") == 1
    (convention,) = corruptions(None, table=str(shared_data / PUBLISHED))["convention"].unique()
    assert "corruption errors: fractions; means: per cent" in convention


def test_a_table_of_several_heads_names_one_of_them(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["model,head,corruption,severity,accuracy", "clip,h1,a,1,.5", "clip,h2,a,1,.6"]
    rows += ["other@x,h1,a,1,.4", "alexnet,h,a,1,.2", "AlexNet,h,a,1,.1"]
    path.write_text("\n".join(rows))

    def errors(normaliser: str | None) -> list[float]:
        frame = corruptions(None, table=str(path), normaliser=normaliser, models="[co]*")
        return frame["mean_corruption_error"].to_list()

    assert errors("clip@h1") == pytest.approx([100, 80, 120])
    assert errors("clip@h2") == pytest.approx([125, 100, 150])
    assert errors("other@x") == pytest.approx([100 * 5 / 6, 100 * 4 / 6, 100])
    assert errors(None) == errors("AlexNet") == pytest.approx([500 / 9, 400 / 9, 600 / 9])
    assert errors("alexnet") == errors("alexnet@h") == pytest.approx([62.5, 50, 75])
    with pytest.raises(EmbedStoreError, match="several heads .* --normaliser clip@HEAD"):
        errors("clip")
    with pytest.raises(UnknownNameError, match="head of model 'clip' 'x'; choose one of: h1, h2"):
        errors("clip@x")
    with pytest.raises(UnknownNameError, match="unknown normaliser 'x@h1'; choose one of"):
        errors("x@h1")


def test_neither_or_both_of_store_and_table(tmp_path):
    for words in ([], [tmp_path, "--table", "t.csv"]):
        done = call(*words)
        assert done.exit_code == 2
        assert done.stderr.endswith("give either a STORE, or a published table with --table FILE\n")
    with pytest.raises(EmbedStoreError, match="give either a store, or a published table"):
        corruptions(None)
    missing = call("--table", tmp_path / "none.csv")
    assert missing.exit_code == 1
    assert missing.stderr.count("\n") == 1
    empty = CliRunner().invoke(main, ["analyze", "accuracy"])  # all others need one
    assert empty.exit_code == 2


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[Simulation, np.ndarray]:
    """Three models under fog, frost and rain at three severities, and expected accuracies."""
    path = tmp_path_factory.mktemp("planted") / "s"
    simulation = simulate_store(path, n_samples=500, spread=1.0, seed=5)
    strengths = {"fog": 0.3, "frost": 0.6, "rain": 0.45}
    return simulation, add_corruptions(simulation, DATASET, strengths, severities=(1, 2, 4))


def naive(store: Store, model: str, corruption: str, severities=(1, 2, 4)) -> list[float]:
    """Errors at each severity, counted row by row; the clean one last."""
    errors = []
    for name in (*(f"{DATASET}--{corruption}--{s}" for s in severities), DATASET):
        said = store.outcomes(model, name, heads=HEAD).collect()["correct"].to_list()
        judged_ones = [right for right in said if right is not None]
        errors.append(sum(not right for right in judged_ones) / len(judged_ones))
    return errors


def test_a_planted_store_is_what_rows_say(planted):
    store = planted[0].store
    frame = corruptions(store, by="corruption", normaliser="model-001")
    assert frame.height == 9
    errors, relative = [], []
    for row in frame.to_dicts():
        *own, clean = naive(store, row["model"], row["corruption"])
        *theirs, clean_divisor = naive(store, "model-001", row["corruption"])
        errors.append(sum(own) / sum(theirs))
        relative.append((sum(own) - 3 * clean) / (sum(theirs) - 3 * clean_divisor))
        assert row["accuracy"] == pytest.approx(1 - np.mean(own))
        assert row["clean_accuracy"] == pytest.approx(1 - clean)
        assert (row["clean_dataset"], row["kind"]) == (DATASET, KIND_OF.get(row["corruption"]))
        assert (row["n_samples"], row["n_left_out"], row["note"]) == (1_500, 0, None)
    assert frame["corruption_error"].to_list() == pytest.approx(errors)
    assert frame["relative_corruption_error"].to_list() == pytest.approx(relative)

    means = corruptions(store, normaliser="model-001")
    assert means["mean_corruption_error"].to_list() == pytest.approx(
        100 * np.reshape(errors, (3, 3)).mean(axis=1)
    )
    assert means["relative_mean_corruption_error"].to_list() == pytest.approx(
        100 * np.reshape(relative, (3, 3)).mean(axis=1)
    )
    assert means["mean_corruption_error"][1] == means["relative_mean_corruption_error"][1] == 100
    assert means["normaliser_source"].unique().to_list() == ["store"]


def test_planted_accuracies_lie_within_the_bounds(planted):
    simulation, expected = planted
    frame = corruptions(simulation.store, by="severity").with_columns(truth=expected.ravel())
    cells = [(c, s) for c in ("fog", "frost", "rain") for s in (1, 2, 4)]  # as the truths stand
    assert frame.select("corruption", "severity").rows() == cells * 3
    assert frame["model"].to_list() == [m for m in simulation.store.models for _ in cells]
    held = frame.select(pl.col("truth").is_between("accuracy_low", "accuracy_high").sum()).item()
    assert held >= 24  # of 27, each with 95 %


def test_on_ones_own_pictures_alexnet_divides_only_where_it_is_named(planted):
    store = planted[0].store
    frame = corruptions(store)
    assert frame["mean_corruption_error"].null_count() == 3
    assert frame["normaliser"].null_count() == 3
    assert "nobody published AlexNet's errors on 'simulated'" in frame["note"][0]
    named = corruptions(store, datasets="*--f*", normaliser="alexnet", by="corruption")
    assert named["corruption_error"].null_count() == 6
    assert named["note"][0].startswith("AlexNet's errors are among ImageNet's 1,000 classes; name")
    with pytest.raises(EmbedStoreError, match="alone, and 'simulated' has others; name another"):
        corruptions(store, normaliser="AlexNet")


def test_alexnet_divides_errors_among_imagenets_classes_alone(tmp_path, say):
    ids = [f"p/{i}" for i in range(10)]
    store = Store.open(tmp_path / "s", create=True)
    for name in ("imagenet-c--fog--1", "imagenet-c--fog--2"):
        add_samples(store, name, ids)
        for head, classes in (
            ("whole", imagenet().ids[::-1]),
            ("few", imagenet().ids[:5]),
            ("thousand", [str(i) for i in range(1_000)]),
        ):
            marks = [True] * 4 + [False] * 6
            say(store, "m", marks, dataset=name, head=head, space=head, class_ids=classes)
    frame = corruptions(store, by="corruption", partial=True)
    assert dict(frame.select("space", "corruption_error").rows()) == {
        "whole": pytest.approx(1.2 / (0.67474 + 0.7605)), "few": None, "thousand": None,
    }  # fmt: skip
    assert frame["normaliser"].to_list() == [None, None, "AlexNet"]
    assert "AlexNet's errors are among ImageNet's 1,000 classes; name a model" in frame["note"][0]


def test_pictures_that_were_corrupted_as_they_were_read_are_noted(tmp_path, say):
    store = Store.open(tmp_path / "s", create=True)
    samples = table(schema.SAMPLES, {"sample_id": ["a", "b"], "path": "ab", "digest": "ab"})
    name, source = "photos--fog--1", "corrupt:fog:1:folder:/d"
    record = DatasetRecord(name, source, name, (), (), 2, fingerprint(samples, ()))
    save_dataset(store.files, record, samples)
    say(store, "m", [True, False], dataset=name, class_ids=imagenet().ids)
    (row,) = corruptions(store, by="severity", normaliser="AlexNet", clean="none").to_dicts()
    assert row["corruption_error"] == 0.5 / 0.67474
    assert row["note"].endswith(
        "those of imagenet-c; the pictures were corrupted as they were read, which is not quite "
        "how those of AlexNet's errors were"
    )
    (own,) = corruptions(store, by="severity", normaliser="m", clean="none").to_dicts()
    assert "as they were read" not in own["note"]


def test_what_a_model_lacks_does_not_depend_on_who_else_is_asked_for(say, tmp_path):
    store = simulate_store(tmp_path / "s", n_models=1, n_samples=40).store
    ids = store.samples(DATASET)["sample_id"].to_list()
    for name in ("fog--1", "fog--2"):
        add_samples(store, f"{DATASET}--{name}", ids)
        say(store, "whole", [True, False] * 20, dataset=f"{DATASET}--{name}", head=HEAD)
    say(store, "model-000", [True] * 40, dataset=f"{DATASET}--fog--1", head=HEAD)
    for models in ("*", "model-000"):
        row = corruptions(store, models=models, normaliser="whole").row(0, named=True)
        assert (row["model"], row["mean_corruption_error"], row["accuracy"]) == (
            "model-000", None, None,
        )  # fmt: skip
        assert row["note"].startswith("1 of 2 missing: fog 2; sum over the rest with --partial")
    rest = corruptions(store, normaliser="whole", partial=True).rows(named=True)
    assert [row["mean_corruption_error"] for row in rest] == [0.0, 100.0]
    assert "not run on 'simulated'" in rest[1]["note"]
    others = [str(i) for i in range(9)]
    say(store, "whole", [True] * 40, dataset=DATASET, head=HEAD, space="nine", class_ids=others)
    for space in (None, ALL):
        frame = corruptions(store, models="whole", normaliser="whole", space=space)
        (note,) = frame.filter(space=ALL)["note"]
        assert "run on 'simulated' in label space 'nine' and not in this one: choose" in note


@pytest.fixture
def unequal(tmp_path, say) -> Store:
    """A folder that lacks a picture of ten, and a picture that failed in another."""
    store = Store.open(tmp_path / "s", create=True)
    ids = [f"class/{i}" for i in range(10)]
    for name, those in (("photos", ids), ("photos--fog--1", ids), ("photos--fog--2", ids[1:])):
        add_samples(store, name, those)
    say(store, "m", [True] * 5 + [False] * 5, dataset="photos")
    say(store, "m", [None, True, True, *[False] * 7], dataset="photos--fog--1")
    say(store, "m", [True, *[False] * 8], dataset="photos--fog--2")
    return store


def test_a_folder_with_fewer_pictures_is_refused_or_intersected(unequal):
    message = (
        "data set 'photos--fog--2' lacks 1 of the 10 pictures of 'photos', such as 'class/0'; "
        "encode .*--rows common"
    )
    with pytest.raises(EmbedStoreError, match=message):
        corruptions(unequal)
    frame = corruptions(unequal, rows="common", by="severity", normaliser="m")
    assert frame["n_samples"].to_list() == [9, 9]
    assert frame["n_left_out"].to_list() == [1, 0]
    assert frame["accuracy"].to_list() == [2 / 9, 1 / 9]
    assert frame["clean_accuracy"].to_list() == [4 / 9] * 2
    assert frame["note"][0] == "over the 9 pictures that all 3 folders hold"
    done = call(unequal.files.root)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)


def test_a_picture_that_failed_is_left_out(unequal):
    frame = corruptions(unequal, datasets="*--1", by="severity", normaliser="m", clean="none")
    assert frame.select("n_samples", "n_left_out", "accuracy").rows() == [(9, 1, 2 / 9)]
    assert frame["clean_accuracy"].to_list() == [None]


def test_heads_and_label_spaces_stand_apart(unequal, say):
    for name, right in (("photos", 8), ("photos--fog--1", 4)):
        marks = [True] * right + [False] * (10 - right)
        say(unequal, "m", marks, dataset=name, head="other")
        say(unequal, "m", marks, dataset=name, head="said", space="few")
    asked = {"datasets": "*--1", "by": "corruption"}
    with pytest.raises(
        EmbedStoreError, match="several heads on 'photos': other, said; name one as"
    ):
        corruptions(unequal, normaliser="m", **asked)
    frame = corruptions(unequal, normaliser="m@other", **asked)
    assert frame.select("head", "space", "corruption_error").rows() == [
        ("other", "all", 1.0),
        ("said", "all", (7 / 9) / 0.6),
        ("said", "few", None),
    ]
    assert frame["note"][2].startswith("m@other was not judged in this label space")
    with pytest.raises(UnknownNameError, match="head of model 'm' 'x'; choose one of: other, said"):
        corruptions(unequal, normaliser="m@x", **asked)
    one = stored_figures(
        unequal, Metric.parse("corruptions.accuracy?by=severity&dataset=photos--fog--1")
    )
    assert one.select("head", "value").rows() == [("other", 0.4), ("said", 2 / 9)]


def test_the_classes_of_each_data_set_are_one_label_space(unequal, say):
    for name, right in (("photos", 9), ("photos--fog--1", 4)):
        marks = [True] * right + [False] * (10 - right)
        say(unequal, "few", marks, dataset=name, space=name)
        say(unequal, "fitted", marks, dataset=name, space=f"{name}--held-out")
    asked = {"datasets": "*--1", "by": "corruption", "normaliser": "few"}
    frame = corruptions(unequal, space="photos", **asked)
    columns = ("model", "space", "clean_accuracy", "relative_corruption_error")
    assert frame.select(columns).rows() == [("few", "photos", 0.9, 1.0)]
    fitted = corruptions(unequal, models="fitted", **asked)
    assert fitted.select(columns).rows() == [("fitted", "photos--held-out", 0.9, 1.0)]


def test_other_classes_of_their_own_are_refused(tmp_path, say):
    store = Store.open(tmp_path / "s", create=True)
    for name, classes in (("photos", "abc"), ("photos--fog--1", "cba"), ("photos--fog--2", "ab")):
        add_samples(store, name, ["0", "1"])
        say(store, "m", [True, False], dataset=name, space=name, class_ids=list(classes))
        say(store, "m", [True, True], dataset=name, space="few", class_ids=["a"])
    message = (
        "class 'c' is one of data set 'photos' and none of 'photos--fog--2', .*; name another "
        r"label space with --space, or leave one of them out with --datasets \(the clean"
    )
    with pytest.raises(EmbedStoreError, match=message):
        corruptions(store)
    kept = corruptions(store, datasets="*--1", by="severity")
    assert kept.select("space", "clean_accuracy").rows() == [("few", 1.0), ("photos", 0.5)]
    few = corruptions(store, space="few", by="severity")
    assert few.select("dataset", "accuracy").rows() == [
        ("photos--fog--1", 1.0), ("photos--fog--2", 1.0),
    ]  # fmt: skip


def test_clean_accuracy_is_over_the_pictures_that_are_judged_corrupted(tmp_path, say):
    store = Store.open(tmp_path / "s", create=True)
    ids = [f"p/{i}" for i in range(6)]
    add_samples(store, "photos", ids)
    add_samples(store, "photos--fog--1", ids[::-1])
    add_samples(store, "photos--fog--2", ids)
    say(store, "m", [True, False, True, None, True, True], dataset="photos")
    say(store, "m", [True, None, None, False, True, True][::-1], dataset="photos--fog--1")
    say(store, "m", [None] * 6, dataset="photos--fog--2")  # fails as a whole: counts for itself
    frame = corruptions(store, by="severity", normaliser="m")
    columns = ("n_samples", "n_left_out", "accuracy", "clean_accuracy")
    assert frame.select(columns).rows() == [(3, 3, 1.0, 1.0)]  # pictures 0, 4 and 5


def test_a_head_judged_over_other_clean_pictures_is_not_said_not_to_have_run(unequal, say):
    say(unequal, "m", [True] * 10, dataset="photos", head="probe", space="all--held-out")
    say(unequal, "m", [True] * 10, dataset="photos--fog--1", head="probe")
    say(unequal, "m", [True] * 10, dataset="photos--fog--1", head="alone")
    frame = corruptions(unequal, datasets="*--1", by="severity", heads="[ap]*")
    assert frame["clean_accuracy"].null_count() == 2
    alone, probe = frame["note"]
    assert alone.startswith("not run on 'photos': encode them")
    assert probe.startswith("judged on 'photos' in 'all--held-out', over other pictures: fit the")


def test_a_data_set_of_several_corruptions_is_not_its_own_clean_one(tmp_path, say):
    store = Store.open(tmp_path / "s", create=True)
    add_samples(store, "mine", [f"{c}/{i}" for c in ("fog", "rain") for i in range(4)])
    marks = {"corruption": ["fog"] * 4 + ["rain"] * 4, "severity": [2] * 8}
    save_annotations(store.files, "mine", "corruptions", pl.DataFrame(marks))
    say(store, "m", [True, True, True, None, False, False, True, True], dataset="mine")
    frame = corruptions(store, by="severity", normaliser="m")
    columns = ("benchmark", "corruption", "n_samples", "n_left_out", "accuracy")
    assert frame.select(columns).rows() == [
        ("mine", "fog", 3, 1, 1.0), ("mine", "rain", 3, 1, 1 / 3),  # of the same three
    ]  # fmt: skip
    assert frame["clean_dataset"].null_count() == 2
    assert frame["corruption_error"].to_list() == [None, 1.0]  # nobody errs under fog
    add_samples(store, "clean", [f"x/{i}" for i in range(4)])
    say(store, "m", [True, True, True, False], dataset="clean")
    relative = corruptions(store, by="severity", normaliser="m", clean="clean")
    assert relative["clean_accuracy"].to_list() == [1.0, 1.0]  # without what failed under fog
    assert relative["n_samples"].to_list() == [3, 3]
    assert relative["relative_corruption_error"].to_list() == [None, 1.0]


def test_stores_without_corruptions_and_unknown_names(planted, tmp_path):
    plain = simulate_store(tmp_path / "plain", n_models=1, n_samples=20).store
    with pytest.raises(EmbedStoreError, match="no data set here is of corrupted pictures; encode"):
        corruptions(plain)
    assert corruptions(Store.open(tmp_path / "empty", create=True)).is_empty()
    store = planted[0].store
    assert corruptions(store, models="nobody").is_empty()
    for options, message in (
        ({"benchmark": "imagenet-c"}, "benchmark of corruptions 'imagenet-c'; choose one of: sim"),
        ({"normaliser": "x"}, "normaliser 'x'; choose one of: AlexNet, model-000"),
        ({"clean": "x"}, "clean data set 'x'; choose one of: none, simulated"),
        ({"by": "x"}, "level of corruptions 'x'; choose one of: benchmark, corruption"),
    ):
        with pytest.raises(UnknownNameError, match=message):
            corruptions(store, **options)


def test_a_table_of_our_own_gives_the_same_errors(planted, tmp_path):
    store, path = planted[0].store, tmp_path / "own.csv"
    corruptions(store, by="severity").write_csv(path)
    asked = {"normaliser": "model-002", "by": "kind"}
    columns = ["model", "kind", "accuracy", "mean_corruption_error"]
    again = corruptions(None, table=str(path), **asked).select(columns)
    assert again.equals(corruptions(store, **asked).select(columns))


@pytest.fixture(scope="module")
def convnets(tmp_path_factory) -> Store:
    """Zero-shot models of the zoo over ImageNet-3DCC, one data set that annotates its pictures."""
    path = tmp_path_factory.mktemp("3dcc") / "s"
    simulation = simulate_store(path, groups={"zero-shot": 18}, n_samples=50)
    store, classes = simulation.store, imagenet().ids
    cells = [(c, s) for c in corruptions_of(IMAGENET_3DCC, extra=False) for s in SEVERITIES]
    labels = np.zeros(60 * 20, np.int64)
    ids = [f"{c}/{s}/{i}" for c, s in cells for i in numbered(labels[:20])]
    record = add_samples(store, IMAGENET_3DCC, ids, labels, classes)
    marks = pl.DataFrame([cell for cell in cells for _ in range(20)], orient="row",
                         schema=["corruption", "severity"])  # fmt: skip
    save_annotations(store.files, IMAGENET_3DCC, "corruptions", marks)
    space = Judgement(label_space(classes, classes, IMAGENET_3DCC), Labels(labels))
    random = np.random.default_rng(0)
    for model in store.models:
        better = store.model(model).factors["architecture"] in ("RN", "ConvNeXt")
        logit = np.full(len(ids), 1.5 if better else 0.0)
        save_run(store, model, record, space, judged(random, logit, 1.0, labels, len(classes)))
    return store


def test_the_claims_metric_has_one_value_a_model(convnets):
    figures = stored_figures(convnets, Metric.parse(CLAIM))
    assert figures["model"].to_list() == sorted(convnets.models)
    assert figures["value"].null_count() == 0
    model = convnets.models[0]
    said = convnets.outcomes(model, IMAGENET_3DCC, samples=True).collect()
    errors = said.group_by("corruption", "severity").agg(own=1 - pl.col("correct").mean())
    theirs = results("robustbench-3dcc").filter(model="AlexNet").select(
        "corruption", pl.col("severity").cast(pl.Int64), theirs=1 - pl.col("value")
    )  # fmt: skip
    ratios = (
        errors.join(theirs, ["corruption", "severity"])
        .group_by("corruption")
        .agg(pl.col("own").sum() / pl.col("theirs").sum())
    )
    assert ratios.height == 12
    assert figures["value"][0] == pytest.approx(100 * ratios["own"].mean())


def test_the_claim_on_convnets_finds_what_was_planted(convnets):
    claim = next(c for c in THREE_D if c.name == "clip-convnets-beat-vits-under-3d-corruption")
    found = claim.test.find(Evidence(convnets, False, "auto", 2, 200, 0))
    means = corruptions(convnets).with_columns(
        better=pl.Series([
            convnets.model(m).factors["architecture"] in ("RN", "ConvNeXt")
            for m in sorted(convnets.models)
        ])
    )  # fmt: skip
    vits = [m for m in means["model"] if convnets.model(m).factors["architecture"] == "ViT"]
    first = means.filter("better")["mean_corruption_error"].mean()
    second = means.filter(pl.col("model").is_in(vits))["mean_corruption_error"].mean()
    assert found.value == pytest.approx(first - second)
    assert found.high < 0
    assert claim.rule.verdict(found, 2) == "holds"
    table = analysis.run("claims", convnets, section="3d", source="store", min_models=2)
    assert dict(table.select("claim", "verdict").rows())[claim.name] == "holds"


def test_kept_results_are_found_again(planted, monkeypatch):
    store = planted[0].store
    first = analysis.run("corruptions", store, by="kind")
    monkeypatch.setattr("embedstore.corruption.measuring.count", None)
    assert analysis.run("corruptions", store, by="kind").equals(first)
