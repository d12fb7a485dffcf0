"""Results that are kept: found while nothing they lean on changed, computed anew when it did."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis
from embedstore.errors import StoreError
from embedstore.store.datasets import save_annotations
from embedstore.store.files import LocalFiles
from embedstore.store.maintenance import Selection, remove
from embedstore.store.repair import repair
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path) -> Store:
    store = random_store(tmp_path / "s", models=("a", "b"), datasets=("one", "two"))
    marks = pl.DataFrame({"dark": [True, False] * 20})
    save_annotations(store.files, "one", "notes", marks)
    return store


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Names of the analyses that were computed, not found."""
    calls: list[str] = []
    plain = analysis.Analysis.__call__

    def counting(self, store, **parameters):
        calls.append(self.name)
        return plain(self, store, **parameters)

    monkeypatch.setattr(analysis.Analysis, "__call__", counting)
    return calls


def kept(store: Store, name: str) -> list[str]:
    return store.files.folders(f"results/{name}")


@pytest.mark.parametrize("name", ["accuracy", "factors", "calibration"])
def test_the_same_table_without_computing_it(store, computed, name):
    options = {"id_dataset": "one"} if name == "calibration" else {}
    first = analysis.run(name, store, **options)
    again = analysis.run(name, Store.open(store.files.root), **options)
    assert computed == [name]
    assert again.equals(first)
    assert again.schema == first.schema
    assert len(kept(store, name)) == 1


def test_other_parameters_are_another_result(store, computed):
    analysis.run("accuracy", store, models="a")
    analysis.run("accuracy", store, models="b")
    analysis.run("accuracy", store, models="a", datasets="*")  # the default
    assert computed == ["accuracy", "accuracy"]
    assert len(kept(store, "accuracy")) == 2


def test_a_model_that_comes_or_goes_is_seen(store, computed):
    analysis.run("accuracy", store)
    only = analysis.run("accuracy", store, models="a")
    remove(store, Selection(model="b"))
    assert analysis.run("accuracy", store)["model"].unique().to_list() == ["a"]
    assert analysis.run("accuracy", store, models="a").equals(only)
    assert len(computed) >= 3
    assert len(kept(store, "accuracy")) == 2  # what is stale was replaced


def test_new_annotations_are_seen(store, computed):
    before = analysis.run("factors", store, datasets="one")
    save_annotations(store.files, "one", "more", pl.DataFrame({"small": [True] * 40}))
    after = analysis.run("factors", store, datasets="one")
    assert computed == ["factors", "factors"]
    assert set(after["factor"]) - set(before["factor"]) == {"small"}


def test_an_analysis_that_builds_on_another_sees_its_inputs_change(store, computed, monkeypatch):
    def doubled(store: Store) -> pl.DataFrame:
        return analysis.run("accuracy", store).select(pl.col("top1_accuracy") * 2)

    doubled.__module__ = "analyses.doubled"
    monkeypatch.setitem(analysis._ANALYSES, "doubled", analysis.Analysis("doubled", doubled))
    monkeypatch.setattr(analysis, "find", analysis._ANALYSES.__getitem__)
    analysis.run("accuracy", store)
    first = analysis.run("doubled", store)  # its inner result is found, not computed
    assert computed == ["accuracy", "doubled"]
    remove(store, Selection(model="b"))
    assert analysis.run("doubled", store).height == first.height // 2


def test_changed_code_is_seen(store, computed, monkeypatch):
    analysis.run("accuracy", store)
    monkeypatch.setattr(analysis, "_code", lambda: "another")
    analysis.run("accuracy", store)
    assert computed == ["accuracy", "accuracy"]
    assert len(kept(store, "accuracy")) == 1


def test_refresh_computes_anew(store, computed):
    for _ in range(2):
        done = CliRunner().invoke(
            main, ["analyze", "accuracy", str(store.files.root), "--refresh", "--format", "json"]
        )
        assert done.exit_code == 0
    assert computed == ["accuracy", "accuracy"]


def test_a_users_own_analysis_is_never_kept(store, tmp_path, computed):
    path = tmp_path / "mine.py"
    path.write_text(
        "import polars as pl\nfrom embedstore.analysis import analysis\n"
        "@analysis\ndef mine(store):\n    return pl.DataFrame({'n': [len(store.models)]})\n"
    )
    for _ in range(2):
        assert analysis.run(str(path), store)["n"].item() == 2
    assert computed == ["mine", "mine"]
    assert kept(store, "mine") == []


def test_a_store_that_cannot_be_written_is_analysed_all_the_same(store, monkeypatch):
    def refused(files, key):
        raise StoreError(f"{key} cannot be written")

    monkeypatch.setattr(LocalFiles, "lock", refused)
    assert analysis.run("accuracy", store).height == 4
    assert kept(store, "accuracy") == []


def test_a_damaged_result_is_computed_anew_and_named_stale(store, computed):
    first = analysis.run("accuracy", store)
    (key,) = kept(store, "accuracy")
    file = f"results/accuracy/{key}/table.parquet"
    data = bytearray(store.files.read(file))
    data[20] ^= 1
    store.files.path(file).write_bytes(bytes(data))
    (problem,) = verify(store.files)
    assert (problem.file, problem.state, problem.cost) == (file, "stale", "nothing")
    assert analysis.run("accuracy", store).equals(first)
    assert computed == ["accuracy", "accuracy"]


def test_repair_removes_a_damaged_result(store):
    analysis.run("accuracy", store)
    (key,) = kept(store, "accuracy")
    store.files.path(f"results/accuracy/{key}/inputs.json").unlink()
    assert repair(store.files, verify(store.files)) == []
    assert kept(store, "accuracy") == []
    assert verify(store.files) == []


def test_analyses_import_nothing_heavy(store):
    names = [n.replace("-", "_") for n in analysis.names()]
    code = "; ".join(f"import analyses.{n}" for n in names)
    heavy = "{'numba', 'zarr', 'scipy', 'statsmodels', 'sklearn', 'torch', 'faiss'}"
    code = f"import sys; {code}; print({heavy} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"
