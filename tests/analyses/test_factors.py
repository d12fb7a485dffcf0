"""Factor tables: published figures through the commands, planted truth, and a naive count."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis
from embedstore.errors import DatasetError, EmbedStoreError
from embedstore.schema.runs import FACTOR_TABLE
from embedstore.stats.intervals import clopper_pearson
from embedstore.store.datasets import save_annotations
from embedstore.testing.simulate import DATASET, simulate_store
from embedstore.testing.stores import random_store

MODELS = ("ViT", "ResNet50")
#: ImageNet-X's metaclasses; any other class is `other`.
METACLASSES = (
    "device", "dog", "commodity", "bird", "structure", "covering", "wheeled_vehicle", "food",
    "equipment", "insect", "vehicle", "furniture", "primate", "vessel", "snake", "natural_object",
)  # fmt: skip


def call(*words: object) -> str:
    done = CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def rows_of(*words: object) -> pl.DataFrame:
    rows = json.loads(call("analyze", "factors", *words, "--format", "json"))
    return pl.DataFrame(rows, schema=FACTOR_TABLE)


@pytest.fixture(scope="module")
def annotations() -> Path:
    """The files of the package imagenet-x, which need not be imported for that."""
    found = find_spec("imagenet_x")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no imagenet-x; install it with: pip install --no-deps imagenet-x")
    return Path(found.submodule_search_locations[0]) / "annotations"


@pytest.fixture(scope="module")
def metaclass_of(annotations) -> list[str]:
    """The metaclass of each of the 1,000 classes."""
    names = pl.read_csv(annotations / "imagenet_1k_classes_to_100_metaclasses.csv")["name"]
    return [name if name in METACLASSES else "other" for name in names]


@pytest.fixture(scope="module")
def metaclasses(tmp_path_factory, annotations, metaclass_of) -> Path:
    """A label space of 17 classes, in a user's file."""
    with (annotations / "imagenet_labels.txt").open() as file:
        ids = [row[0] for row in csv.reader(file)]
    lines = ['name = "metaclass"', "[classes]"]
    for metaclass in sorted(set(metaclass_of)):
        members = [i for i, m in zip(ids, metaclass_of, strict=True) if m == metaclass]
        lines.append(f"{metaclass} = {json.dumps(members)}")
    path = tmp_path_factory.mktemp("space") / "metaclass.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def imported(tmp_path_factory, annotations, metaclasses, shared_data) -> Path:
    """Real predictions of two networks on 50,000 pictures, brought in by the commands."""
    path = tmp_path_factory.mktemp("imagenet-x") / "x.store"
    to = (path, "--dataset", "imagenet-val", "--file")
    by_name = ("--id", "file_name")
    labels = annotations / "filename_label.csv"
    call("import", "samples", *to, labels, *by_name, "--label", "label", "--classes", "imagenet")
    for kind, prefix in (("top", ""), ("multi", "multi_")):
        table = annotations / f"imagenet_x_val_{kind}_factor.jsonl"
        call("import", "annotations", *to, table, *by_name, "--prefix", prefix)
    listed = annotations / "prototypical_paths.csv"
    call("import", "annotations", *to, listed, *by_name, "--name", "prototype")
    real = annotations / "imagenet_real_labels.jsonl"
    call("import", "annotations", *to, real, "--rows", "sorted-ids", "--columns", "real_labels")
    for model in MODELS:
        said = shared_data / "imagenet-x" / f"predictions-{model}.csv.gz"
        spaces = ("--space", "imagenet-real", "--space", metaclasses)
        call("import", "predictions", *to, said, "--model", model, *spaces)
    return path


@pytest.mark.parametrize(("kind", "prefix"), [("top", ""), ("multi", "multi_")])
def test_the_published_tables_row_by_row(imported, shared_data, kind, prefix):
    found = rows_of(imported, "--prefix", prefix, "--space", "all")
    path = shared_data / "imagenet-x" / f"published-{kind}-factor-accuracies.csv"
    published = pl.read_csv(path).rows_by_key("model", named=True, unique=True)
    for model in MODELS:
        rows = found.filter(pl.col("model") == model, ~pl.col("factor").str.starts_with("multi_"))
        ours = dict(rows.select("factor", "accuracy").iter_rows())
        assert len(ours) == 16
        assert ours == {f: pytest.approx(published[model][f], abs=1e-6) for f in ours}
        summary = rows.select("overall_accuracy", "worst_factor", "n_overall", "excluded").unique()
        average, worst = (published[model][c] for c in ("average", "worst_factor"))
        assert summary.rows() == [
            (pytest.approx(average, abs=1e-6), pytest.approx(worst, abs=1e-6), 46_110, "prototype")
        ]


