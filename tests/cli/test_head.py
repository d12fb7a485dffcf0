"""`embedstore head`: from stored embeddings to numbers, in a command."""

from __future__ import annotations

import json

import pytest

from cli.head import KINDS
from embedstore import Store
from embedstore.heads.fitting import RECIPES
from embedstore.testing.stores import random_store

FIT = ("head", "fit", "s", "--kind")


@pytest.fixture
def store(tmp_path) -> Store:
    """Two models on one data set of 60 samples, of which two failed."""
    return random_store(tmp_path / "s", models=("a", "b"), n_samples=60, failed=(3, 20))


def rows(said):
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


def test_the_command_knows_every_kind():
    assert set(KINDS) == set(RECIPES)


def test_a_probe_of_each_model_is_fitted_applied_and_analysed(call, store):
    said = call(*FIT, "linear-probe", "--train", "data", "--fraction", "0.5", "--C", "1")
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr.splitlines() == [
        "a: linear-probe--data is fitted",
        "a: linear-probe--data on data, judged in all--held-out",
        "b: linear-probe--data is fitted",
        "b: linear-probe--data on data, judged in all--held-out",
        "next: embedstore analyze accuracy s --heads linear-probe--data",
    ]
    words = said.stderr.splitlines()[-1].split()[2:]
    accuracy = rows(call(*words, "--format", "json"))
    listed = rows(call("head", "list", "s", "--heads", "linear*", "--format", "json"))
    for row, head in zip(accuracy, listed, strict=True):
        assert row["n_samples"] == 58 - head["n_fit"]
        assert head["settings"] == "C 1, fraction 0.5"
    again = call(*FIT, "linear-probe", "--train", "data", "--fraction", "0.5", "--C", "1")
    assert again.stderr.count("is already there") == 2


def test_a_search_says_how_it_goes(call, store):
    said = call(*FIT, "linear-probe", "--train", "data", "--model", "a", "--normalize")
    assert "C = 1e-06: 0." in said.stderr
    assert "(1 of at most 15)" in said.stderr
    assert "a: no data set has labels to judge linear-probe--data by; fit on a part" in said.stderr
    (head,) = rows(call("head", "list", "s", "--heads", "linear*", "--format", "json"))
    assert head["n_fit"] + head["n_validation"] == 58
    assert head["validation_accuracy"] is not None


def test_a_dry_run_counts_and_writes_nothing(call, store):
    words = (*FIT, "k-shot", "--train", "data", "--shots", "2", "--models", "b")
    (row,) = rows(call(*words, "--dry-run", "--format", "json"))
    counts = {key: row[key] for key in ("n_fit", "n_validation", "n_held_out", "n_classes")}
    assert counts == {"n_fit": 10, "n_validation": 10, "n_held_out": 38, "n_classes": 5}
    assert (row["head"], row["state"]) == ("k-shot-2--data", "to fit")
    assert store.heads("b") == ["own"]
    call(*words)
    assert rows(call(*words, "--dry-run", "--format", "json"))[0]["state"] == "already there"


def test_heads_between_heads_and_further_spaces(call, store, tmp_path):
    call(*FIT, "class-mean", "--train", "data", "--name", "means", "--fraction", "0.6")
    (tmp_path / "few.toml").write_text('name = "few"\nclasses = ["class-3", "class-1"]\n')
    words = ("--from", "own", "--to", "means", "--alpha", "0.25", "--space", "few.toml")
    said = call(*FIT, "wise-ft", *words, "--models", "a", "--name", "mid")
    assert "a: mid on data, judged in all--held-out, few--held-out" in said.stderr
    again = call("head", "apply", "s", "--model", "a", "--head", "own", "--space", "few.toml")
    assert again.stderr == "a: own on data, judged in all, few\n"
    assert {r.space for r in store.outcome_runs(models="a", heads="own")} == {"all", "few"}


def test_a_head_is_removed_with_all_that_came_of_it(call, store):
    call(*FIT, "class-mean", "--train", "data", "--fraction", "0.5", "--models", "a")
    words = ("head", "rm", "s", "--model", "a", "--head", "class-mean--data")
    said = call(*words, "--dry-run")
    assert len(said.stdout.splitlines()) == 3
    assert "class-mean--data" in store.heads("a")
    assert call(*words, input="n\n").exit_code == 1
    assert call(*words, "--yes").exit_code == 0
    assert store.heads("a") == ["own"]
    assert call("verify", "s").stderr == "s is whole\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("linear-probe", "--train", "none"), "unknown data set 'none'; choose one of: data"),
        (("linear-probe", "--train", "data", "--models", "x*"), "unknown model 'x*'; choose one"),
        (("k-shot", "--train", "data", "--shots", "50"), "have fewer than 50 samples"),
        (("tip-adapter", "--train", "data", "--shots", "2"), "has no zero-shot head over"),
        (("wise-ft", "--from", "own", "--to", "none"), "unknown head of model 'a' 'none'"),
        (("linear-probe", "--train", "data", "--fraction", "2"), "--fraction 2.0 is not in (0, 1]"),
        (
            ("class-mean", "--train", "data", "--fraction", "0.5", "--data", "x"),
            "unknown data set of model 'a' 'x'; choose one of: data",
        ),
    ],
)
def test_bad_input_is_one_line(call, store, words, line):
    said = call(*FIT, *words)
    assert said.exit_code == 1
    (error,) = [text for text in said.stderr.splitlines() if text.startswith("embedstore: ")]
    assert line in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("class-mean", "--train", "data", "--beta", "1"),
            "--beta says nothing to --kind class-mean",
        ),
        (("wise-ft", "--from", "own"), "--kind wise-ft needs --to"),
        (("linear-probe",), "--kind linear-probe needs --train"),
        (("linear-probe", "--train", "data", "--from", "own"), "--from says nothing"),
    ],
)
def test_options_of_other_kinds_are_wrong_usage(call, store, words, message):
    said = call(*FIT, *words)
    assert said.exit_code == 2
    assert message in said.stderr


def test_an_unlabelled_data_set_is_not_fitted_on(call, store):
    from dataclasses import replace

    import polars as pl

    from embedstore.store.datasets import save_dataset

    record, samples = store.dataset("data"), store.samples("data")
    bare = replace(record, name="bare", class_ids=(), class_names=(), fingerprint="f")
    save_dataset(store.files, bare, samples.with_columns(label=pl.lit(None, pl.Int32)))
    for model in ("a", "b"):
        images = store.files.path(f"models/{model}/images")
        (images / "bare").symlink_to(images / "data")
    said = call(*FIT, "linear-probe", "--train", "bare")
    assert said.exit_code == 1
    assert "data set 'bare' has no picture with a label; fit on one that has" in said.stderr
