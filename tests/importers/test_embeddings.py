"""Embeddings of others: the same rows as an encoder's, whatever their order, kind and gaps."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore import Store
from embedstore.errors import EmbedStoreError, IdentityError, NonFiniteError
from embedstore.importers import embeddings as module
from embedstore.importers.embeddings import import_embeddings, read_embeddings
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path) -> Store:
    """A data set of 40 samples, to which imports are joined."""
    return random_store(tmp_path / "s")


@pytest.fixture
def source(tmp_path, store) -> Path:
    """Its samples' embeddings of another model, shuffled, with their ids."""
    x = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    order = np.random.default_rng(2).permutation(40)
    np.save(tmp_path / "x.npy", x[order])
    ids = store.samples("data")["sample_id"].gather(order)
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n")
    np.save(tmp_path / "whole.npy", x)
    return tmp_path


def bring(store: Store, source: Path, name: str = "x.npy", **options):
    options = {"ids": str(source / "ids.txt")} | options
    return import_embeddings(store, read_embeddings(source / name), "m", "data", **options)


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 30),
    dim=st.integers(1, 5),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 99),
    block_rows=st.integers(1, 12),
    data=st.data(),
)
def test_rows_find_their_samples(n, dim, dtype, seed, block_rows, data):
    """Against a loop over ids: absent rows and rows of NaN are failures, all others as given."""
    random = np.random.default_rng(seed)
    absent = data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1))
    failed = data.draw(st.sets(st.integers(0, n - 1)))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ROWS", block_rows)
        store = random_store(Path(folder) / "s", n_samples=n)
        ids = store.samples("data")["sample_id"].to_list()
        rows = [i for i in random.permutation(n) if i not in absent]
        x = random.normal(size=(n, dim)).astype(dtype)
        x[sorted(failed)] = np.nan
        path = Path(folder) / "x.npz"
        np.savez(path, embeddings=x[rows], id=np.array([ids[i] for i in rows]))
        report = import_embeddings(store, read_embeddings(path), "m", "data")
        stored = np.asarray(store.embeddings("m", "data"))
        for i in range(n):
            gone = i in absent | failed
            np.testing.assert_array_equal(
                stored[i], np.full(dim, np.nan) if gone else x[i].astype(np.float16)
            )
        failures = store.failures("m", "data")
        assert failures["row"].to_list() == sorted(absent | failed)
        assert set(failures["stage"]) <= {"import"}
        assert any("no embedding" in n for n in report.notices) == bool(absent | failed)
        assert not verify(store.files)


def test_an_imported_run_is_like_an_encoded_one(store, source):
    """Record, pointer and facts say what an encoder's say; where it is from stands beside."""
    bring(store, source)
    facts = store.files.read("models/m/images/data/manifest.json").decode()
    assert store.dataset("data").fingerprint in facts
    assert '"kind": "imported"' in facts
    assert store.model("m").embedding_dim == 6
    pointer = store.files.read("runs/m/data.json").decode()
    assert '"embeddings": true' in pointer
    assert '"n_rows": 40' in pointer


def test_importing_twice_changes_nothing(store, source):
    assert not bring(store, source).already
    before = {key: store.files.read(key) for key in store.files.walk()}
    assert bring(store, source).already
    assert {key: store.files.read(key) for key in store.files.walk()} == before


def test_a_stopped_import_goes_on(store, source, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "BLOCK_ROWS", 8)

    def stop(_n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(store, source, advance=stop)
    done: list[int] = []
    bring(store, source, advance=done.append)
    assert done == [8, 8, 8, 8]  # of five blocks one was there
    np.testing.assert_array_equal(
        store.embeddings("m", "data"), np.load(source / "whole.npy").astype(np.float16)
    )


def test_rows_in_another_order_are_another_import(store, source):
    bring(store, source)
    with pytest.raises(IdentityError, match="order of rows"):
        bring(store, source, ids=None, order="as-samples")
    np.save(source / "y.npy", np.load(source / "x.npy") + 1)
    with pytest.raises(IdentityError, match="another file .*embedstore rm"):
        bring(store, source, "y.npy")


def test_an_order_must_be_stated(store, source):
    with pytest.raises(EmbedStoreError, match="--ids FILE, or say --rows as-samples"):
        bring(store, source, "whole.npy", ids=None)
    bring(store, source, "whole.npy", ids=None, order="as-samples")
    np.testing.assert_array_equal(
        store.embeddings("m", "data"), np.load(source / "whole.npy").astype(np.float16)
    )


@pytest.mark.parametrize(
    ("row", "value", "said"),
    [
        (7, np.nan, "row 7 .*NaN or infinity beside numbers"),
        (0, np.inf, "row 0 .*NaN or infinity beside numbers"),
        (3, 65_520.0, "row 3 .*65520, beyond 65,504"),
        (39, -1e300, "row 39 .*1e.300, beyond 65,504"),
    ],
)
def test_a_number_that_cannot_be_kept_is_named_by_its_row(store, source, row, value, said):
    x = np.load(source / "x.npy").astype(np.float64)
    x[row, 2] = value
    np.save(source / "x.npy", x)
    with pytest.raises(NonFiniteError, match=said):
        bring(store, source)
    assert store.files.names("models/m/images/data/blocks") == []


def test_the_largest_float16_is_kept(store, source):
    x = np.load(source / "x.npy")
    x[:, 0] = 65_504
    np.save(source / "x.npy", x)
    bring(store, source)
    assert (np.asarray(store.embeddings("m", "data"))[:, 0] == 65_504).all()


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["a"] * 40, "'a' stands twice"),
        ([f"other-{i}" for i in range(40)], "no id of .* is a sample of data set 'data'"),
        ([f"class-{i}" for i in range(39)], "39 ids and .*40 rows"),
    ],
)
def test_ids_that_do_not_fit_are_refused(store, source, ids, said):
    (source / "ids.txt").write_text("\n".join(ids) + "\n")
    with pytest.raises(EmbedStoreError, match=said):
        bring(store, source)


