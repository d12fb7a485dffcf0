"""Files of an export: whole or not there, and never over another without being told."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.errors import EmbedStoreError
from embedstore.exporters.exporting import FORMATS, export
from embedstore.exporters.files import Export, Job, carry_out
from embedstore.exporters.selection import Chosen
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path):
    """Two models on two data sets."""
    return random_store(tmp_path / "s", models=("a", "b"), datasets=("d", "e"), failed=(3, 20))


def test_a_file_that_is_there_stays(store, tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("mine")
    with pytest.raises(EmbedStoreError, match="o.csv is there already; add --force"):
        export(Chosen(store, path), "outcomes")
    assert path.read_text() == "mine"
    export(Chosen(store, path), "outcomes", force=True)
    assert path.read_text().startswith("model,dataset,head,space,")


def test_none_of_several_is_written_if_one_is_there(store, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "b--e.samples.parquet").write_text("mine")
    with pytest.raises(EmbedStoreError, match="b--e.samples.parquet is there already"):
        export(Chosen(store, folder), "embeddings")
    assert [p.name for p in folder.iterdir()] == ["b--e.samples.parquet"]


def test_a_write_that_fails_leaves_nothing(tmp_path):
    def fail(file, _advance) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(EmbedStoreError, match=r"cannot write .*No space left.*after -o"):
        carry_out(Export([Job(tmp_path / "x", fail)]), force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_in_a_line(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbedStoreError, match="cannot write"):
        export(Chosen(store, tmp_path / "file" / "x.npy", models="a", datasets="d"), "embeddings")


def test_files_of_several_runs_are_named(store, tmp_path):
    export(Chosen(store, tmp_path / "out", datasets="d"), "logits")
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    kinds = ("classes.csv", "npy", "samples.parquet")
    assert names == [f"{m}--d--own.{kind}" for m in "ab" for kind in kinds]
    np.testing.assert_array_equal(
        np.load(tmp_path / "out" / "b--d--own.npy"), np.asarray(store.logits("b", "d", "own"))
    )


def test_parts_of_an_older_export_do_not_stay_beside_new_ones(store, tmp_path):
    chosen = Chosen(store, tmp_path / "cr", models="a", datasets="d")
    export(chosen, "embeddings", "clip-retrieval")
    for kind, ending in (("img_emb", "npy"), ("metadata", "parquet")):
        (tmp_path / "cr" / kind / f"{kind}_1.{ending}").write_bytes(b"older")
    (tmp_path / "cr" / "mine.npy").write_bytes(b"mine")
    export(chosen, "embeddings", "clip-retrieval", force=True)
    kept = sorted(p.name for p in (tmp_path / "cr").rglob("*.*"))
    assert kept == ["img_emb_0.npy", "metadata_0.parquet", "mine.npy"]


@pytest.mark.parametrize("what", [w for w in FORMATS if w != "text-embeddings"])
def test_nothing_that_matches_says_what_there_is(store, tmp_path, what):
    with pytest.raises(EmbedStoreError, match=r"has no .* models a, b and data sets d, e"):
        export(Chosen(store, tmp_path / "x", models="z", datasets="z"), what)


@pytest.mark.parametrize(
    ("what", "name"), [("outcomes", "o.json"), ("results", "r.xlsx"), ("embeddings", "e.npz")]
)
def test_nothing_is_written_under_an_ending_of_another_kind(store, tmp_path, what, name):
    with pytest.raises(EmbedStoreError, match=f"{what} cannot be written as .*choose one of: "):
        export(Chosen(store, tmp_path / name), what)
    assert not (tmp_path / name).exists()


def test_a_format_that_does_not_fit_is_refused(store, tmp_path):
    with pytest.raises(EmbedStoreError, match="heads cannot be written as csv.*npz, safetensors"):
        export(Chosen(store, tmp_path / "x"), "heads", "csv")
