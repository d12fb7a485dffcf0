"""Results and tables for other programs."""

from __future__ import annotations

import json

import polars as pl
import pytest

from embedstore import Store, analysis
from embedstore.errors import EmbedStoreError
from embedstore.exporters.exporting import export
from embedstore.exporters.results import _names
from embedstore.exporters.selection import Chosen
from embedstore.store.datasets import save_annotations
from embedstore.testing.stores import random_store

#: What CLIP_benchmark 1.6.2 dumps (cli.py, `dump`), and its metrics of zero-shot classification.
KEYS = {"dataset", "model", "pretrained", "task", "metrics", "language"}
METRICS = {"acc1", "acc5", "mean_per_class_recall"}


@pytest.fixture
def store(tmp_path) -> Store:
    """Two models on a data set of six classes."""
    return random_store(tmp_path / "s", models=("a", "b"), n_classes=6, failed=(3,))


def test_clip_benchmarks_keys_and_our_numbers(store, tmp_path):
    export(Chosen(store, tmp_path / "out"), "results", "clip-benchmark")
    (row,) = analysis.run("accuracy", store, models="b").rows(named=True)
    path = tmp_path / "out" / "data--b--own--all--zeroshot_classification.json"
    found = json.loads(path.read_text())
    assert set(found) == KEYS | {"head", "space"}
    assert set(found["metrics"]) == METRICS
    assert found["task"] == "zeroshot_classification"
    assert found["metrics"]["acc1"] == row["top1_accuracy"]
    assert found["metrics"]["acc5"] == row["top5_accuracy"]
    assert found["metrics"]["mean_per_class_recall"] == row["mean_class_accuracy"]


def test_it_is_built_into_a_table_as_clip_benchmark_builds_it(store, tmp_path):
    """Its `build`, step by step: metrics up one level, model and pretrained joined."""
    export(Chosen(store, tmp_path / "out"), "results", "clip-benchmark")
    rows = []
    for path in (tmp_path / "out").glob("*.json"):
        data = json.loads(path.read_text())
        row = {**data["metrics"], **{k: v for k, v in data.items() if k != "metrics"}}
        row["model_fullname"] = row["model"] + " " + row["pretrained"]
        rows.append(row)
    assert sorted(row["model_fullname"] for row in rows) == ["a ", "b "]


def test_fewer_than_five_classes_have_no_top_five(tmp_path):
    store = random_store(tmp_path / "s", n_classes=3)
    export(Chosen(store, tmp_path / "r.json"), "results")
    assert json.loads((tmp_path / "r.json").read_text())["metrics"]["acc5"] is None


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", ("ViT-B-32", "laion2b_s34b_b79k")),
        ("open_clip:ViT-B-32/openai?mean=0.5", ("ViT-B-32", "openai")),
        ("open_clip:/a/local/dir", ("name", "")),
        ("open_clip:local/dir", ("name", "")),
        ("timm:vit_base_patch16_224", ("name", "")),
        ("imported", ("name", "")),
    ],
)
def test_names_of_models_are_open_clips_where_they_have_some(spec, names):
    assert _names(spec, "name") == names


def test_any_analysis_as_a_table(store, tmp_path):
    export(Chosen(store, tmp_path / "r.csv", models="a"), "results")
    (row,) = pl.read_csv(tmp_path / "r.csv").rows(named=True)
    assert (row["model"], row["n_left_out"]) == ("a", 1)
    with pytest.raises(EmbedStoreError, match="unknown analysis 'nope'"):
        export(Chosen(store, tmp_path / "x.csv"), "results", analysis="nope")


def test_lists_of_labels_survive_csv(store, tmp_path):
    """Annotations of several values come back from the JSON in a cell."""
    lists = pl.DataFrame(
        {
            "real": pl.Series(
                [[i, i + 1] if i else [] for i in range(40)], dtype=pl.List(pl.Int64)
            ),
            "words": pl.Series([['a "b"', "c\\d", "e\nf", None]] * 40, dtype=pl.List(pl.String)),
            "boxes": pl.Series([[0.5, None]] * 40, dtype=pl.Array(pl.Float64, 2)),
            "none": pl.Series([[1], *[None] * 39], dtype=pl.List(pl.Int64)),
        }
    )
    save_annotations(store.files, "data", "real", lists)
    export(Chosen(store, tmp_path / "s.csv"), "samples")
    found = pl.read_csv(tmp_path / "s.csv")
    for column in lists.columns:
        cells = [None if cell is None else json.loads(cell) for cell in found[column]]
        assert cells == lists[column].to_list()


def test_classes_are_named_in_the_tables(store, tmp_path):
    """`predicted_class` and `label` are class ids: their agreement is `correct`."""
    export(Chosen(store, tmp_path / "o.parquet"), "outcomes")
    frame = pl.read_parquet(tmp_path / "o.parquet")
    assert frame.height == 80
    assert set(frame["label"]) <= {f"class-{i}" for i in range(6)}
    assert (frame["predicted_class"] == frame["label"]).equals(frame["correct"])
    assert frame.filter(pl.col("sample_id") == frame["sample_id"][3])["correct"].count() == 0
