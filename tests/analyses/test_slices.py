"""Where one model loses: planted slices, real predictions against naive counts, what is refused."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cli import main
from embedstore import Store, analysis
from embedstore.errors import EmbedStoreError
from embedstore.schema.across import SLICES
from embedstore.stats.paired import paired_difference
from embedstore.store.datasets import save_annotations, save_dataset
from embedstore.testing.stores import random_store

N = 40


def call(*words: object) -> str:
    done = CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def sliced(store: Store, first: str = "a", second: str = "b", **options: object) -> pl.DataFrame:
    return analysis.run("slices", store, first=first, second=second, **options)


# -- real predictions ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def annotations() -> Path:
    """The files of the package imagenet-x, which need not be imported for that."""
    found = find_spec("imagenet_x")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no imagenet-x; install it with: pip install --no-deps imagenet-x")
    return Path(found.submodule_search_locations[0]) / "annotations"


@pytest.fixture(scope="module")
def imported(tmp_path_factory, annotations, shared_data) -> Path:
    """Real predictions of two networks on 50,000 pictures with ImageNet-X's top factors."""
    path = tmp_path_factory.mktemp("imagenet-x") / "x.store"
    to, by_name = (path, "--dataset", "imagenet-val", "--file"), ("--id", "file_name")
    labels = annotations / "filename_label.csv"
    call("import", "samples", *to, labels, *by_name, "--label", "label", "--classes", "imagenet")
    table = annotations / "imagenet_x_val_top_factor.jsonl"
    call("import", "annotations", *to, table, *by_name)
    listed = annotations / "prototypical_paths.csv"
    call("import", "annotations", *to, listed, *by_name, "--name", "prototype")
    for model in ("ViT", "ResNet50"):
        said = shared_data / "imagenet-x" / f"predictions-{model}.csv.gz"
        call("import", "predictions", *to, said, "--model", model)
    return path


@pytest.fixture(scope="module")
def real(imported, tmp_path_factory) -> pl.DataFrame:
    """All slices, by the command."""
    path = tmp_path_factory.mktemp("slices") / "slices.parquet"
    words = ("--first", "ViT", "--second", "ResNet50", "--format", "parquet", "-o", path)
    call("analyze", "slices", imported, *words)
    return pl.read_parquet(path)


@pytest.fixture(scope="module")
def joined(annotations, shared_data) -> pl.DataFrame:
    """Naive: what both networks say, joined by file name."""
    frame = pl.read_csv(annotations / "filename_label.csv").select("file_name", "label")
    for model in ("ViT", "ResNet50"):
        said = pl.read_csv(shared_data / "imagenet-x" / f"predictions-{model}.csv.gz")
        frame = frame.join(said, "file_name").with_columns(
            (pl.col("predicted_class") == pl.col("label")).alias(model),
            pl.col("predicted_probability").alias(f"{model}_confidence"),
        )
        frame = frame.drop("predicted_class", "predicted_probability")
    factors = pl.read_ndjson(annotations / "imagenet_x_val_top_factor.jsonl")
    return frame.join(factors, "file_name", how="left", maintain_order="left")


def check(row: dict, marked: pl.DataFrame) -> None:
    """Compare a row with the samples that should be in it."""
    a, b = (marked[model].to_numpy().astype(bool) for model in ("ViT", "ResNet50"))
    cells = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    assert (row["n_samples"], row["first_accuracy"]) == (len(a), pytest.approx(a.mean()))
    assert row["second_accuracy"] == pytest.approx(b.mean())
    assert [row["first_only"], row["second_only"]] == [cells[0][1], cells[1][0]]
    assert row["mcnemar_p"] == pytest.approx(mcnemar(cells, exact=True).pvalue, rel=1e-8)
    low, high = paired_difference(*np.ravel(cells))
    assert (row["difference_low"], row["difference_high"]) == (low, high)