@pytest.mark.parametrize(
    ("model", "average", "pose", "background", "real", "counted_wrong"),
    [
        ("ViT", 0.767599219, 0.740669783, 1.090969367, 0.830843, 0.775255),
        ("ResNet50", 0.746692691, 0.694739034, 1.141699123, 0.819082, 0.764281),
    ],
)
def test_golden_values(imported, model, average, pose, background, real, counted_wrong):
    found = rows_of(imported, "--models", model, "--factors", "pose,background")
    by = found.rows_by_key(["space", "factor"], named=True, unique=True)
    assert by["all", "pose"]["overall_accuracy"] == pytest.approx(average, abs=1e-9)
    assert by["all", "pose"]["error_ratio"] == pytest.approx(pose, abs=1e-9)
    assert by["all", "background"]["error_ratio"] == pytest.approx(background, abs=1e-9)
    for row in by.values():
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        assert row["error_ratio_low"] < row["error_ratio"] < row["error_ratio_high"]
    pose_real = by["imagenet-real", "pose"]
    assert pose_real["overall_accuracy"] == pytest.approx(real, abs=1e-6)
    assert pose_real["n_overall"] + pose_real["n_left_out"] == 46_110
    words = ("--models", model, "--space", "imagenet-real", "--factors", "pose")
    (wrong,) = rows_of(imported, *words, "--convention", "imagenetx").to_dicts()
    assert wrong["overall_accuracy"] == pytest.approx(counted_wrong, abs=1e-6)
    assert (wrong["n_overall"], wrong["n_left_out"]) == (46_110, 0)


def test_metaclasses_as_a_label_space(imported, annotations, metaclass_of, shared_data):
    """Naive: joined by file name, classes looked up one by one."""
    table = pl.read_ndjson(annotations / "imagenet_x_val_top_factor.jsonl")
    prototypes = pl.read_csv(annotations / "prototypical_paths.csv")["file_name"]
    said = pl.read_csv(shared_data / "imagenet-x" / "predictions-ViT.csv.gz")
    joined = table.filter(~pl.col("file_name").is_in(prototypes.implode())).join(said, "file_name")
    right = np.array(
        [metaclass_of[a] == metaclass_of[b] for a, b in joined["class", "predicted_class"].rows()]
    )
    found = rows_of(imported, "--models", "ViT", "--space", "metaclass", "--factors", "smaller")
    (row,) = found.to_dicts()
    smaller = joined["smaller"].to_numpy() == 1
    assert row["overall_accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert row["accuracy"] == pytest.approx(right[smaller].mean(), abs=1e-12)
    assert row["overall_accuracy"] > 0.85  # a dog taken for another is right


def test_the_bare_default_is_all_columns_of_true_and_false(imported):
    found = rows_of(imported, "--models", "ViT", "--space", "all")
    assert found.height == 32
    worst = found.group_by(pl.col("factor").str.starts_with("multi_")).agg(
        pl.col("worst_factor").unique(), pl.col("accuracy").min()
    )
    assert worst["worst_factor"].list.first().to_list() == worst["accuracy"].to_list()
    whole = rows_of(imported, "--models", "ViT", "--factors", "pose", "--exclude", "none")
    assert whole.filter(space="all")["n_overall"].to_list() == [48_868]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return simulate_store(tmp_path_factory.mktemp("sim") / "s", n_samples=20_000, seed=3)


def test_planted_accuracies_are_recovered(planted):
    found = analysis.run("factors", planted.store)
    truth = planted.probabilities
    for i, rows in enumerate(found.partition_by("model", maintain_order=True)):
        for f, row in enumerate(rows.to_dicts()):
            accuracy = truth[i, planted.marks[:, f]].mean()
            assert row["accuracy"] == pytest.approx(accuracy, abs=4 * np.sqrt(0.25 / 4_000))
            ratio = (1 - accuracy) / (1 - truth[i].mean())
            assert row["error_ratio_low"] * 0.9 < ratio < row["error_ratio_high"] * 1.1
            assert row["n_overall"] == 20_000


def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path):
    held, entries = np.zeros(2), 0
    for seed in range(20):
        sim = simulate_store(tmp_path / str(seed), n_samples=400, n_factors=5, seed=seed)
        found = analysis.run("factors", sim.store)
        truth = sim.probabilities
        accuracy = np.array([[p[marks].mean() for marks in sim.marks.T] for p in truth]).ravel()
        ratio = (1 - accuracy) / (1 - truth.mean(axis=1)).repeat(5)
        truths = found.with_columns(p=pl.Series(accuracy), r=pl.Series(ratio))
        held += truths.select(
            pl.col("p").is_between("accuracy_low", "accuracy_high").sum(),
            pl.col("r").is_between("error_ratio_low", "error_ratio_high").sum(),
        ).row(0)
        entries += found.height
    assert (held / entries > 0.93).all()


def judge(store: Store, **columns: list[object]) -> None:
    """Annotate the data set `data`, 40 samples, with columns."""
    save_annotations(store.files, "data", "notes", pl.DataFrame(columns))


@pytest.fixture
def store(tmp_path) -> Store:
    return random_store(tmp_path / "s", failed=(3, 20))