def test_ids_may_be_absolute_paths(store, source):
    paths = [f"/data/pictures/{i}.jpg" for i in (source / "ids.txt").read_text().split()]
    pl.DataFrame({"n": range(40), "where": paths}).write_csv(source / "ids.csv")
    report = bring(store, source, ids=f"{source / 'ids.csv'}:where")
    assert report.notices == []
    np.testing.assert_array_equal(
        store.embeddings("m", "data"), np.load(source / "whole.npy").astype(np.float16)
    )


def test_ids_below_two_folders_prefer_neither(store, source):
    """Where a sample has a row below each, the import is refused, not one of them taken."""
    ids = store.samples("data")["sample_id"]
    np.save(source / "two.npy", np.zeros((41, 6), np.float32))
    paths = [f"/train/{i}.jpg" for i in ids] + [f"/val/{ids[0]}.jpg"]
    (source / "ids.txt").write_text("\n".join(paths))
    with pytest.raises(EmbedStoreError, match="stands twice .*rows 1 and 41 .there as '/val"):
        bring(store, source, "two.npy")


def test_a_model_that_was_run_here_takes_no_imports(store, source):
    with pytest.raises(IdentityError, match="run here"):
        import_embeddings(
            store, read_embeddings(source / "x.npy"), "model", "data", ids=str(source / "ids.txt")
        )


def test_embeddings_of_another_dimension_are_another_model(store, source):
    bring(store, source)
    np.save(source / "z.npy", np.load(source / "x.npy")[:, :4])
    with pytest.raises(IdentityError, match="6 numbers in the store.*of 4.*--model"):
        bring(store, source, "z.npy")


@pytest.fixture
def folder(tmp_path) -> Path:
    """What clip inference writes: eleven parts, captions, and a column of its own."""
    random, folder = np.random.default_rng(5), tmp_path / "clip"
    for part in range(11):
        rows = range(3 * part, 3 * part + 3)
        for kind in ("img_emb", "text_emb"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            x = random.normal(size=(3, 4)).astype(np.float16)
            x[:, 0] = rows
            np.save(folder / kind / f"{kind}_{part}.npy", x if kind == "img_emb" else -x)
        (folder / "metadata").mkdir(exist_ok=True)
        frame = {
            "image_path": [f"/tmp/in/{i % 2}/{i}.jpg" for i in rows],
            "caption": [f"a picture of {i}" for i in rows],
            "width": [*rows],
            "label": ["cat" if i % 3 else "dog" for i in rows],
        }
        pl.DataFrame(frame).write_parquet(folder / "metadata" / f"metadata_{part}.parquet")
    return folder


def test_a_folder_of_clip_retrieval_makes_a_data_set(tmp_path, folder):
    """Part 10 comes after part 9, and captions, labels and columns come along."""
    store = Store.open(tmp_path / "new", create=True)
    import_embeddings(store, read_embeddings(folder), "m", "laion")
    assert np.asarray(store.embeddings("m", "laion"))[:, 0].tolist() == [*range(33)]
    samples = store.samples("laion")
    assert samples["sample_id"][3] == "1/3"
    assert samples["width"].to_list() == [*range(33)]
    assert store.dataset("laion").class_ids == ("cat", "dog")
    (texts,) = store.dataset("laion").captions
    assert store.texts(texts)[1]["text"][32] == "a picture of 32"
    assert np.asarray(store.text_embeddings("m", texts))[:, 0].tolist() == [-i for i in range(33)]
    assert not verify(store.files)


def test_captions_that_a_stopped_import_left_out_come_along(tmp_path, folder, monkeypatch):
    """Between the data set's commit and its captions'."""
    store = Store.open(tmp_path / "new", create=True)

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "save_captions", killed)
        with pytest.raises(KeyboardInterrupt):
            import_embeddings(store, read_embeddings(folder), "m", "laion")
    assert store.datasets == ["laion"]
    import_embeddings(store, read_embeddings(folder), "m", "laion")
    (texts,) = store.dataset("laion").captions
    assert store.text_embeddings("m", texts).shape == (33, 4)
    assert not verify(store.files)


def test_another_models_folder_is_joined_by_path(tmp_path, folder):
    store = Store.open(tmp_path / "new", create=True)
    import_embeddings(store, read_embeddings(folder), "m", "laion")
    for path in folder.glob("*/*_0.*"):  # a part lost: its samples fail
        path.unlink()
    report = import_embeddings(store, read_embeddings(folder), "n", "laion")
    found = np.asarray(store.embeddings("n", "laion"))[:, 0]
    np.testing.assert_array_equal(found, [np.nan] * 3 + [*range(3, 33)])
    assert any("captions--laion are left out: 3 of its 33" in n for n in report.notices)


def test_parts_that_do_not_fit_their_metadata_are_named(folder):
    np.save(folder / "img_emb" / "img_emb_4.npy", np.zeros((2, 4), np.float16))
    with pytest.raises(EmbedStoreError, match=r"metadata_4.parquet has 3 rows.*2"):
        read_embeddings(folder)
    (folder / "metadata" / "metadata_4.parquet").unlink()
    with pytest.raises(EmbedStoreError, match="11 parts and .* 10"):
        read_embeddings(folder)
