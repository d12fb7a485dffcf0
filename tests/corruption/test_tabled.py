"""Published tables in each layout say the same; what is none says so in one line."""

from __future__ import annotations

import csv
from pathlib import Path

import polars as pl
import pytest

from embedstore.corruption.tabled import read_accuracies
from embedstore.errors import EmbedStoreError
from embedstore.schema.corruption import UNDER_CORRUPTION

PUBLISHED = "published/imagenet-3dcc-per-severity.csv"
WIDE = ",fog,fog,snow\n,1,2,1\na,0.5,0.25,0.125\nb,1,0,0.75\n"
ROWS = [
    ("a", "fog", 1, 0.5), ("a", "fog", 2, 0.25), ("a", "snow", 1, 0.125),
    ("b", "fog", 1, 1.0), ("b", "fog", 2, 0.0), ("b", "snow", 1, 0.75),
]  # fmt: skip
TIDY = pl.DataFrame(ROWS, schema=["model", "corruption", "severity", "accuracy"], orient="row")


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def read(path: Path) -> list[tuple[str, str, int, float]]:
    frame = read_accuracies(path)
    assert dict(frame.schema) == dict(UNDER_CORRUPTION)
    return frame.select("model", "corruption", "severity", "accuracy").rows()


def test_the_published_table(shared_data):
    with (shared_data / PUBLISHED).open(newline="") as file:
        (_, *corruptions), (_, *severities), *models = csv.reader(file)
    wanted = {
        (model, c, int(s)): float(v)
        for model, *values in models
        for c, s, v in zip(corruptions, severities, values, strict=True)
    }
    frame = read_accuracies(shared_data / PUBLISHED)
    assert frame["benchmark"].unique().to_list() == ["imagenet-3dcc"]
    found = frame.select("model", "corruption", "severity", "accuracy").rows()
    assert {key: v for *k, v in found for key in [tuple(k)]} == wanted
    assert len(found) == 3 * 60


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_two_rows_of_titles(tmp_path, separator):
    assert read(written(tmp_path / "t.csv", WIDE.replace(",", separator))) == ROWS


def test_per_cent_and_empty_fields(tmp_path):
    text = "model,fog,fog,snow\nseverity,1,2,1\na,50,25,12.5\nb,100,-,\n"
    assert read(written(tmp_path / "t.csv", text)) == ROWS[:4]


def test_tidy_tables_of_each_kind(tmp_path):
    TIDY.write_csv(tmp_path / "t.csv")
    TIDY.write_parquet(tmp_path / "t.parquet")
    TIDY.write_ndjson(tmp_path / "t.jsonl")
    for kind in ("csv", "parquet", "jsonl"):
        assert read(tmp_path / f"t.{kind}") == ROWS


def test_clean_rows_and_names(tmp_path):
    clean = TIDY.with_columns(head=pl.lit("own"), benchmark=pl.lit("mine"))
    clean = clean.extend(clean[:1].with_columns(severity=pl.lit(0, pl.Int64)))
    clean = clean.extend(
        clean[3:4].with_columns(corruption=pl.lit("clean"), severity=pl.lit(None, pl.Int64))
    )
    clean.write_parquet(tmp_path / "t.parquet")
    frame = read_accuracies(tmp_path / "t.parquet")
    assert frame.filter(severity=0).select("model", "corruption", "accuracy").rows() == [
        ("a", None, 0.5), ("b", None, 1.0),
    ]  # fmt: skip
    assert frame.select("head", "benchmark").unique().rows() == [("own", "mine")]
    wide = written(tmp_path / "w.csv", ",clean,fog\n,,1\na,0.75,0.5\n")
    assert read(wide) == [("a", None, 0, 0.75), ("a", "fog", 1, 0.5)]


def test_the_benchmark_is_known_by_its_corruptions_or_named_after_the_file(tmp_path):
    TIDY.write_csv(tmp_path / "mine.v2.csv")
    assert read_accuracies(tmp_path / "mine.v2.csv")["benchmark"][0] == "imagenet-c"
    TIDY.with_columns(corruption=pl.lit("x") + pl.col("corruption")).write_csv(tmp_path / "o.csv")
    assert read_accuracies(tmp_path / "o.csv")["benchmark"][0] == "o"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,corruption,severity\na,fog,1\n", "lacks the column 'accuracy'; give a table with"),
        ("model,corruption,severity,accuracy\n", "has no row; give a table"),
        (",fog,fog\n,1,2\na,.5\n", "is ragged: row 3 has 2 values and the first 3; mend the row"),
        (",fog,fog\n,1,2\na,.5,high\n", "'high' in .* is no accuracy; give a number, or leave it"),
        (",fog,fog\n,1,2\na,.5,500\n", "holds 500, which is no accuracy; give fractions, or per"),
        (",fog,fog\n,1,2\na,.5,-0.5\n", "holds -0.5, which is no accuracy"),
        (",fog,fog\n,1,1\na,.5,.5\n", "has two accuracies of 'a' under fog 1; keep one"),
        (",fog,\n,1,2\na,.5,.5\n", "under '' at severity '2', which are no corruption and"),
        (",fog,fog\n,1,\na,.5,.5\n", "under 'fog' at severity '', which are no corruption and"),
        (",fog,fog\n,1,x\na,.5,.5\n", "'x' in .* is no severity; give a number"),
        (",fog,fog\n,1,1.5\na,.5,.5\n", "under 'fog' at severity '1.5', which are no"),
        (",fog,fog\n,1,2\na,,-\n", "holds no accuracy; give a table with"),
        (",fog,fog\n,1,2\n", "holds no accuracy; give a table with"),
        ("model,corruption,severity,accuracy\na,fog,1,.5\na,fog,1,.6\n", "two accuracies of 'a'"),
        ("model,corruption,severity,accuracy\na,clean,,.5\na,none,,.6\n", "under clean pictures"),
        ("", "is empty"),
    ],
)
def test_what_is_no_table_of_accuracies(tmp_path, text, message):
    with pytest.raises(EmbedStoreError, match=message) as raised:
        read_accuracies(written(tmp_path / "t.csv", text))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(EmbedStoreError, match="cannot read .*; check the path"):
        read_accuracies(tmp_path / "none.csv")
