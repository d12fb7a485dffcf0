"""What configurations tell, against the zoo's lines; and a refresh that keeps what people wrote."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import schema, zoo

pytest.importorskip("open_clip")
pytest.importorskip("timm")

from embedstore.models import offered

SIZES = ("architecture", "n_parameters", "n_image_parameters", "patch", "resolution")


@pytest.mark.parametrize(
    "spec",
    [
        "open_clip:RN50-quickgelu/openai",
        "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "open_clip:coca_ViT-B-32/laion2b_s13b_b90k",
        "open_clip:ViT-B-16-SigLIP/webli",
        "open_clip:convnext_base_w/laion2b_s13b_b82k",
        "open_clip:EVA02-B-16/merged2b_s8b_b131k",
        "open_clip:roberta-ViT-B-32/laion2b_s12b_b32k",
        "timm:resnet50.tv2_in1k",
        "timm:swin_tiny_patch4_window7_224.ms_in1k",
        "timm:vit_base_patch16_clip_384.openai_ft_in12k_in1k",
        "timm:convnextv2_atto.fcmae_ft_in1k",
    ],
)
def test_configurations_tell_what_the_zoo_says(spec):
    told, row = offered.facts(spec), zoo.find(spec)
    assert (told["name"], told["spec"]) == (row["name"], row["spec"])
    for column in SIZES:
        if column in told:
            assert told[column] == row[column], column


def test_a_refresh_adds_what_is_missing_and_keeps_what_is_there(tmp_path, monkeypatch):
    lost = "timm:resnet18.a1_in1k"
    there = zoo.models().filter(pl.col("spec") != lost)
    invented = there.head(1).with_columns(spec=pl.lit("timm:no_such"), name=pl.lit("x"))
    monkeypatch.setattr(zoo, "models", lambda: pl.concat([there, invented]))
    path = tmp_path / "models.csv"
    assert offered.refresh(path) == ["timm:no_such"]
    read = pl.read_csv(path, schema=dict(zoo.COLUMNS))
    assert set(read["spec"]) == {*there["spec"], lost, "timm:no_such"}
    assert read.join(there, on=list(zoo.COLUMNS), nulls_equal=True).height == there.height
    row = read.row(by_predicate=pl.col("spec") == lost, named=True)
    assert row["group"] is None
    assert row["n_parameters"] == 11_689_512
    known = [n for n in schema.FACTORS if row[n] is not None]
    assert known == [
        "architecture",
        "n_parameters",
        "resolution",
        "training_distribution",
        "training_samples",
        "fine_tuning",
    ]
