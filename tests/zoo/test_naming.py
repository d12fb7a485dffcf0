"""What names tell, and what they leave unsaid."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import zoo
from embedstore.zoo.naming import architecture_of, training_of


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("resnet50.a1_in1k", "RN"),
        ("resnetv2_50x1_bit.goog_in21k", "RN"),
        ("resnext50_32x4d.tv_in1k", "ResNeXt"),
        ("convnextv2_base.fcmae", "ConvNeXt"),
        ("swinv2_cr_small_224.sw_in1k", "Swin"),
        ("eva02_large_patch14_448.mim_m38m_ft_in1k", "EVA"),
        ("vit_base_patch16_224.mae", "ViT"),
        ("vitamin_base_224.datacomp1b_clip", "ViTamin"),
        ("inception_next_tiny.sail_in1k", "InceptionNeXt"),
        ("lambda_resnet26t.c1_in1k", None),
    ],
)
def test_families(name, family):
    assert architecture_of(name) == family


@pytest.mark.parametrize(
    ("tag", "distribution", "tuning"),
    [
        ("a1_in1k", "ImageNet-1k", "none"),
        ("ms_in22k_ft_in1k", "ImageNet-21k", "in1k"),
        ("clip_laion2b_augreg_ft_in12k_in1k_384", "LAION-2B", "in12k+in1k"),
        ("in22k_ft_in22k_in1k", "ImageNet-21k", "in21k+in1k"),
        ("openai_ft_in12k", "WIT", "in12k"),
        ("webli", "WebLI", "none"),
    ],
)
def test_tags(tag, distribution, tuning):
    told = training_of(f"vit_base.{tag}")
    assert (told["training_distribution"], told["fine_tuning"]) == (distribution, tuning)
    assert told["training_samples"] == (1_281_167 if distribution == "ImageNet-1k" else None)


@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "vit_base_patch16_224.mae",
        "tf_efficientnet_b0.ns_jft_in1k",
        "regnety_160.swag_lc_in1k",
        "beit3_base_patch16_224.in22k_ft_in1k",
        "x.ssld_stage1_in22k_in1k",
    ],
)
def test_names_that_do_not_say(name):
    assert training_of(name) == {}


def test_the_file_says_what_the_names_say():
    """A misplaced line would contradict its own name."""
    timm = zoo.models().filter(pl.col("spec").str.starts_with("timm:"))
    n_told = 0
    for row in timm.iter_rows(named=True):
        name = row["spec"].removeprefix("timm:")
        assert row["architecture"] == architecture_of(name), name
        told = training_of(name)
        n_told += bool(told)
        for column in ("training_distribution", "fine_tuning") if told else ():
            assert row[column] == told[column], name
    assert n_told > 1500
