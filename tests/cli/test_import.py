"""`embedstore import` of tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cli import import_decisions, import_tables
from embedstore.importers import annotations, decisions, predictions, samples

LABELS = "file_name,label\ncat/1.jpg,cat\ndog/2.jpg,dog\n"


@pytest.fixture
def tables(tmp_path):
    contents = {
        "labels.csv": LABELS,
        "notes.csv": "id,dark\n2.jpg,1\n",
        "said.csv": "image,pred,confidence\n2.jpg,dog,0.5\n1.jpg,dog,0.25\n",
        "answers.csv": "image,response,pred_label\n1.jpg,A,cat\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)


def test_four_commands_and_what_they_say(call, tables):
    done = call("import", "samples", "s", "--dataset", "pets", "--file", "labels.csv")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "labels are in column 'label'\npets: 2 samples, 2 classes\n"
    done = call("import", "annotations", "s", "--dataset", "pets", "--file", "notes.csv")
    assert "1 (cat/1) samples of pets are not in notes.csv: null\n" in done.stderr
    words = ("import", "predictions", "s", "--dataset", "pets", "--file", "said.csv")
    done = call(*words, "--model", "m", "--id", "image", "--prediction", "pred")
    assert done.stderr.endswith(
        "m on pets, head 'imported': 2 predictions\nnext: embedstore analyze accuracy s\n"
    )
    assert "null: max_logit, energy, entropy, margin, nll, brier (no logits" in done.stderr
    again = call(*words, "--model", "m")
    assert again.stderr.endswith("2 predictions, already there\n")
    done = call(
        *("import", "answers", "s", "--model", "l", "--dataset", "pets", "--file", "answers.csv"),
        *("--layout", "vlm-shapebias", "--protocol", "letters-16"),
    )
    assert done.exit_code == 0
    assert "l on pets, protocol 'letters-16': 1 answers\n" in done.stderr


def test_the_rest_of_the_commands_know_an_imported_store(call, tables):
    call("import", "samples", "s", "--dataset", "pets", "--file", "labels.csv")
    said = ("--dataset", "pets", "--file", "said.csv")
    call("import", "predictions", "s", "--model", "m", *said)
    call("import", "annotations", "s", "--dataset", "pets", "--file", "notes.csv")
    (row,) = json.loads(call("analyze", "accuracy", "s", "--format", "json").stdout)
    assert (row["top1_accuracy"], row["top5_accuracy"], row["n_samples"]) == (0.5, None, 2)
    (row,) = json.loads(call("info", "s", "--format", "json").stdout)
    assert (row["head"], row["n_rows"], row["state"]) == ("imported", 2, "finished")
    assert call("verify", "s").stderr == "s is whole\n"
    assert call("copy", "s", "t").exit_code == 0
    again = json.loads(call("analyze", "accuracy", "t", "--format", "json").stdout)
    assert again[0]["top1_accuracy"] == 0.5
    assert call("rm", "t", "--model", "m", "--data", "pets", "--yes").exit_code == 0
    assert json.loads(call("analyze", "accuracy", "t", "--format", "json").stdout) == []
    assert call("verify", "t").stderr == "t is whole\n"
    assert call("rm", "t", "--data", "pets", "--yes").exit_code == 0
    assert call("verify", "t").stderr == "t is whole\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("samples", "s", "--dataset", "x", "--file", "none.csv"), "cannot read none.csv"),
        (
            ("samples", "s", "--dataset", "x", "--file", "said.csv", "--label", "y"),
            "said.csv has no",
        ),
        (("annotations", "none", "--dataset", "x", "--file", "notes.csv"), "there is no store at"),
        (
            ("predictions", "s", "--model", "m", "--dataset", "x", "--file", "said.csv"),
            "the store has no data set 'x' (there: pets)",
        ),
    ],
)
def test_stated_errors_are_one_line(call, tables, words, line):
    call("import", "samples", "s", "--dataset", "pets", "--file", "labels.csv")
    said = call("import", *words)
    assert said.exit_code == 1
    assert said.stderr.startswith(f"embedstore: {line}")
    assert said.stderr.count("\n") == 1


def test_wrong_usage_exits_with_2(call):
    for words in (
        ("samples", "s", "--file", "f"),
        ("predictions", "s", "--model", "m", "--dataset", "d", "--file", "f", "--layout", "x"),
        ("answers", "s", "--model", "m", "--dataset", "d", "--file", "f"),
    ):
        assert call("import", *words).exit_code == 2


def test_choices_are_those_of_the_importers():
    assert tuple(decisions.LAYOUTS) == import_decisions.LAYOUTS
    assert predictions.PROTOCOLS == import_decisions.PROTOCOLS
    options = {
        p.name: p for c in (import_tables.samples, import_tables.annotations_) for p in c.params
    }
    assert tuple(options["layout"].type.choices) == samples.LAYOUTS
    assert tuple(options["rows"].type.choices) == annotations.ORDERS


def test_importing_starts_no_model_library(fresh, tables, tmp_path):
    code = (
        "import sys; from cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print([m for m in ('torch', 'timm', 'open_clip') if m in sys.modules])"
    )
    words = ("samples", tmp_path / "s", "--dataset", "pets", "--file", tmp_path / "labels.csv")
    done = fresh(code, "import", *words)
    assert done.stdout == "[]\n", done.stderr
    words = ("predictions", tmp_path / "s", "--model", "m", "--dataset", "pets", "--file")
    done = fresh(code, "import", *words, tmp_path / "said.csv")
    assert done.stdout == "[]\n", done.stderr


def test_an_import_that_fails_leaves_no_empty_store(tmp_path, call):
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    file, folder = ["--file", str(tmp_path / "x.npy")], tmp_path / "new.store"
    for command in ("embeddings", "logits"):
        done = call("import", command, folder, "--model", "m", "--dataset", "d", *file)
        assert "the store has no data set 'd'" in done.stderr
        assert not folder.exists()
    folder.mkdir()  # the user's own folder stays
    call("import", "heads", folder, "--model", "m", *file)
    assert list(folder.iterdir()) == []
