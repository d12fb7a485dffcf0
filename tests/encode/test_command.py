"""`embedstore encode` as a user types it: several models and data sets, dry run, exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from embedstore import Store
from embedstore.store.verify import verify

LINEAR = "toy=python:toy_models:linear"


@pytest.fixture
def encode(tmp_path, environment, monkeypatch):
    """Run `embedstore encode store ...` in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Result:
        words = ("encode", "store", "--workers", "1", *map(str, words))
        return CliRunner().invoke(main, words, catch_exceptions=False)

    return run


def files(root: Path) -> set[Path]:
    return {p for p in root.rglob("*") if p.is_file()}


def test_two_models_on_two_data_sets_in_one_call(encode, pictures, tmp_path):
    words = ("--model", LINEAR, "--model", "python:toy_models:native", "--limit", "8")
    words += ("--data", f"pets=folder:{pictures}", "--data", f"cats=folder:{pictures / 'cat'}")
    said = encode(*words)
    assert (said.exit_code, said.stdout) == (0, "")
    store = Store.open(tmp_path / "store")
    assert store.models == ["python--toy_models--native", "toy"]
    assert store.datasets == ["cats--limit-8", "pets--limit-8"]
    assert len(store.outcome_runs()) == 4
    # No terminal: plain lines, one a stage, and what to do next.
    lines = said.stderr.splitlines()
    assert lines[0].startswith("reading pets--limit-8: 8/8 images, ")
    assert sum(line.startswith("loading ") for line in lines) == 2
    assert "toy on pets--limit-8: 8 pictures, 1 could not be used" in lines
    assert lines[-1] == "next: embedstore analyze accuracy store"
    assert "\x1b" not in said.stderr
    assert "\r" not in said.stderr

    again = encode(*words)
    assert again.exit_code == 0
    assert again.stderr.splitlines() == [
        f"{model} on {data}--limit-8: already there, nothing to do"
        for model in ("toy", "python--toy_models--native")
        for data in ("pets", "cats")
    ]


def test_a_dry_run_prints_a_table_and_writes_nothing(encode, pictures, tmp_path):
    words = ("--model", LINEAR, "--data", f"pets=folder:{pictures}", "--batch-size", "4")
    said = encode(*words, "--dry-run")
    assert said.exit_code == 0
    header, _, row, *_ = said.stdout.strip().splitlines()
    assert header.split()[:4] == ["model", "dataset", "n", "images"]
    assert row.split()[:4] == ["toy", "pets", "46", "0"]
    assert not (tmp_path / "store").exists()

    encode(*words, "--limit", "8")
    before = files(tmp_path / "store")
    row = encode(*words, "--limit", "8", "--dry-run").stdout.strip().splitlines()[2].split()
    assert row[:4] == ["toy", "pets", "8", "8"]
    assert files(tmp_path / "store") == before


def test_strict_exits_with_3_where_pictures_failed_also_when_nothing_is_left_to_do(
    encode, pictures
):
    words = ("--model", LINEAR, "--data", f"pets=folder:{pictures}")
    assert encode(*words, "--strict").exit_code == 3
    said = encode(*words, "--strict")
    assert said.exit_code == 3
    assert "already there" in said.stderr
    assert encode(*words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--model", LINEAR, "--data", "a=folder:."), "two models are named 'toy'"),
        (("--data", "d=folder:.", "--data", "e=folder:."), "two data sets are named 'd'"),
        (("--data", "a/b=folder:."), "data set name 'a/b' holds a slash"),
        (("--data", "..=folder:."), "data set name '..' begins with a dot"),
        (("--data", "a\tb=folder:."), r"data set name 'a\tb' holds a control character"),
        (("--model", "a/b=timm:x"), "model name 'a/b' holds a slash"),
        (("--model", "..=timm:x"), "model name '..' begins with a dot"),
        (("--model", "x\x7f=timm:x"), r"model name 'x\x7f' holds a control character"),
        (("--model", "zoo:x"), "unknown model kind 'zoo'; choose one of: llava, open_clip, python"),
        (("--model", "x=resnet50"), "model SPEC 'resnet50' is not KIND:NAME; write"),
        (("--data", "e=zip:x"), "unknown kind of data source 'zip'; choose one of: coco-karpathy"),
        (("--data", "e=/data"), "data source '/data' names no kind; write it as KIND:LOCATION"),
        (("--prompts", "openai-81"), "unknown prompt set 'openai-81'; choose one of: FILE.json"),
        (("--precision", "float8"), "unknown precision 'float8'; choose one of: auto, bfloat16"),
        (("--classes", "none.txt"), "cannot read none.txt: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_made(encode, tmp_path, words, line):
    said = encode("--model", LINEAR, "--data", "d=folder:.", *words)
    assert said.exit_code == 1
    assert said.stderr.startswith(f"embedstore: {line}")
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "words",
    [("--batch-size", "0"), ("--batch-size", "many"), ("--data", "pets"), ("--workers", "0")],
)
def test_wrong_usage_exits_with_2(encode, words):
    said = encode("--model", LINEAR, "--data", "d=folder:.", *words)
    assert said.exit_code == 2
    assert "Usage: " in said.stderr


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (
            "python:toy_models:linea",
            "unknown function of toy_models 'linea'; choose one of:",
        ),
        ("python:no_such:f", "module 'no_such' of python:no_such:f cannot be imported"),
        ("timm:resnet5", "unknown timm model 'resnet5'; choose one of:"),
        (
            "open_clip:ViT-B-33/laion2b_s34b_b79k",
            "unknown open_clip architecture 'ViT-B-33'; choose one of:",
        ),
        (
            "open_clip:ViT-B-32/laion3b",
            "unknown tag of open_clip's ViT-B-32 'laion3b'; choose one of:",
        ),
    ],
)
def test_a_model_that_is_not_there_is_one_line_and_the_store_stays_whole(
    encode, pictures, tmp_path, spec, line
):
    said = encode("--model", f"x={spec}", "--data", f"d=folder:{pictures}", "--limit", "1")
    assert said.exit_code == 1
    assert said.stderr.splitlines()[-1].startswith(f"embedstore: {line}")
    assert "Traceback" not in said.stderr
    assert verify(Store.open(tmp_path / "store").files) == []


def test_a_terminal_gets_bars_and_its_cursor_back(command, pictures, tmp_path, environment):
    pty = pytest.importorskip("pty")
    import os
    import subprocess
    import sys

    words = ("encode", str(tmp_path / "store"), "--model", "python:toy_models:broken")
    words += ("--data", f"pets=folder:{pictures}", "--workers", "1")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from cli import main; main()", *words],
        env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        cwd=Path(__file__).parents[2],
        stderr=theirs,
    )
    os.close(theirs)
    shown = _read_all(ours).decode()
    assert process.wait(60) == 1
    assert "reading pets" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # shown again after it was hidden
    plain = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", shown)
    assert "\nembedstore: the model gives NaN or infinity for row 0" in plain


def _read_all(descriptor: int) -> bytes:
    import os

    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end is closed
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts)
        parts.append(part)


def test_json_is_all_that_an_answer_prints(encode, pictures, command, tmp_path):
    encode("--model", LINEAR, "--data", f"pets=folder:{pictures}", "--limit", "12")
    process = command("analyze", "accuracy", tmp_path / "store", "--format", "json")
    printed, errors = process.communicate(timeout=60)
    (row,) = json.loads(printed)
    assert (row["model"], row["n_samples"] + row["n_left_out"]) == ("toy", 12)
    assert errors == ""