def test_each_kind_against_a_naive_count(real, joined):
    by = real.rows_by_key(["kind", "slice"], named=True, unique=True)
    assert list(real.schema.items()) == list(SLICES.items())
    check(by["factor", "pose"], joined.filter(pl.col("pose") == 1))
    check(by["factor", "brighter"], joined.filter(pl.col("brighter") == 1))
    check(by["class", "wolf spider"], joined.filter(pl.col("label") == 77))
    confidence = joined.sort("file_name")["ViT_confidence"].to_numpy().astype(np.float32)
    order = np.argsort(confidence, kind="stable")
    (most,) = real.filter(pl.col("slice").str.starts_with("fifth 5")).to_dicts()
    edges = confidence[order[40_000]], confidence[order[-1]]
    assert most["slice"] == f"fifth 5 of 5: {edges[0]:.3f} to {edges[1]:.3f}"
    assert most["n_samples"] == 10_000
    bins = real.filter(kind="confidence")
    right = (bins["first_accuracy"] * bins["n_samples"]).sum()
    assert right / 50_000 == pytest.approx(0.780060, abs=1e-9)  # golden: accuracy on all
    assert real.group_by("kind").len().sort("kind").rows() == [
        ("class", 1000), ("confidence", 5), ("factor", 17)
    ]  # fmt: skip


def test_the_first_row_is_where_the_first_model_loses_most(real):
    assert real["rank"].to_list() == list(range(1, real.height + 1))
    assert real["difference_high"].is_sorted()
    assert real["slice"][0] == "wolf spider"  # 16 of 50 against 40
    adjusted = multipletests(real["mcnemar_p"], method="fdr_bh")[1]
    np.testing.assert_allclose(real["mcnemar_q"], adjusted, rtol=1e-9)


def test_slices_of_factors_are_those_of_the_factor_table(imported):
    store = Store.open(imported)
    found = sliced(store, "ResNet50", "ViT", where="NOT prototype", min_samples=1)
    found = found.filter(kind="factor")
    table = analysis.run("factors", store)
    for side, model in (("first", "ResNet50"), ("second", "ViT")):
        expected = table.filter(model=model).select("factor", "n_samples", "accuracy").rows()
        ours = found.select("slice", "n_samples", f"{side}_accuracy").rows()
        assert sorted(ours) == sorted(expected)
        assert len(ours) == 16


# -- planted truth ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted(tmp_path_factory, say) -> Store:
    """The first is as good as the second, but for one factor, one place and one class."""
    store = random_store(tmp_path_factory.mktemp("planted") / "s", n_samples=4_000, n_classes=4)
    random = np.random.default_rng(4)
    labels = store.samples("data")["label"].to_numpy()
    fog, rain = random.random((2, 4_000)) < 0.1
    place = random.choice(["sea", "land", "air"], 4_000)
    frame = pl.DataFrame({"fog": fog, "rain": rain, "place": place, "note": None})
    frame = frame.with_columns(pl.col("note").cast(pl.Boolean), empty=pl.lit(None, pl.String))
    save_annotations(store.files, "data", "weather", frame)
    loss = 0.5 * fog + 0.2 * (place == "sea") + 0.1 * (labels == 2)
    right = random.random((2, 4_000)) < np.stack([0.85 - loss, np.full(4_000, 0.85)])
    for model, correct in zip("ab", right, strict=True):
        say(store, model, correct.tolist(), confidence=random.random(4_000).tolist())
    return store


def test_planted_losses_come_first_and_nothing_else_is_found(planted):
    found = sliced(planted)
    assert found["slice"].head(3).to_list() == ["fog", "place=sea", "class-2"]
    assert found["kind"].head(3).to_list() == ["factor", "annotation", "class"]
    assert (found["mcnemar_q"].head(3) < 1e-3).all()
    assert found["difference"][0] == pytest.approx(-0.59, abs=0.06)
    assert found.height == 2 + 3 + 4 + 5
    turned = sliced(planted, "b", "a")
    assert (turned["difference"] > -0.05).all()
    assert turned["slice"][-1] == "fog"


def test_whoever_is_named_first_the_numbers_are_the_same(planted):
    a = sliced(planted, factors="*o*").filter(pl.col("kind") != "confidence").sort("slice")
    b = sliced(planted, "b", "a", factors="*o*").filter(pl.col("kind") != "confidence")
    b = b.sort("slice")
    assert a["slice"].to_list() == b["slice"].to_list()
    np.testing.assert_allclose(a["difference_low"], -b["difference_high"], atol=1e-12)
    assert a["mcnemar_p"].to_list() == b["mcnemar_p"].to_list()


def test_a_prefix_is_left_out_of_the_names(tmp_path, say):
    store = random_store(tmp_path / "s")
    frame = pl.DataFrame({"x_dark": [True, False] * 20, "bright": [True] * N})
    save_annotations(store.files, "data", "n", frame)
    for model in "ab":
        say(store, model, [True] * N)
    found = sliced(store, prefix="x_")
    assert found.filter(kind="factor")["slice"].to_list() == ["dark"]


