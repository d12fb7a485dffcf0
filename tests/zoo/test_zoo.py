"""The zoo: complete for the study, its names real, its figures those that were published."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from embedstore import schema, zoo
from embedstore.errors import UnknownNameError
from embedstore.models.specs import default_name

ENOUGH = {
    "zero-shot": 84,
    "clip-ft": 44,
    "imagenet": 40,
    "pretrained": 30,
    "contrastive": 30,
    "lmm": 6,
}


def test_every_name_that_the_libraries_offer_and_no_other():
    pytest.importorskip("open_clip")
    pytest.importorskip("timm")
    from embedstore.models.offered import offered_specs

    specs = zoo.models()["spec"].to_list()
    assert len(specs) == len(set(specs))
    libraries = {s for s in specs if s.startswith(("open_clip:", "timm:"))}
    assert libraries == set(offered_specs())


def test_models_of_the_study_are_enough_and_complete():
    counts = dict(zoo.models()["group"].drop_nulls().value_counts().iter_rows())
    assert set(counts) == set(zoo.GROUPS) == set(ENOUGH)
    assert all(counts[group] >= least for group, least in ENOUGH.items())
    assert sum(counts[group] for group in ("imagenet", "pretrained", "contrastive")) >= 127
    study = zoo.models().filter(pl.col("group").is_not_null())
    whole = [name for name in schema.FACTORS if name != "patch"]  # convolutions cut no patches
    assert study.select(whole).null_count().row(0) == (0,) * len(whole)
    convolutional = {"RN", "ResNeXt", "VGG", "RegNet", "EfficientNet", "ConvNeXt"}
    without = study.filter(pl.col("patch").is_null())["architecture"]
    assert set(without) == convolutional


def test_factors_of_the_study_agree_with_each_other():
    study = zoo.models().filter(pl.col("group").is_not_null())
    assert (study["training_samples"] <= study["samples_seen"]).all()
    assert (study["n_parameters"] >= study["n_image_parameters"]).all()
    tuned = {"clip-ft", "pretrained", "contrastive", "lmm"}
    assert ((study["fine_tuning"] != "none") == study["group"].is_in(tuned)).all()
    assert ((study["prompts"] == "openai-80") == (study["group"] == "zero-shot")).all()
    classifiers = study.filter(pl.col("spec").str.starts_with("timm:"))
    assert (classifiers["n_parameters"] == classifiers["n_image_parameters"]).all()


def test_samples_seen_are_those_that_tags_state():
    """`s34b` in an open_clip tag is 34 billion samples."""
    tags = zoo.models("zero-shot").with_columns(
        stated=pl.col("spec").str.extract(r"_s(\d+)b_").cast(pl.Int64) * 10**9
    )
    # DataComp's pools hold 12.8 billion pairs, which their tags round.
    stated = tags.filter(pl.col("stated").is_not_null(), ~pl.col("spec").str.contains("_xl_|_s1b_"))
    assert stated.height > 30
    assert (stated["stated"] == stated["samples_seen"]).all()


def test_names_are_those_that_encode_gives():
    frame = zoo.models()
    assert frame["name"].to_list() == [default_name(spec) for spec in frame["spec"]]


def test_the_file_is_in_order_and_reads_back(tmp_path):
    text = zoo.DATA.read_text("utf-8")
    assert zoo.to_csv(zoo.models()) == text
    assert zoo.models().schema == dict(zoo.COLUMNS)
    shuffled = zoo.models().sample(fraction=1.0, shuffle=True, seed=0)
    (tmp_path / "zoo.csv").write_text(zoo.to_csv(shuffled), "utf-8")
    assert_frame_equal(pl.read_csv(tmp_path / "zoo.csv", schema=dict(zoo.COLUMNS)), zoo.models())


def test_zero_shot_models_have_the_activation_they_were_trained_with():
    open_clip = pytest.importorskip("open_clip")
    from open_clip.pretrained import get_pretrained_cfg

    from embedstore.models.open_clip_sources import check_quick_gelu

    for spec in zoo.models("zero-shot")["spec"]:
        architecture, _, tag = spec.removeprefix("open_clip:").rpartition("/")
        config = open_clip.get_model_config(architecture)
        check_quick_gelu(architecture, tag, config, get_pretrained_cfg(architecture, tag))


def test_published_accuracies_are_those_published(shared_data):
    found = zoo.models().filter(pl.col("imagenet_top1").is_not_null())
    timm = pl.read_csv(shared_data / "published/timm-results-imagenet.csv").select(
        spec="timm:" + pl.col("model"), resolution=pl.col("img_size").cast(pl.Int32), top1="top1"
    )
    ours = found.filter(pl.col("imagenet_top1_source") == "timm results")
    joined = ours.join(timm, on=["spec", "resolution"])
    assert joined.height == ours.height > 1000
    assert (joined["imagenet_top1"] - joined["top1"] / 100).abs().max() < 1e-9
    # Every model that they published at the size it is given is there.
    assert zoo.models().join(timm, on=["spec", "resolution"]).height == ours.height

    clip = pl.read_csv(shared_data / "published/openclip_results.csv").select(
        spec=pl.format("open_clip:{}/{}", "name", "pretrained"), top1="ImageNet 1k"
    )
    ours = found.filter(pl.col("imagenet_top1_source") == "open_clip results")
    joined = ours.join(clip, on="spec")
    assert (joined["imagenet_top1"] - joined["top1"]).abs().max() < 1e-9
    assert joined.height == clip.height
    # open_clip gives OpenAI's weights their QuickGELU under either name, and published one.
    rest = ours.join(clip, on="spec", how="anti").with_columns(
        spec=pl.col("spec").str.replace("-quickgelu/openai", "/openai")
    )
    twins = rest.join(clip, on="spec")
    assert twins.height == rest.height
    assert (twins["imagenet_top1"] == twins["top1"]).all()


def test_parameters_are_those_published(shared_data):
    profile = pl.read_csv(shared_data / "published/model_profile.csv").select(
        pl.col("model"), "image_size", "mparams", "image_mparams"
    )
    ours = zoo.models().with_columns(model=pl.col("spec").str.extract(r"open_clip:(.+)/"))
    joined = ours.join(profile, on="model")
    assert joined["model"].n_unique() > 50
    for column, theirs in [("n_parameters", "mparams"), ("n_image_parameters", "image_mparams")]:
        assert (joined[column] / 1e6 - joined[theirs]).abs().max() < 0.011  # two decimals
    assert (joined["resolution"] == joined["image_size"]).all()

    results = pl.read_csv(shared_data / "published/timm-results-imagenet.csv").select(
        spec="timm:" + pl.col("model"),
        resolution=pl.col("img_size").cast(pl.Int32),
        millions=pl.col("param_count").cast(pl.String).str.replace_all(",", "").cast(pl.Float64),
    )
    joined = zoo.models().join(results, on=["spec", "resolution"])
    differing = joined.filter((pl.col("n_parameters") / 1e6 - pl.col("millions")).abs() > 0.011)
    assert differing["spec"].to_list() == []


@pytest.mark.parametrize(
    ("asked", "spec"),
    [
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:ViT-B/32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip--ViT-B-32--laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("timm:resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("timm:resnet50.a1_in1k?crop_pct=0.9", "timm:resnet50.a1_in1k"),
        ("timm:convnext_atto", "timm:convnext_atto.d2_in1k"),
        ("llava-hf/llava-1.5-7b-hf", "llava:llava-hf/llava-1.5-7b-hf"),
    ],
)
def test_found_in_equivalent_forms(asked, spec):
    assert zoo.find(asked)["spec"] == spec


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "timm:resnet50",  # which of its many weights is the library's choice
        "timm:resnet50.a1_in1k?checkpoint=/mine.pth",  # other weights
        "open_clip:/data/ViT-B-32/openai",
        "wise-ft:timm:resnet50.a1_in1k+timm:resnet50.a2_in1k@0.5",
        "python:module:function",
        "no such model",
    ],
)
def test_what_is_another_model_is_not_found(asked):
    assert zoo.find(asked) is None
    assert zoo.factors(asked) == {}


def test_factors_are_the_known_ones():
    known = zoo.factors("open_clip:ViT-B-32/datacomp_m_s128m_b4k")
    assert known == {
        "architecture": "ViT",
        "n_parameters": 151_277_313,
        "patch": 32,
        "resolution": 224,
        "training_distribution": "DataComp",
        "training_samples": 14_000_000,
        "samples_seen": 128_000_000,
        "fine_tuning": "none",
        "loss": "softmax",
        "prompts": "openai-80",
    }
    assert "patch" not in zoo.factors("timm:resnet50.a1_in1k")
    assert zoo.factors("timm:resnet50.a1_in1k?input_size=288")["resolution"] == 288
    assert zoo.find("timm:resnet50.a1_in1k")["resolution"] == 224


def test_an_unknown_group_is_answered_with_the_choices():
    with pytest.raises(UnknownNameError, match="choose one of: clip-ft, contrastive, imagenet"):
        zoo.models("zeroshot")


def test_encoders_of_language_models_are_in_the_zoo():
    named = zoo.models().filter(pl.col("spec").str.starts_with("llava:"))
    assert named.height == 6 + 3  # OneVision is not in the study
    for row in named.iter_rows(named=True):
        encoder = zoo.find(row["vision_encoder"])
        assert encoder["group"] == "zero-shot"
        assert encoder["resolution"] == row["resolution"]


def test_the_zoo_imports_no_model_library():
    code = (
        "import sys, embedstore.zoo; embedstore.zoo.find('x'); "
        "print([m for m in ('torch', 'timm', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
