"""`embedstore zoo`."""

from __future__ import annotations

import io
import json
import sys

import click
import polars as pl
import pytest
from click.shell_completion import ShellComplete
from polars.testing import assert_frame_equal

from cli import main
from embedstore import zoo


def test_json_csv_and_parquet_hold_all_columns(call, tmp_path):
    expected = zoo.models("clip-ft")
    words = ("zoo", "list", "--group", "clip-ft")
    rows = json.loads(call(*words, "--format", "json").stdout)
    assert_frame_equal(pl.DataFrame(rows, schema=expected.schema), expected)
    text = call(*words, "--format", "csv").stdout_bytes
    assert_frame_equal(pl.read_csv(io.BytesIO(text), schema=expected.schema), expected)
    assert call(*words, "--format", "parquet", "-o", "zoo.parquet").output == ""
    assert_frame_equal(pl.read_parquet(tmp_path / "zoo.parquet"), expected)


def specs(said) -> set[str]:
    return {row["spec"] for row in json.loads(said.stdout)}


def test_filters(call):
    def listed(*words: str) -> set[str]:
        return specs(call("zoo", "list", *words, "--format", "json"))

    assert listed("*rn50-*", "--group", "zero-shot") == {
        "open_clip:RN50-quickgelu/openai",
        "open_clip:RN50-quickgelu/yfcc15m",
        "open_clip:RN50-quickgelu/cc12m",
    }
    everything = zoo.models()
    laion = listed("--training-distribution", "laion-*", "--architecture", "eva")
    assert laion == set(
        everything.filter(
            pl.col("training_distribution").str.starts_with("LAION-"),
            pl.col("architecture") == "EVA",
        )["spec"]
    )
    assert len(laion) > 3
    assert len(listed()) == everything.height


def test_nothing_found_and_wrong_words(call):
    nothing = call("zoo", "list", "no-such-*")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr == "no model matches; see all with: embedstore zoo list\n"
    assert call("zoo", "list", "--group", "zeroshot").exit_code == 2
    family = call("zoo", "list", "--architecture", "Swim")
    assert family.exit_code == 1
    assert "unknown architecture 'Swim'" in family.stderr
    assert "Swin" in family.stderr


def test_the_table_fits_a_terminal_of_100_columns(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    main(["zoo", "list", "--group", "zero-shot"], standalone_mode=False)
    lines = [click.unstyle(line) for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 100
    (line,) = [line for line in lines if "ViT-B-32/laion2b_s34b_b79k" in line]
    found = line.split()
    assert found == [
        "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "ViT",
        "151M",
        "224",
        "LAION-2B",
        "0.666",
    ]
    main(["zoo", "list", "timm:resnet50.a1_in1k"], standalone_mode=False)
    assert "imagenet" in capsys.readouterr().out


def test_show_is_a_card_with_a_line_to_run(call):
    said = call("zoo", "show", "open_clip:ViT-B/32/laion2b_s34b_b79k").stdout
    card = dict(line.split("  ", 1) for line in said.splitlines() if "  " in line)
    card = {name.strip(): value.strip() for name, value in card.items()}
    assert card["name"] == "open_clip--ViT-B-32--laion2b_s34b_b79k"
    assert card["n parameters"] == "151,277,313"
    assert card["samples seen"] == "34,000,000,000"
    assert card["vision encoder"] == "-"
    assert "embedstore encode STORE --model open_clip:ViT-B-32/laion2b_s34b_b79k" in said
    assert said.rstrip().endswith("--prompts openai-80")
    assert "--prompts" not in call("zoo", "show", "timm:resnet50.a1_in1k").stdout
    asked = call("zoo", "show", "llava:llava-hf/llava-1.5-7b-hf").stdout
    assert asked.rstrip().endswith("--protocol n-way-4")


def test_a_model_that_cannot_be_used_names_the_one_to_use(call):
    said = call("zoo", "show", "open_clip:RN50/openai").stdout
    assert "trained with QuickGELU" in said
    assert "encode STORE --model open_clip:RN50-quickgelu/openai " in said


def test_show_as_json_is_the_row(call):
    (row,) = json.loads(call("zoo", "show", "timm:resnet50.a1_in1k", "--format", "json").stdout)
    assert row == zoo.find("timm:resnet50.a1_in1k")


@pytest.mark.parametrize(
    "asked", ["timm:resnet50.a1_in1", "timm--resnet50.a1_in1", "timm:resnet50"]
)
def test_an_unknown_model_is_answered_with_the_closest(call, asked):
    said = call("zoo", "show", asked)
    assert said.exit_code == 1
    assert said.stderr.count("\n") == 1
    assert f"unknown model of the zoo {asked!r}; choose one of: " in said.stderr
    if asked != "timm:resnet50":
        assert "resnet50.a1_in1k" in said.stderr


def test_names_are_completed():
    complete = ShellComplete(main, {}, "embedstore", "_EMBEDSTORE_COMPLETE")
    found = complete.get_completions(["zoo", "show"], "open_clip:ViT-g-14/")
    assert [item.value for item in found] == [
        "open_clip:ViT-g-14/laion2b_s12b_b42k",
        "open_clip:ViT-g-14/laion2b_s34b_b88k",
    ]