def test_a_naive_count_with_nulls_failures_and_categories(store):
    random = np.random.default_rng(1)
    dark = [None if u < 0.2 else bool(u < 0.6) for u in random.random(40)]
    place = [None if u < 0.3 else ("sea" if u < 0.6 else "land") for u in random.random(40)]
    judge(store, dark=dark, place=place)
    found = analysis.run("factors", store, factors="dark,place")
    correct = store.outcomes().collect()["correct"].to_list()
    marks = {
        "dark": dark,
        **{f"place={v}": [p and p == v for p in place] for v in ("land", "sea")},
    }
    assert found["factor"].to_list() == list(marks)
    for row in found.to_dicts():
        known = [
            (m, c) for m, c in zip(marks[row["factor"]], correct, strict=True) if m is not None
        ]
        judged = [(m, c) for m, c in known if c is not None]
        inside = [c for m, c in judged if m]
        assert row["n_samples"] == len(inside)
        assert row["accuracy"] == pytest.approx(np.mean(inside))
        assert row["overall_accuracy"] == pytest.approx(np.mean([c for _, c in judged]))
        assert row["n_left_out"] == len(known) - len(judged)
        low, high = clopper_pearson([sum(inside)], [len(inside)])
        assert (row["accuracy_low"], row["accuracy_high"]) == (low[0], high[0])


def test_factors_without_samples_and_without_hits(store):
    correct = store.outcomes().collect()["correct"].to_list()
    judge(
        store,
        none=[False] * 40,
        missed=[c is False for c in correct],
        failed=[c is None for c in correct],
        hit=[c is True for c in correct],
    )
    by = analysis.run("factors", store).rows_by_key("factor", named=True, unique=True)
    for factor in ("none", "failed"):
        assert (by[factor]["n_samples"], by[factor]["accuracy"]) == (0, None)
        assert by[factor]["error_ratio"] is None
        assert by[factor]["accuracy_low"] is None
    assert (by["missed"]["accuracy"], by["hit"]["error_ratio"]) == (0.0, 0.0)
    assert by["hit"]["worst_factor"] == 0.0
    assert by["missed"]["n_overall"] == 38


def test_an_overall_accuracy_of_one_has_no_ratio(store):
    correct = store.outcomes().collect()["correct"].to_list()
    known = [True if c else None for c in correct]
    judge(store, sure=known)
    (row,) = analysis.run("factors", store).to_dicts()
    assert (row["overall_accuracy"], row["accuracy"], row["error_ratio"]) == (1.0, 1.0, None)
    assert (row["error_ratio_low"], row["error_ratio_high"]) == (None, None)


def test_one_sample_and_a_column_of_nulls(tmp_path):
    store = random_store(tmp_path / "s", n_samples=1)
    judge(store, only=[True], empty=pl.Series([None], dtype=pl.Boolean))
    (row,) = analysis.run("factors", store).to_dicts()
    assert (row["factor"], row["n_samples"], row["accuracy"]) == (
        "only",
        1,
        row["overall_accuracy"],
    )
    (row,) = analysis.run("factors", store, factors="empty").to_dicts()
    assert (row["n_overall"], row["accuracy"], row["overall_accuracy"]) == (0, None, None)


def test_numbers_of_0_and_1_count_as_true_and_false(store):
    judge(store, dark=pl.Series([1, 0] * 20, dtype=pl.Int8))
    found = analysis.run("factors", store)
    assert found["factor"].to_list() == ["dark"]
    assert found["n_samples"].to_list() == [19]  # of 20, one failed


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Store:
    path = tmp_path_factory.mktemp("odd") / "s"
    store = random_store(path, n_samples=1_500, block_rows=1_500)
    names = [f"sample {i}" for i in range(1_500)]
    judge(store, dark=[True] * 1_500, score=[0.5] * 1_500, name=names)
    return store


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": "fog"}, "no annotation named fog in: data; name others with --factors"),
        ({"prefix": "multi_"}, "of true and false that begins with 'multi_'"),
        ({"factors": "score"}, "column 'score' holds Float64, which sorts no samples"),
        ({"factors": "name"}, "column 'name' has 1,500 values, and a factor at most 1,000"),
        ({"exclude": "fog"}, "has no column 'fog' of true and false to leave samples out by"),
        ({"exclude": "score"}, "has no column 'score' of true and false"),
    ],
)
def test_what_cannot_be_a_factor(odd, options, message):
    with pytest.raises(EmbedStoreError, match=message):
        analysis.run("factors", odd, **options)


def test_a_store_without_annotations_and_one_without_models(tmp_path, store):
    with pytest.raises(
        EmbedStoreError, match="no annotation of true and false in: data; .* import"
    ):
        analysis.run("factors", store)
    empty = Store.open(tmp_path / "empty", create=True)
    assert analysis.run("factors", empty).is_empty()


def test_a_prototype_column_of_texts_asks_what_is_meant(store):
    judge(store, dark=[True] * 40, prototype=["yes"] * 40)
    with pytest.raises(DatasetError, match="column 'prototype' is not of true and false; .*none"):
        analysis.run("factors", store)
    assert analysis.run("factors", store, exclude="none").height == 1


def test_simulated_stores_are_the_same_for_the_same_seed(tmp_path, planted):
    again = simulate_store(tmp_path / "s", n_samples=20_000, seed=3).store
    for model in again.models:
        a, b = (s.outcomes(model, DATASET).collect() for s in (again, planted.store))
        assert a.equals(b)
