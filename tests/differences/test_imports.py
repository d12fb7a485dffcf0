"""Stores of predictions that others computed: small ones, and published ones of real networks."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from embedstore import Store
from embedstore.differences.comparing import diff
from embedstore.importers.decisions import Columns
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table

LABELS = "file_name,label\n1.jpg,cat\n2.jpg,cat\n3.jpg,dog\n4.jpg,fox\n5.jpg,fox\n"
SAID = "image,prediction,confidence\n1.jpg,cat,.5\n2.jpg,dog,.75\n3.jpg,dog,.5\n4.jpg,cat,1\n"


@pytest.fixture
def imported(tmp_path):
    """Make a store of labels and predictions, given as CSV."""

    def make(
        name: str, labels: str = LABELS, said: str = SAID, file: str = "p.csv", **options
    ) -> Store:
        (tmp_path / name).mkdir()
        store = Store.open(tmp_path / name / "store", create=True)
        for path, content in (("labels.csv", labels), (file, said)):
            (tmp_path / name / path).write_text(content)
        import_samples(store, read_table(tmp_path / name / "labels.csv"), "pets")
        table = read_table(tmp_path / name / file)
        import_predictions(store, table, Target("m", "pets"), **options)
        return store

    return make


def numbers(found: pl.DataFrame) -> pl.DataFrame:
    return found.filter(pl.col("kind") == "number")


def test_one_label(imported):
    found = diff(imported("a"), imported("b", labels=LABELS.replace("2.jpg,cat", "2.jpg,dog")))
    assert set(numbers(found)["because"]) == {"data set fingerprint differs: 1 label"}
    assert found.row(by_predicate=pl.col("what") == "correct (samples that differ)")[5] == 1.0
    assert "provenance" not in set(found["kind"])


@pytest.mark.parametrize(
    ("file", "because"),
    [("q.csv", "imported file p.csv against q.csv"), ("p.csv", "contents of p.csv differ")],
)
def test_another_file(imported, file, because):
    other = SAID.replace("2.jpg,dog", "2.jpg,cat")
    found = diff(imported("a"), imported("b", said=other, file=file))
    assert set(numbers(found)["because"]) == {because}
    assert ("provenance", "m / pets / imported", "file") in found.select(
        "kind", "where", "what"
    ).rows()


def test_a_file_without_a_row_leaves_out_a_sample(imported):
    found = diff(imported("a"), imported("b", said=SAID.replace("4.jpg,cat,1\n", "")))
    assert set(numbers(found)["because"]) == {
        "samples without an outcome: 0 in A alone, 1 in B alone; also contents of p.csv differ"
    }


def test_another_column(imported):
    said = "image,prediction,second,confidence\n1.jpg,cat,fox,.5\n2.jpg,dog,dog,.75\n"
    columns = Columns(prediction="second")
    found = diff(imported("a", said=said), imported("b", said=said, columns=columns))
    assert set(numbers(found)["because"]) == {"columns differ"}
    stated = found.filter(pl.col("kind") == "convention")
    assert "prediction from second" in stated["b"].item()


def test_other_classes_are_compared_by_name(imported):
    """One more class, first by name, moves every index and no meaning."""
    more = LABELS + "6.jpg,ant\n"
    found = diff(imported("a"), imported("b", labels=more))
    reasons = {"data set fingerprint differs: 1 sample only in B, classes"}
    assert set(numbers(found)["because"]) <= reasons
    assert "prediction (samples that differ)" not in set(found["what"])
    assert found.row(by_predicate=pl.col("what") == "class_ids")[6] == "only in B: 'ant'"


def test_confidences_that_one_file_lacks(imported):
    said = "\n".join(line.rpartition(",")[0] for line in SAID.splitlines()) + "\n"
    found = numbers(diff(imported("a"), imported("b", said=said)))
    row = found.row(
        by_predicate=pl.col("what") == "confidence (samples known to one store)", named=True
    )
    assert row["difference"] == 4.0


def test_fifty_thousand_real_predictions_of_which_three_labels_differ(tmp_path, shared_data):
    """ViT on ImageNet: its published predictions, under labels of which three were changed."""
    said = shared_data / "imagenet-x" / "predictions-ViT.csv.gz"
    rows = pl.read_csv(said)
    labels = rows.select("file_name", label="predicted_class")  # all right, then three not
    changed = pl.int_range(pl.len()).is_in([5, 500, 49_999])
    others = labels.with_columns(
        pl.when(changed).then((pl.col("label") + 1) % 1000).otherwise("label").alias("label")
    )
    stores = [_store(tmp_path / n, f, said) for n, f in (("a", labels), ("b", others))]
    found = diff(*stores, analyses=["calibration"])
    accuracy = found.row(by_predicate=pl.col("what") == "accuracy: top1_accuracy", named=True)
    assert (accuracy["a"], accuracy["b"]) == ("1", "0.99994")
    assert accuracy["difference"] == pytest.approx(-3 / 50_000, abs=1e-15)
    assert set(numbers(found)["because"]) == {"data set fingerprint differs: 3 labels"}
    assert {"calibration: ece", "calibration: smooth_ece"} <= set(found["what"])


def _store(root: Path, labels: pl.DataFrame, said: Path) -> Store:
    root.mkdir()
    labels.write_csv(root / "labels.csv")
    store = Store.open(root / "store", create=True)
    import_samples(store, read_table(root / "labels.csv"), "imagenet-val")
    import_predictions(store, read_table(said), Target("vit", "imagenet-val"))
    return store
