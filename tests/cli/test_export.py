"""`embedstore export`, and `embedstore import` of the arrays that it writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cli import export as command
from cli import import_arrays
from embedstore.exporters.exporting import FORMATS


def test_out_of_one_store_and_into_another(call, store):
    """Arrays and heads of a model, by commands alone: the new store answers as the old one."""
    one = ("--models", "a", "--datasets", "d")
    assert call("export", "s", "--what", "embeddings", *one, "-o", "e.npy").exit_code == 0
    said = call("export", "s", "--what", "heads", "--models", "a", "-o", "h.npz").stderr
    assert said == "h.npz: 5 classes, scale 4\n"
    labels = ("--file", "e.samples.parquet", "--id", "sample_id", "--label", "label")
    assert call("import", "samples", "n", "--dataset", "d", *labels).exit_code == 0
    to = ("n", "--model", "a")
    given = ("--dataset", "d", "--file", "e.npy", "--ids", "e.samples.parquet")
    done = call("import", "embeddings", *to, *given)
    assert "2 samples have no embedding: failures of stage 'import'\n" in done.stderr
    assert "a on d: 40 x 8 embeddings\n" in done.stderr
    assert "already there" in call("import", "embeddings", *to, *given).stderr
    done = call("import", "heads", *to, "--file", "h.npz", "--name", "own")
    assert "next: embedstore head apply n --model a --head own --data DATASET" in done.stderr
    assert call("head", "apply", *to, "--head", "own", "--data", "d").exit_code == 0
    assert call("verify", "n").stderr == "n is whole\n"
    asked = ("--models", "a", "--datasets", "d", "--format", "json")
    rows = [json.loads(call("analyze", "accuracy", s, *asked).stdout) for s in ("s", "n")]
    assert rows[0] == rows[1]


def test_logits_bring_their_data_set_along(call, store):
    asked = ("--what", "logits", "--models", "b", "--datasets", "e", "-o", "l.npy")
    assert call("export", "s", *asked).exit_code == 0
    given = ("--file", "l.npy", "--labels", "l.samples.parquet", "--classes", "l.classes.csv")
    done = call("import", "logits", "n", "--model", "b", "--dataset", "e", *given)
    assert "b on e, head 'imported': 40 x 5 logits\n" in done.stderr
    rows = [
        json.loads(call("analyze", "accuracy", *words, "--format", "json").stdout)[0]
        for words in (("s", "--models", "b", "--datasets", "e"), ("n",))
    ]
    same = ("top1_accuracy", "top5_accuracy", "mean_class_accuracy", "n_samples", "n_left_out")
    assert [rows[0][k] for k in same] == [rows[1][k] for k in same]
    (row,) = [r for r in json.loads(call("info", "n", "--format", "json").stdout) if r["head"]]
    assert (row["n_rows"], row["n_failures"], row["state"]) == (40, 2, "finished")


def test_a_file_is_not_overwritten_without_force(call, store):
    words = ("export", "s", "--what", "samples", "--datasets", "d", "-o", "d.csv")
    assert call(*words).exit_code == 0
    done = call(*words)
    assert done.exit_code == 1
    assert done.stderr == "embedstore: d.csv is there already; add --force, or another -o PATH\n"
    assert call(*words, "--force").exit_code == 0


@pytest.mark.parametrize("what", ["embeddings", "logits"])
def test_a_pickled_file_is_refused_with_the_safe_alternative(call, store, tmp_path, what):
    array = np.empty(2, object)
    array[:] = [[1.0, 2.0], [3.0]]
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    done = call("import", what, "s", "--model", "m", "--dataset", "d", "--file", "x.npy")
    assert done.exit_code == 1
    assert "refused" in done.stderr
    assert "allow_pickle=False" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_choices_are_those_of_the_functions(call):
    """Written out, so that help starts without what the functions need."""
    from embedstore.importers.annotations import ORDERS
    from embedstore.importers.embeddings import LAYOUTS

    assert set(command.WHAT) == set(FORMATS)
    assert set(command.FORMATS) == {f for formats in FORMATS.values() for f in formats}
    choices = {p.name: p.type for p in import_arrays.embeddings.params}
    assert set(choices["order"].choices) == set(ORDERS)
    assert tuple(choices["layout"].choices) == LAYOUTS
