"""Answers for a person and for a program: `analyze`, `info`, and the four formats."""

from __future__ import annotations

import io
import json
import shutil
import sys

import click
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cli.tables import show
from embedstore import analysis
from embedstore.store.runs import BlockRun

MINE = '''
import polars as pl
from embedstore.analysis import analysis


@analysis
def how_sure(store, *, models: str = "*", at_least: float = 0.5, exact: bool = False):
    """Share of confident predictions."""
    outcomes = store.outcomes(models)
    return outcomes.group_by("model").agg(share=(pl.col("confidence") >= at_least).mean()).collect()
'''


def test_json_is_one_array_and_nothing_else(call, store):
    said = call("analyze", "accuracy", "s", "--format", "json")
    assert (said.exit_code, said.stderr) == (0, "")
    rows = json.loads(said.stdout)
    expected = analysis.run("accuracy", store)
    assert_frame_equal(pl.DataFrame(rows, schema=expected.schema), expected)


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_csv_and_parquet_hold_the_same_table(call, store, format_):
    said = call("analyze", "accuracy", "s", "--format", format_)
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet}[format_]
    expected = analysis.run("accuracy", store)
    found = read(
        io.BytesIO(said.stdout_bytes), **({"schema": expected.schema} if format_ == "csv" else {})
    )
    assert_frame_equal(found, expected)


@pytest.mark.parametrize("format_", ["json", "csv", "parquet", "table"])
def test_output_goes_to_a_file_alone(call, store, tmp_path, format_):
    (tmp_path / "mine.py").write_text(MINE.replace("how_sure", f"in_{format_}"))
    words = ("analyze", "mine.py", "s", "--models", "a", "--format", format_)
    printed = call(*words).stdout_bytes
    said = call(*words, "-o", "answer")
    assert said.output == ""
    assert (tmp_path / "answer").read_bytes() == printed != b""


def test_an_output_that_cannot_be_written_is_one_line(call, store):
    said = call("analyze", "accuracy", "s", "-o", "no/such/folder.csv")
    assert said.exit_code == 1
    assert said.stderr.startswith("embedstore: cannot write no/such/folder.csv")
    assert said.stderr.count("\n") == 1


def test_a_table_in_a_pipe_is_a_line_a_row(call, store):
    lines = call("analyze", "accuracy", "s").stdout.strip().splitlines()
    assert lines[0].startswith("model  dataset  ")
    assert len(lines) == 2 + 4
    assert max(map(len, lines)) > 100


def test_globs_choose_and_no_match_says_where_to_look(call, store):
    rows = json.loads(call("analyze", "accuracy", "s", "--models", "b", "--format", "json").stdout)
    assert {row["model"] for row in rows} == {"b"}
    nothing = call("analyze", "accuracy", "s", "--models", "x*")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert nothing.stderr.startswith("no row: no name matches, or there is nothing to tell")
    assert nothing.stderr.endswith("what there is: embedstore info s\n")
    assert call("analyze", "accuracy", "s", "--models", "x*", "--format", "json").stdout == "[]\n"


def test_json_has_null_for_what_is_not_a_number(capsys):
    from cli.tables import show

    show(pl.DataFrame({"x": [float("nan"), 1.5, None]}), "json")
    assert json.loads(capsys.readouterr().out) == [{"x": None}, {"x": 1.5}, {"x": None}]


def test_an_analysis_of_ones_own_in_a_file(call, store, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    said = call("analyze", "mine.py", "s", "--models", "a", "--at-least", "0", "--format", "json")
    # Rows of failed pictures are null, and do not count.
    assert json.loads(said.stdout) == [{"model": "a", "share": 1.0}]
    usage = call("analyze", tmp_path / "mine.py", "--help").stdout
    assert "Share of confident predictions." in usage
    assert "--at-least FLOAT" in usage
    assert "--exact / --no-exact" in usage


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("x = 1\n", "defines 0 analyses; mark exactly one function with @embedstore.analysis"),
        (
            MINE.replace("how_sure", "one") + MINE.replace("how_sure", "two"),
            "defines 2 analyses; mark exactly one",
        ),
        (
            MINE.replace("how_sure", "lazy").replace(".collect()", ""),
            "'lazy' returns LazyFrame; return a Polars DataFrame",
        ),
    ],
)
def test_a_file_without_one_good_analysis_is_one_line(call, store, tmp_path, code, line):
    (tmp_path / "mine.py").write_text(code)
    said = call("analyze", "mine.py", "s")
    assert said.exit_code == 1, said.output
    assert line in said.stderr
    assert said.stderr.count("\n") == 1
    assert "there is no file none.py" in call("analyze", "none.py", "s").stderr


