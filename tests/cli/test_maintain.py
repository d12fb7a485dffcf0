"""`verify`, `rm` and `copy`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from embedstore import Store, schema
from embedstore.store.answers import save_answers
from embedstore.store.files import LocalFiles
from embedstore.store.verify import verify

SHARD = "models/a/images/d/embeddings/c/1/0"


def flip(path) -> None:
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(bytes(data))


def contents(root) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_whole_store_is_said_to_be(call, store):
    said = call("verify", "s")
    assert (said.exit_code, said.stdout, said.stderr) == (0, "", "s is whole\n")
    assert call("verify", "s", "--format", "json").stdout == "[]\n"
    repaired = call("verify", "s", "--repair")
    assert (repaired.exit_code, repaired.stderr) == (0, "s is whole\n")


def test_damage_is_named_and_exits_with_1_until_it_is_mended(call, store):
    flip(store.files.path(SHARD))
    store.files.path("models/b/model.json").unlink()
    said = call("verify", "s", "--format", "json")
    assert said.exit_code == 1
    assert json.loads(said.stdout) == [
        {"file": SHARD, "state": "damaged", "costs": "rows 16 to 31"},
        {"file": "models/b/model.json", "state": "missing", "costs": "all rows"},
    ]
    assert said.stderr == (
        "embedstore: damaged or missing files of the store: 2; mend it with: "
        "embedstore verify s --repair\n"
    )
    mended = call("verify", "s", "--repair", "--format", "json")
    assert mended.exit_code == 0
    assert "withdrawn: models/a/images/d\n" in mended.stderr
    assert mended.stderr.endswith(
        "run the same embedstore encode again to refill what is missing\n"
    )
    assert not store.files.path(SHARD).exists()


def test_leftovers_cost_nothing_and_are_swept(call, store):
    aside = store.files.path("models/a/images/d/embeddings/c/0/.0.1-ab.aside")
    aside.write_bytes(b"half")
    said = call("verify", "s", "--format", "json")
    assert said.exit_code == 0
    assert [r["state"] for r in json.loads(said.stdout)] == ["leftover"]
    assert "may belong to a running encode" in call("verify", "s", "--repair").stderr
    assert aside.exists()
    os.utime(aside, (0, 0))
    assert call("verify", "s", "--repair").stderr == "mended\n"
    assert not aside.exists()


def test_a_damaged_plan_is_beyond_mending_and_the_remedy_works(call, store):
    flip(store.files.path("models/a/images/d/plan.json"))
    said = call("verify", "s", "--repair")
    assert said.exit_code == 1
    assert said.stderr.endswith(
        "embedstore: models/a/images/d/plan.json is beyond mending; remove its run with: "
        "embedstore rm s --model a --data d, then encode again\n"
    )
    assert call("rm", "s", "--model", "a", "--data", "d", "--yes").exit_code == 0
    assert call("verify", "s").exit_code == 0


def test_the_remedy_for_damaged_imported_answers_works(call, store):
    sample, name = store.samples("d")["sample_id"][0], store.dataset("d").class_names[0]
    Path("a.csv").write_text(f"image,response,pred_label\n{sample},A,{name}\n")
    words = ("import", "answers", "s", "--model", "l", "--dataset", "d", "--file", "a.csv")
    words = (*words, "--protocol", "p")
    assert call(*words).exit_code == 0
    flip(store.files.path("models/l/answers/d/p/table.parquet"))
    assert call("verify", "s", "--repair").stderr.endswith(
        "mended; run the same embedstore import answers again to refill what is missing\n"
    )
    assert call(*words).exit_code == 0
    assert call("verify", "s").stderr == "s is whole\n"


@pytest.mark.parametrize("words", [("verify", "things"), ("verify", "things", "--repair")])
def test_repair_never_touches_a_folder_that_is_no_store(call, tmp_path, words):
    # Folders of these names are common in a project of machine learning.
    for name in ("models/precious.pt", "datasets/pets/1.jpg", "notes.txt"):
        (tmp_path / "things" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "things" / name).write_text(name)
    before = contents(tmp_path / "things")
    said = call(*words)
    assert said.exit_code == 1
    assert said.stderr == "embedstore: there is no store at things; check the path\n"
    assert "verify" not in call("info", "things").stderr
    assert contents(tmp_path / "things") == before


def test_repair_leaves_what_the_user_put_beside_the_stores_folders(call, store):
    (store.files.root / "README.txt").write_text("mine")
    assert call("verify", "s").stderr == "s is whole\n"
    call("verify", "s", "--repair")
    assert (store.files.root / "README.txt").read_text() == "mine"


def test_a_store_that_lost_its_record_is_told_how_to_get_it_back(call, store):
    (store.files.root / "embedstore.json").unlink()
    said = call("info", "s")
    assert said.exit_code == 1
    assert said.stderr.endswith(
        "missing from it; write it back with: embedstore verify --repair s\n"
    )
    assert call("verify", "--repair", "s").exit_code == 0
    assert call("info", "s").exit_code == 0


def test_rm_of_one_protocol_leaves_the_rest(call, store):
    answers = pl.DataFrame({"sample_index": [0], "order": [0], "text": ["x"]})
    answers = pl.concat(
        [pl.DataFrame(schema=dict(schema.ANSWERS)), answers], how="diagonal_relaxed"
    )
    for protocol in ("n-way-2", "n-way-3"):
        save_answers(store.files, "a", "d", protocol, answers, {})
    before = contents(store.files.root)
    words = ("rm", "s", "--model", "a", "--data", "d", "--protocol")
    said = call(*words, "n-way-2", "--yes")
    assert (said.exit_code, said.stdout) == (0, "models/a/answers/d/n-way-2\n")
    left = contents(store.files.root)
    assert left == {name: data for name, data in before.items() if "n-way-2" not in name}
    unknown = call(*words, "n-way-2")
    assert unknown.exit_code == 1
    assert "protocol of answers of 'a' on 'd' 'n-way-2'; choose one of: n-way-3" in unknown.stderr


def test_rm_asks_and_a_dry_run_only_says(call, store):
    before = contents(store.files.root)
    said = call("rm", "s", "--model", "a", "--dry-run")
    assert (said.exit_code, said.stdout) == (0, "runs/a\nmodels/a\n")
    refused = call("rm", "s", "--model", "a", input="n\n")
    assert refused.exit_code == 1
    assert "Remove these?" in refused.stderr
    assert contents(store.files.root) == before
    assert call("rm", "s", "--model", "a", input="y\n").exit_code == 0
    assert Store.open(store.files.root).models == ["b"]


def test_rm_of_one_run_leaves_the_others(call, store):
    said = call("rm", "s", "--model", "a", "--data", "d", "--yes")
    assert said.exit_code == 0
    assert [(r.model, r.dataset) for r in store.outcome_runs()] == [
        ("a", "e"),
        ("b", "d"),
        ("b", "e"),
    ]
    assert verify(LocalFiles(store.files.root)) == []
    again = call("rm", "s", "--model", "a", "--data", "d", "--yes")
    assert again.exit_code == 1
    assert again.stderr.startswith("embedstore: model 'a' has nothing over data set 'd'; see what")


def test_rm_needs_to_know_what(call, store):
    said = call("rm", "s")
    assert said.exit_code == 2
    assert "--model NAME, --data NAME, or both" in said.stderr


def test_copy_takes_what_matches_and_says_when_nothing_is_left(call, store, tmp_path):
    said = call("copy", "s", "t", "--models", "a", "--datasets", "d")
    assert said.exit_code == 0
    assert said.stderr.endswith("KiB copied to t\n")
    assert [(r.model, r.dataset) for r in Store.open(tmp_path / "t").outcome_runs()] == [("a", "d")]
    assert (
        call("copy", "s", "t", "--models", "a", "--datasets", "d").stderr
        == "t has all of it already\n"
    )
    assert call("verify", "t").exit_code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--models", "x*"), "unknown model 'x*'; choose one of: a, b"),
        (("--datasets", "x*"), "unknown data set 'x*'; choose one of: d, e"),
    ],
)
def test_copy_of_what_is_not_there_is_an_error(call, store, words, line):
    said = call("copy", "s", "t", *words)
    assert said.exit_code == 1
    assert said.stderr == f"embedstore: {line}\n"
