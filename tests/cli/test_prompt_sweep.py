"""`embedstore prompts sweep` is the analysis, under options of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cli.prompt_sweep import sweep
from embedstore import Store, analysis
from embedstore.testing.stores import random_store
from embedstore.testing.texts import add_prompts, add_zero_shot_head

IDS = tuple(f"class-{i}" for i in range(5))


@pytest.fixture
def prompted(tmp_path) -> Store:
    """Two models on two data sets, one of the models with prompts of two templates."""
    store = random_store(tmp_path / "s", models=("a", "b"), datasets=("d", "e"), failed=(3,))
    rows = np.random.default_rng(1).normal(size=(10, 8)).astype(np.float32)
    texts = add_prompts(
        store, "a", "two", IDS, rows, np.arange(10) // 2, np.arange(10) % 2, ["x {}", "y {}"]
    )
    add_zero_shot_head(store, "a", texts, scale=10.0, bias=0.0)
    return store


def run(store: Store, *options: str):
    words = [str(store.files.root), *options]
    return CliRunner().invoke(sweep, words, catch_exceptions=False)


def test_the_table_is_the_analysis(prompted):
    ended = run(prompted, "--data", "d", "--ood", "e", "--seed", "3", "--format", "json")
    assert ended.exit_code == 0
    expected = analysis.run("prompt-sweep", prompted, datasets="d", ood="e", seed=3)
    assert json.loads(ended.stdout) == expected.to_dicts()
    assert {row["split"] for row in json.loads(ended.stdout)} == {"all", "select", "held-out"}


def test_options_stand_for_the_parameters_and_their_defaults():
    options = {o.name: o.default for o in sweep.params}
    own = {"store", "data", "ood", "refresh", "output", "format_"}
    parameters = analysis.find("prompt-sweep").parameters
    assert {n: o for n, o in options.items() if n not in own} == {
        n: p.default for n, p in parameters.items() if n not in ("datasets", "ood")
    }


def test_several_data_sets_and_a_file(prompted, tmp_path):
    path = tmp_path / "out.csv"
    words = ["--data", "d", "--data", "e", "--parts", "sets", "--format", "csv", "-o", path]
    assert run(prompted, *map(str, words)).exit_code == 0
    assert [line.split(",")[:4] for line in path.read_text("utf-8").splitlines()[1:]] == [
        ["a", "d", "set", "two"],
        ["a", "e", "set", "two"],
    ]


def test_a_data_set_must_be_named(prompted):
    ended = run(prompted)
    assert ended.exit_code == 2
    assert "Missing option '--data'" in ended.stderr
