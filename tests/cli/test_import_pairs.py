"""`embedstore import pairs`, and what other commands do with sets of pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cli import import_pairs
from embedstore import Store
from embedstore.datasets.sources import describe, open_source
from embedstore.importers import pair_manifests, pair_sources
from embedstore.store.datasets import save_dataset
from embedstore.testing.views import rotation, warped

ROW = {"first": "photograph", "second": "turned"}


@pytest.fixture
def pairs(tmp_path) -> Path:
    """A store `s` of a data set `views`, and a manifest of its pair and one without overlap."""
    views = warped(
        tmp_path / "v", np.full((24, 32, 3), 90, np.uint8), {"turned": rotation(32, 24, 30)}
    )
    source = open_source(views.source)
    store = Store.open(tmp_path / "s", create=True)
    save_dataset(store.files, *describe("views", source, source.listing()))
    away = {**ROW, "homography": [[1, 0, 99], [0, 1, 0], [0, 0, 1]]}
    with views.pairs.open("a") as file:
        file.write(json.dumps(away) + "\n")
    return views.pairs


def test_what_it_says(call, pairs):
    done = call("import", "pairs", "s", pairs, "--data", "views")
    assert (done.exit_code, done.stdout) == (0, "")
    checked, written, *_ = done.stderr.splitlines()
    assert checked.startswith("views: checking: 2/2 pairs, ")
    assert written.startswith("views: writing: 2/2 pairs, ")
    assert done.stderr.endswith(
        "left out: 1 without overlap\n"
        "views: 1 pair named 'pairs', by homography\n"
        "next: embedstore analyze correspondence s --datasets views\n"
    )
    again = call("import", "pairs", "s", pairs, "--data", "views")
    assert again.stderr.endswith("views: 1 pair named 'pairs', by homography, already there\n")


def test_the_rest_of_the_commands_know_pairs(call, pairs):
    call("import", "pairs", "s", pairs, "--data", "views", "--name", "a", "--stride", "2")
    call("import", "pairs", "s", pairs, "--data", "views", "--name", "b")
    rows = json.loads(call("info", "s", "--format", "json").stdout)
    assert [(r["model"], r["dataset"], r["head"], r["n_rows"], r["state"]) for r in rows] == [
        (None, "views", "pairs/a", 1, "finished"),
        (None, "views", "pairs/b", 1, "finished"),
    ]
    assert call("verify", "s").stderr == "s is whole\n"
    assert call("copy", "s", "t").exit_code == 0
    assert call("diff", "s", "t").stderr == "nothing differs between s and t\n"
    done = call("rm", "t", "--data", "views", "--pairs", "a", "--yes")
    assert (done.exit_code, done.stdout) == (0, "datasets/views/pairs/a\n")
    (row,) = json.loads(call("diff", "s", "t", "--format", "json").stdout)
    assert (row["kind"], row["where"], row["what"]) == ("only in A", "views / a", "pairs")
    assert call("verify", "t").stderr == "t is whole\n"


@pytest.mark.parametrize("part", ["plan.json", "manifest.json", "blocks/000000.json", "table"])
def test_the_remedy_for_damaged_pairs_works(call, pairs, part):
    words = ("import", "pairs", "s", pairs, "--data", "views", "--name", "a")
    call(*words)
    folder = Store.open("s").files.path("datasets/views/pairs/a")
    path = next(folder.rglob("*.parquet")) if part == "table" else folder / part
    path.write_bytes(path.read_bytes()[:-9])
    said = call("verify", "s", "--repair")
    if part == "plan.json":
        assert said.exit_code == 1
        assert said.stderr.endswith(
            "embedstore: datasets/views/pairs/a/plan.json is beyond mending; remove its run with: "
            "embedstore rm s --data views --pairs a, then import pairs again\n"
        )
        assert call("rm", "s", "--data", "views", "--pairs", "a", "--yes").exit_code == 0
    else:
        assert said.stderr.endswith(
            "mended; run the same embedstore import pairs again to refill what is missing\n"
        )
    assert call(*words).exit_code == 0
    assert call("verify", "s").stderr == "s is whole\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("s", "none.csv", "--data", "views"), "cannot read none.csv (No such file or directory)"),
        (("none", "v/pairs.jsonl", "--data", "views"), "there is no store at none"),
        (("s", "v/pairs.jsonl", "--data", "x"), "the store has no data set 'x' (there: views)"),
        (("s", "v/pairs.jsonl", "--data", "views", "--name", "a/b"), "set of pairs name 'a/b' hol"),
        (("s", "navi:none", "--data", "views"), "there is no folder none; check the path after n"),
        (("s", "v/bad.jsonl", "--data", "views"), "homography of row 1 of bad.jsonl is singular"),
    ],
)
def test_stated_errors_are_one_line(call, pairs, words, line):
    (pairs.parent / "bad.jsonl").write_text(json.dumps(ROW | {"homography": [0] * 9}))
    said = call("import", "pairs", *words)
    assert said.exit_code == 1
    (error,) = [x for x in said.stderr.splitlines() if not x.startswith("views: checking: ")]
    assert error.startswith(f"embedstore: {line}")


@pytest.mark.parametrize("words", [("s", "f"), ("s", "f", "--data", "d", "--stride", "0"), ("s",)])
def test_wrong_usage_exits_with_2(call, words):
    assert call("import", "pairs", *words).exit_code == 2


def test_help_names_the_presets_and_columns_that_there_are(call):
    assert set(import_pairs.PRESETS) == set(pair_sources.PRESETS)
    said = call("import", "pairs", "--help").stdout
    known = {c for columns in pair_manifests.TRUTHS.values() for c in columns}
    known |= {c for columns in pair_manifests.BESIDES.values() for c in columns}
    for word in (*known, *(f"{name}:" for name in pair_sources.PRESETS)):
        assert word in said, word
    assert f"[default: {pair_manifests.STRIDE};" in said
    assert "boxes (left, top, right, bottom) are in pixels" in said


def test_tab_completes_data_sets_sets_of_pairs_and_presets(fresh, call, pairs):
    call("import", "pairs", "s", pairs, "--data", "views", "--name", "near")
    root = pairs.parents[1] / "s"

    def completed(words: str) -> list[str]:
        done = fresh(
            "from cli import main; main(prog_name='embedstore')",
            _EMBEDSTORE_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split(" ")) - 1),
        )
        assert done.stderr == ""
        return [line.partition(",")[2] for line in done.stdout.splitlines() if line]

    assert completed(f"embedstore import pairs {root} f --data v") == ["views"]
    assert completed(f"embedstore rm {root} --data views --pairs n") == ["near"]
    assert completed(f"embedstore import pairs {root} na")[0] == "navi:"
