"""`embedstore index`: build, search by sample, list, remove."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from cli.index import KINDS
from embedstore import Store
from embedstore.index import kinds
from embedstore.index.exact import nearest
from embedstore.testing.captioned import Captions, captioned_store
from embedstore.testing.stores import random_store

pytest.importorskip("faiss")
ON = ("--model", "a", "--data", "d")


@pytest.fixture
def store(tmp_path) -> Store:
    """Two models on two data sets of 200 samples, of which two failed."""
    path = tmp_path / "s"
    names = {"models": ("a", "b"), "datasets": ("d", "e")}
    return random_store(path, **names, n_samples=200, failed=(3, 20))


def rows(said):
    assert said.exit_code == 0, said.output
    return json.loads(said.stdout)


def test_the_command_knows_every_kind():
    assert KINDS == kinds.KINDS


def test_build_says_what_it_did_and_does_it_once(call, store):
    words = ("index", "build", "s", *ON, "--kind", "hnsw", "--format", "json")
    (dry,) = rows(call(*words, "--dry-run"))
    assert (dry["state"], dry["kind"], dry["n_rows"], dry["n_left_out"]) == (
        "to build",
        "hnsw",
        198,
        2,
    )
    said = call(*words)
    (row,) = rows(said)
    assert said.stderr.splitlines()[-1] == "hnsw is built"
    assert "a: index of d: 198/198 rows" in said.stderr
    assert (row["state"], row["settings"]) == ("built", "ef_search 16")
    assert row["recall_at_10"] > 0.9
    again = call(*words)
    assert again.stderr == "hnsw is already there\n"
    assert rows(again) == [row]
    assert rows(call(*words, "--dry-run")) == [row]
    assert rows(call("index", "list", "s", "--format", "json")) == [row]


def test_auto_tells_the_kind_that_it_takes(call, store):
    (row,) = rows(call("index", "build", "s", *ON, "--dry-run", "--format", "json"))
    assert (row["kind"], row["metric"], row["n_bytes"]) == ("flat", "ip", 198 * 8 * 4)


def test_a_sample_is_searched_for_without_a_model(call, store):
    samples = store.samples("d")
    ids = samples["sample_id"].to_list()
    x = np.asarray(store.embeddings("a", "d"), np.float32)
    expected = nearest(x[[7, 9]], [x], 6, normalize=True)
    words = ("index", "search", "s", *ON, "--sample", ids[7], "--sample", ids[9], "-k", "5")
    said = call(*words, "--format", "json")
    found = rows(said)
    assert said.stderr == "searched 198 rows of d: exact\n"
    assert [r["sample_id"] for r in found] == [ids[i] for i in expected.rows[:, 1:].ravel()]
    assert [r["rank"] for r in found] == [1, 2, 3, 4, 5] * 2
    assert [r["query"] for r in found] == [ids[7]] * 5 + [ids[9]] * 5
    assert [r["score"] for r in found] == pytest.approx(expected.scores[:, 1:].ravel(), abs=1e-5)
    for row in found:
        (sample,) = samples.filter(sample_id=row["sample_id"]).rows(named=True)
        assert (row["path"], row["class_name"]) == (sample["path"], f"class-{sample['label']}")
    call("index", "build", "s", *ON, "--kind", "flat")
    assert rows(call(*words, "--format", "json")) == found


def test_searching_loads_no_model_library_for_a_sample(fresh, store):
    words = ["index", "search", str(store.files.root), *ON, "--sample"]
    words.append(store.samples("d")["sample_id"][0])
    code = (
        "import sys; from cli import main\n"
        f"main({words!r}, standalone_mode=False)\n"
        "print([m for m in ('torch', 'open_clip', 'timm', 'PIL') if m in sys.modules])"
    )
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_captions_near_a_sample(call, tmp_path):
    random = np.random.default_rng(0)
    pictures = random.normal(size=(6, 8))
    texts = [f"words {i}" for i in range(12)]
    given = Captions(texts, [i % 6 for i in range(12)], np.tile(pictures, (2, 1)))
    captioned_store(tmp_path / "s", pictures, {"captions": given})
    words = ("index", "search", "s", "--model", "model", "--texts", "captions--data", "-k", "2")
    found = rows(call(*words, "--sample", "000004", "--format", "json"))
    assert [r["text"] for r in found] == ["words 4", "words 10"]
    assert [r["sample_id"] for r in found] == ["000004"] * 2
    assert rows(call(*words, "--data", "data", "--sample", "000004", "--format", "json")) == found
    call("index", "build", "s", "--model", "model", "--texts", "captions--data", "--kind", "ivf")
    assert rows(call(*words, "--sample", "000004", "--kind", "ivf", "--format", "json")) == found


def test_removing(call, store):
    for words in ((*ON, "--kind", "flat"), (*ON, "--kind", "ivf"), ("--model", "a", "--data", "e")):
        assert call("index", "build", "s", *words).exit_code == 0
    words = ("index", "rm", "s", "--model", "a", "--data", "d")
    said = call(*words, "--dry-run")
    folders = [f"models/a/indexes/images/d/{kind}-ip" for kind in ("flat", "ivf")]
    assert said.stdout.splitlines() == folders
    assert call(*words, "--kind", "ivf", "--yes").stdout.splitlines() == folders[1:]
    assert call(*words, input="n\n").exit_code == 1
    assert len(rows(call("index", "list", "s", "--format", "json"))) == 2
    assert call(*words, input="y\n").exit_code == 0
    assert call("index", "list", "s", "--models", "b").stderr.startswith("no index in s matches")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*ON, "--sample", "nobody"), "unknown sample of data set 'd' 'nobody'; choose one of:"),
        ((*ON, "--sample", "FAILED"), "failed, so that it has no embedding; choose another"),
        ((*ON, "--sample", "FIRST", "-k", "198"), "k = 198 neighbours of 197 rows"),
        ((*ON, "--sample", "FIRST", "--kind", "hnsw"), "build it with: embedstore index build"),
        (("--model", "a", "--sample", "FIRST"), "name one thing to search: a data set"),
        (("--model", "x", "--data", "d", "--sample", "FIRST"), "unknown model 'x'"),
        ((*ON, "--text", "a cat"), "model 'a' has no text tower; search with a picture"),
        ((*ON, "--text", "a cat", "-k", "199"), "k = 199 neighbours of 198 rows"),
        ((*ON, "--image", "nowhere.jpg"), "cannot read nowhere.jpg: No such file"),
    ],
)
def test_one_line_says_what_is_wrong(call, store, words, said):
    ids = store.samples("d")["sample_id"]
    named = {"FAILED": ids[3], "FIRST": ids[0]}
    done = call("index", "search", "s", *(named.get(word, word) for word in words))
    assert done.exit_code == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_search_for_nothing_is_wrong_usage(call, store):
    done = call("index", "search", "s", *ON)
    assert (done.exit_code, "--text WORDS, --image FILE or --sample ID" in done.stderr) == (2, True)


def test_without_faiss_other_kinds_name_the_install_line(call, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    done = call("index", "build", "s", *ON)
    assert done.exit_code == 1
    assert "pip install 'embedstore[cpu]' (or [gpu], never both)" in done.stderr
    first = store.samples("d")["sample_id"][0]
    assert len(rows(call("index", "search", "s", *ON, "--sample", first, "--format", "json"))) == 10
