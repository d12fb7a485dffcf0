"""What is exported comes back by import: arrays bit for bit, outcomes as they were."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from embedstore import Store, schema
from embedstore.exporters import clip_retrieval
from embedstore.exporters.exporting import export
from embedstore.exporters.selection import Chosen
from embedstore.heads.applying import apply_head
from embedstore.heads.stored import load_head
from embedstore.importers.arrays import open_arrays
from embedstore.importers.decisions import Columns
from embedstore.importers.embeddings import import_embeddings, read_embeddings
from embedstore.importers.heads import import_head
from embedstore.importers.logits import Target, import_logits
from embedstore.importers.matrices import read_matrix
from embedstore.importers.predictions import Target as Predicted
from embedstore.importers.predictions import import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.prompts import class_list
from embedstore.testing.stores import random_store


@st.composite
def stores(draw):
    """Sizes of a store, and rows that failed; at least one picture could be read."""
    n = draw(st.integers(2, 40))
    failed = draw(st.sets(st.integers(1, n - 1)))
    return {
        "n_samples": n,
        "n_classes": draw(st.integers(2, 7)),
        "dim": draw(st.integers(1, 6)),
        "block_rows": draw(st.integers(1, 20)),
        "failed": tuple(sorted(failed)),
        "seed": draw(st.integers(0, 99)),
    }


def shuffled_samples(store: Store, path: Path, seed: int) -> Store:
    """Make a store that has the same samples in another order, and nothing else."""
    export(Chosen(store, path / "samples.parquet"), "samples")
    frame = pl.read_parquet(path / "samples.parquet")
    frame = frame.sample(fraction=1.0, shuffle=True, seed=seed).select("sample_id", "label")
    frame.write_parquet(path / "shuffled.parquet")
    names = [f"class-{i}" for i in range(len(store.dataset("data").class_ids))]
    (path / "classes.txt").write_text("\n".join(names) + "\n")
    new = Store.open(path / "new", create=True)
    table = read_table(path / "shuffled.parquet")
    import_samples(new, table, "data", classes=class_list(str(path / "classes.txt")))
    return new


def by_id(store: Store, rows: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(store.samples("data")["sample_id"], np.asarray(rows), strict=True))


def assert_equal_by_id(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for key, row in a.items():
        np.testing.assert_array_equal(row, b[key])


@settings(deadline=None, max_examples=15)
@given(sizes=stores())
def test_embeddings_heads_and_outcomes(sizes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        old = random_store(path / "s", **sizes)
        new = shuffled_samples(old, path, sizes["seed"])
        export(Chosen(old, path / "x.npy"), "embeddings")
        ids = str(path / "x.samples.parquet")
        import_embeddings(new, read_embeddings(path / "x.npy"), "m", "data", ids=ids)
        assert_equal_by_id(
            by_id(old, old.embeddings("model", "data")), by_id(new, new.embeddings("m", "data"))
        )
        export(Chosen(old, path / "h.npz"), "heads")
        import_head(new, open_arrays(path / "h.npz"), "m", "own")
        head, found = load_head(old, "model", "own"), load_head(new, "m", "own")
        np.testing.assert_array_equal(found.weights, head.weights)
        assert (found.scale, found.normalize, found.class_ids) == (4.0, True, head.class_ids)
        apply_head(new, "m", "data", "own")
        before, after = (
            s.outcomes(samples=True).collect().sort("sample_id").select(*schema.OUTCOMES)
            for s in (old, new)
        )
        # Another order of rows is another order of sums in the product: the last bits may differ.
        assert_frame_equal(before, after, abs_tol=1e-5, rel_tol=1e-5)


@settings(deadline=None, max_examples=15)
@given(sizes=stores())
def test_logits(sizes):
    """As the store holds them they come back, and a second time bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        old = random_store(path / "s", **sizes)
        new = shuffled_samples(old, path, sizes["seed"])
        export(Chosen(old, path / "x.npy"), "logits")
        exported = np.load(path / "x.npy")
        np.testing.assert_array_equal(exported, np.asarray(old.logits("model", "data", "own")))
        import_logits(
            new,
            read_matrix(path / "x.npy", None, (), "logits"),
            Target("m", "data", "own"),
            classes=class_list(str(path / "x.classes.csv")),
            ids=str(path / "x.samples.parquet"),
        )
        assert_equal_by_id(by_id(old, exported), by_id(new, new.logits("m", "data", "own")))
        before, after = (s.outcomes(samples=True).collect().sort("sample_id") for s in (old, new))
        assert after["prediction"].equals(before["prediction"])
        gap = (after["confidence"] - before["confidence"]).abs().max()
        assert gap is None or gap < 4e-3  # float16 logits, not the outcomes' own float32


@settings(deadline=None, max_examples=10)
@given(sizes=stores(), part_rows=st.integers(1, 30))
def test_clip_retrieval(sizes, part_rows):
    """Failed pictures are left out there, and failures again where the samples are known."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_retrieval, "PART_ROWS", part_rows)
        path = Path(folder)
        old = random_store(path / "s", **sizes)
        new = shuffled_samples(old, path, sizes["seed"])
        export(Chosen(old, path / "cr"), "embeddings", "clip-retrieval")
        n_there = sum(len(np.load(p)) for p in (path / "cr" / "img_emb").iterdir())
        assert n_there == sizes["n_samples"] - len(sizes["failed"])
        import_embeddings(new, read_embeddings(path / "cr"), "m", "data")
        assert_equal_by_id(
            by_id(old, old.embeddings("model", "data")), by_id(new, new.embeddings("m", "data"))
        )
        assert new.failures("m", "data").height == len(sizes["failed"])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_outcomes_as_predictions(tmp_path, ending):
    old = random_store(tmp_path / "s", failed=(3, 20))
    new = shuffled_samples(old, tmp_path, 1)
    path = tmp_path / f"o.{ending}"
    export(Chosen(old, path), "outcomes")
    columns = Columns(id="sample_id", prediction="predicted_class", confidence="confidence")
    import_predictions(
        new, read_table(path), Predicted("m", "data"), columns=columns, allow_missing=True
    )
    known = ["prediction", "correct", "confidence"]
    before, after = (
        s.outcomes(samples=True).collect().sort("sample_id").select(known) for s in (old, new)
    )
    assert after.equals(before)


def test_safetensors_of_a_head_with_a_bias(tmp_path):
    """Weights, bias and classes whose names are no ASCII; the library itself reads them alike."""
    load = pytest.importorskip("safetensors.numpy").load_file
    from embedstore.heads import Head
    from embedstore.heads.stored import save_head

    store = random_store(tmp_path / "s")
    weights = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    head = Head(("Füchse", 'a "b"'), weights, np.float32([1, -2]), 1 / 3, normalize=False)
    save_head(store, "model", "mine", head)
    export(Chosen(store, tmp_path / "h.safetensors", heads="mine"), "heads")
    np.testing.assert_array_equal(load(tmp_path / "h.safetensors")["weights"], weights)
    import_head(store, open_arrays(tmp_path / "h.safetensors"), "model", "again")
    found = load_head(store, "model", "again")
    assert (found.class_ids, found.scale, found.normalize) == (head.class_ids, 1 / 3, False)
    np.testing.assert_array_equal(found.bias, head.bias)