# -- rows and slices that are left out ------------------------------------------------------------


@pytest.fixture
def partial(tmp_path, say) -> Store:
    store = random_store(tmp_path / "s", n_classes=1)
    dark = [True] * 25 + [False] * 10 + [None] * 5
    frame = pl.DataFrame({"dark": dark, "few": [True] * 7 + [False] * 33, "kind": ["k"] * N})
    save_annotations(store.files, "data", "n", frame)
    say(store, "a", [None] * 3 + [True] * 37)
    say(store, "b", [False] * 38 + [None] * 2)
    return store


def test_what_not_both_judged_is_counted(partial):
    with pytest.raises(EmbedStoreError, match="35 both, 2 the first alone, 3 the second alone"):
        sliced(partial)
    found = sliced(partial, rows="common")
    by = found.rows_by_key("slice", named=True, unique=True)
    assert {s: (r["n_samples"], r["n_left_out"]) for s, r in by.items()} == {
        "dark": (22, 3), "kind=k": (35, 5), "class-0": (35, 5)
    }  # fmt: skip
    assert found["n_small"].unique().to_list() == [1]  # `few`, of 4
    assert set(found["rows"]) == {"common"}


def test_without_confidences_there_are_no_such_slices_and_the_note_says_so(partial):
    found = sliced(partial, rows="common", min_samples=1)
    assert set(found["kind"]) == {"factor", "annotation", "class"}
    assert found["note"].unique().to_list() == ["no slices of confidence: none is stored of a"]


def test_confidences_of_some_samples_and_ties(tmp_path, say):
    store = random_store(tmp_path / "s", n_classes=1)
    say(store, "a", [True] * N, confidence=[None] * 18 + [0.5] * 22)
    say(store, "b", [True] * N)
    found = sliced(store, min_samples=1).filter(kind="confidence").sort("slice")
    assert found["n_samples"].to_list() == [5, 5, 4, 4, 4]  # as numpy.array_split cuts 22
    assert found["slice"][0] == "fifth 1 of 5: 0.500 to 0.500"
    assert found["note"].unique().to_list() == [None]


def test_classes_of_one_name_are_told_apart_by_id(tmp_path, say):
    store = random_store(tmp_path / "s", n_classes=3)
    names = ("crane", "crane", "kite")
    record = replace(store.dataset("data"), name="twins", class_names=names)
    save_dataset(store.files, record, store.samples("data"))
    for model in "ab":
        say(store, model, [True] * N, dataset="twins")
    found = sliced(store, datasets="twins", min_samples=1)
    assert set(found["slice"]) == {"crane (class-0)", "crane (class-1)", "kite"}


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": "haze"}, "no annotation named haze in: data; name others with --factors"),
        ({"factors": "note"}, "column 'note' says nothing of the samples of 'data'"),
        ({"factors": "empty"}, "column 'empty' says nothing of the samples of 'data'"),
        ({"min_samples": 0}, "slices of 0 samples asked for; give --min-samples 1"),
        ({"min_samples": 5_000}, "all 14 slices have fewer than 5,000 samples; .* --min-samples"),
        ({"first": "z"}, "unknown model 'z'; choose one of: a, b, model"),
        ({"second": "a"}, "'a' and 'a' are the same run"),
    ],
)
def test_what_cannot_be_sliced(planted, options, message):
    with pytest.raises(EmbedStoreError, match=message) as refused:
        sliced(planted, **({"first": "a", "second": "b"} | options))
    assert "\n" not in str(refused.value)


def test_columns_that_sort_no_samples_are_passed_over_unless_named(tmp_path, say):
    store = random_store(tmp_path / "s", n_samples=1_200, block_rows=1_200)
    frame = pl.DataFrame({"name": [f"n{i}" for i in range(1_200)], "score": [0.5] * 1_200})
    save_annotations(store.files, "data", "n", frame.with_columns(year=pl.lit(1990)))
    for model in "ab":
        say(store, model, [True] * 1_200)
    assert set(sliced(store)["kind"]) == {"class"}
    assert "year=1990" in sliced(store, factors="year")["slice"]
    with pytest.raises(EmbedStoreError, match="column 'score' holds Float64"):
        sliced(store, factors="score")
    with pytest.raises(EmbedStoreError, match="column 'name' has 1,200 values"):
        sliced(store, factors="name")