def test_a_parameter_without_default_is_needed(call, store, tmp_path):
    code = MINE.replace("how_sure", "needy").replace("at_least: float = 0.5", "at_least: float")
    (tmp_path / "mine.py").write_text(code)
    said = call("analyze", "mine.py", "s")
    assert said.exit_code == 2
    assert "Missing option '--at-least'" in said.stderr


def test_info_has_a_row_a_run_and_head(call, store):
    rows = json.loads(call("info", "s", "--format", "json").stdout)
    assert {(r["model"], r["dataset"], r["head"]) for r in rows} == {
        (m, d, h) for m in "ab" for d in "de" for h in (None, "own")
    }
    assert {(r["n_rows"], r["n_failures"], r["state"]) for r in rows} == {(40, 2, "finished")}
    assert all(r["n_bytes"] > 0 for r in rows)


def test_info_on_unfinished_runs_says_how_far_they_are(call, store):
    folder = store.files.root / "models/a/images/d"
    (folder / "manifest.json").unlink()
    (folder / "blocks/000001.json").unlink()
    run = BlockRun.planned(store.files, "models/a/images/d")
    rows = json.loads(call("info", "s", "--format", "json").stdout)
    (row,) = [r for r in rows if (r["model"], r["dataset"]) == ("a", "d")]
    assert row["state"] == f"{run.plan.n_blocks - 1} of {run.plan.n_blocks} blocks"
    said = call("analyze", "accuracy", "s", "--datasets", "d", "--format", "json")
    assert [r["model"] for r in json.loads(said.stdout)] == ["a", "b"]


def test_info_on_half_deleted_models(call, store):
    (store.files.root / "models/a/model.json").unlink()
    shutil.rmtree(store.files.root / "models/b/images")
    rows = json.loads(call("info", "s", "--format", "json").stdout)
    assert [(r["model"], r["state"]) for r in rows] == [
        ("a", "model.json is missing"),
        *[("b", "embeddings are missing"), ("b", "finished")] * 2,  # two data sets; heads' logits
    ]


def test_info_on_an_empty_store(call, tmp_path):
    from embedstore import Store

    Store.open(tmp_path / "empty", create=True)
    said = call("info", "empty")
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr == "empty is empty; fill it with: embedstore encode\n"


@pytest.mark.parametrize("width", [100, 74])
def test_a_terminal_of_any_width_is_not_overrun(capsys, monkeypatch, width):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    accuracies = {f"top{i}_accuracy": [0.123456, 0.2 + i] for i in range(5)}
    names = {"model": ["image-text", "b"], "head": ["photo--" + 9 * "photographs", "own"]}
    show(pl.DataFrame({**names, **accuracies}), "table")
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    (row,) = [line for line in lines if "0.1235" in line]
    assert row.split().count("0.1235") == 5
    assert row.split()[0] == "image-text"


def test_headings_are_bold_on_a_terminal_alone(call, capsys, monkeypatch):
    frame = pl.DataFrame({"model": ["a"]})
    show(frame, "table")
    assert capsys.readouterr().out == "model\n-----\na\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show(frame, "table")
    assert capsys.readouterr().out == click.style("model", bold=True) + "\n-----\na\n"


def test_options_are_explained_in_the_words_of_the_docstring(call):
    usage = " ".join(call("analyze", "compare", "--help", terminal_width=200).stdout.split())
    assert "--first TEXT MODEL, or MODEL@HEAD where the model has several heads" in usage
    assert "[required]" in usage
    assert "embedstore analyze compare clip.store --first vit --second rn50" in usage


def test_a_value_of_the_wrong_type_is_wrong_usage(call, store):
    said = call("analyze", "calibration", "s", "--n-bins", "x")
    assert (said.exit_code, said.stdout) == (2, "")
    assert "Invalid value for '--n-bins': 'x' is not a valid integer." in said.stderr


def test_a_default_tells_the_type_where_nothing_else_does(call, store, tmp_path):
    code = MINE.replace("how_sure", "untyped").replace("at_least: float", "at_least")
    (tmp_path / "mine.py").write_text(code)
    assert call("analyze", "mine.py", "s", "--at-least", "x").exit_code == 2
    said = call("analyze", "mine.py", "s", "--at-least", "0", "--models", "a", "--format", "json")
    assert json.loads(said.stdout) == [{"model": "a", "share": 1.0}]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("x = 1\ndef f(:\n", "mine.py:2: invalid syntax; mend it"),
        ("x = 1\n\nimport no_such_module.at_all\n", "mine.py:3: No module named 'no_such_module'"),
        ("from embedstore import nope\n", "mine.py:1: cannot import name 'nope'"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line_that_says_where(call, tmp_path, code, line):
    (tmp_path / "mine.py").write_text(code)
    said = call("analyze", "mine.py", "s")
    assert (said.exit_code, said.stdout) == (1, "")
    assert line in said.stderr
    assert said.stderr.count("\n") == 1
