"""`embedstore diff`."""

from __future__ import annotations

import json

import pytest

from embedstore.store.maintenance import Selection, remove
from embedstore.testing.stores import random_store

KEYS = ["kind", "where", "what", "a", "b", "difference", "because"]


@pytest.fixture
def other(store, call):
    """A copy of the store `s`, at `t`."""
    from embedstore import Store

    assert call("copy", "s", "t").exit_code == 0
    return Store.open(store.files.root.parent / "t")


def test_copies_do_not_differ_in_one_line(call, other):
    said = call("diff", "s", "t")
    line = "nothing differs between s and t\n"
    assert (said.exit_code, said.stdout, said.stderr) == (0, "", line)
    as_json = call("diff", "s", "t", "--format", "json")
    assert (as_json.exit_code, as_json.stdout, as_json.stderr) == (0, "[]\n", line)


def test_differences_are_rows_and_no_error(call, store, tmp_path):
    random_store(tmp_path / "o", models=("a", "b"), datasets=("d", "e"), failed=(3, 20), seed=1)
    said = call("diff", "s", "o", "--datasets", "d", "--format", "json")
    assert said.exit_code == 0
    rows = json.loads(said.stdout)
    assert [list(row) for row in rows] == [KEYS] * len(rows)
    assert rows[0]["kind"] == "number"
    assert {row["where"].split(" / ")[1] for row in rows if row["kind"] == "number"} == {"d"}
    fingerprint = next(row for row in rows if row["what"] == "fingerprint")
    assert fingerprint["because"].endswith("only in B")
    table = call("diff", "s", "o", "--datasets", "d").stdout
    assert table.split()[:7] == KEYS


def test_what_one_store_lacks(call, other):
    remove(other, Selection(model="b"))
    (row,) = json.loads(call("diff", "s", "t", "--format", "json").stdout)
    assert row == dict.fromkeys(KEYS) | {"kind": "only in A", "where": "b", "what": "model"}


def test_analyses_arrays_and_tolerance(call, store, tmp_path):
    random_store(tmp_path / "o", models=("a", "b"), datasets=("d", "e"), failed=(3, 20), seed=1)
    words = ("--analysis", "calibration?id_dataset=d", "--arrays", "--format", "json")
    found = json.loads(call("diff", "s", "o", *words).stdout)
    whats = {row["what"] for row in found}
    assert "calibration?id_dataset=d: ece" in whats
    numbers = [row["difference"] for row in found if row["kind"] == "number"]
    coarse = json.loads(call("diff", "s", "o", *words, "--tolerance", "0.1").stdout)
    kept = [row["difference"] for row in coarse if row["kind"] == "number"]
    assert len(kept) < len(numbers)
    assert min(abs(size) for size in kept if size is not None) > 0.1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("s", "s"), "s and s are one store; name two different ones"),
        (
            ("s", "no"),
            "there is no store at no; check the path, or make one with: embedstore encode no "
            "--model SPEC --data NAME=SOURCE",
        ),
        (("s", "t", "--models", "x"), "unknown model of both stores 'x'; choose one of: a, b"),
        (
            ("s", "t", "--analysis", "accuracy?n=1"),
            "unknown parameter of analysis 'accuracy' 'n'; choose one of: datasets, heads, models",
        ),
    ],
)
def test_what_cannot_be_compared_is_a_stated_error(call, other, words, line):
    said = call("diff", *words)
    assert (said.exit_code, said.stderr) == (1, f"embedstore: {line}\n")


def test_a_negative_tolerance_is_wrong_usage(call, other):
    assert call("diff", "s", "t", "--tolerance", "-1").exit_code == 2
