"""The real ImageNet-X: 50,000 samples, two networks, published figures."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import Store, analysis
from embedstore.importers.annotations import import_annotations
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.prompts import imagenet
from embedstore.store.verify import verify


@pytest.fixture(scope="module")
def store(tmp_path_factory, imagenet_x, shared_data) -> Store:
    store = Store.open(tmp_path_factory.mktemp("imagenet-x") / "s", create=True)
    spaces = ["imagenet-real"]
    labels = read_table(imagenet_x / "filename_label.csv")
    import_samples(store, labels, "imagenet", spaces=spaces)
    for kind in ("top", "multi"):
        table = read_table(imagenet_x / f"imagenet_x_val_{kind}_factor.jsonl")
        import_annotations(store, table, "imagenet", prefix=f"{kind}_")
    real = read_table(imagenet_x / "imagenet_real_labels.jsonl")
    import_annotations(store, real, "imagenet", rows="sorted-ids", columns=["real_labels"])
    for model in ("ViT", "ResNet50"):
        table = read_table(shared_data / "imagenet-x" / f"predictions-{model}.csv.gz")
        import_predictions(store, table, Target(model, "imagenet"))
    return store


@pytest.fixture(scope="module")
def annotated(store, imagenet_x) -> pl.DataFrame:
    """Outcomes of the 46,110 annotated pictures that are no prototypes, in both spaces."""
    prototypes = pl.read_csv(imagenet_x / "prototypical_paths.csv")["file_name"]
    ids = prototypes.str.strip_suffix(".JPEG").to_list()
    frame = store.outcomes(samples=True).filter(
        pl.col("top_pose").is_not_null(), ~pl.col("sample_id").is_in(ids)
    )
    return frame.collect()


def test_the_store_knows_imagenets_classes(store):
    record = store.dataset("imagenet")
    assert (record.class_list, record.class_ids) == ("imagenet", imagenet().ids)
    assert (record.n_samples, record.spaces) == (50_000, ("imagenet-real",))
    assert not verify(store.files)


def test_accuracy_over_all_50_000(store):
    found = analysis.run("accuracy", store).filter(space="all")
    assert dict(found.select("model", "top1_accuracy").iter_rows()) == {
        "ResNet50": pytest.approx(0.761300, abs=1e-9),
        "ViT": pytest.approx(0.780060, abs=1e-9),
    }
    assert found["top5_accuracy"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("model", "average", "pose", "background", "real"),
    [
        ("ViT", 0.767599219, 0.740669783, 1.090969367, 0.830843),
        ("ResNet50", 0.746692691, 0.694739034, 1.141699123, 0.819082),
    ],
)
def test_the_published_factors(annotated, model, average, pose, background, real):
    rows = annotated.filter(model=model, space="all")
    assert rows.height == 46_110
    overall = rows["correct"].mean()
    assert overall == pytest.approx(average, abs=1e-9)
    for factor, ratio in {"pose": pose, "background": background}.items():
        accuracy = rows.filter(pl.col(f"top_{factor}"))["correct"].mean()
        assert (1 - accuracy) / (1 - overall) == pytest.approx(ratio, abs=1e-9)
    reassessed = annotated.filter(model=model, space="imagenet-real")
    assert reassessed["correct"].mean() == pytest.approx(real, abs=1e-6)


def test_calibration_of_the_confidences(store):
    for model, expected in {"ViT": 0.0141253845, "ResNet50": 0.0373079126}.items():
        rows = store.outcomes(model, space="all").collect()
        bins = (rows["confidence"].cast(pl.Float64) * 15).ceil().clip(1, 15).alias("bin")
        sums = rows.group_by(bins).agg(
            pl.len(), pl.col("correct").mean(), pl.col("confidence").cast(pl.Float64).mean()
        )
        gaps = (sums["correct"] - sums["confidence"]).abs() * sums["len"]
        assert gaps.sum() / 50_000 == pytest.approx(expected, abs=1e-7)
