"""Logits of others: kept, and judged from the numbers as they were given."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore import Store, analysis, schema
from embedstore.errors import EmbedStoreError, IdentityError, NonFiniteError
from embedstore.heads import Head
from embedstore.heads.applying import apply_head
from embedstore.heads.outcomes import outcome_table
from embedstore.heads.stored import save_head
from embedstore.importers import logits as module
from embedstore.importers.logits import Target, import_logits
from embedstore.importers.matrices import read_matrix
from embedstore.importers.predictions import Target as Predicted
from embedstore.importers.predictions import import_predictions
from embedstore.importers.tables import read_table
from embedstore.kernels.outcomes import outcomes
from embedstore.labels import class_map
from embedstore.prompts import ClassList, imagenet
from embedstore.store.verify import verify
from embedstore.testing.stores import random_store

CLASSES = ClassList("", *[tuple(f"class-{i}" for i in range(5))] * 2)


@pytest.fixture
def store(tmp_path) -> Store:
    """A data set of 40 samples of five classes, to which imports are joined."""
    return random_store(tmp_path / "s")


@pytest.fixture
def x(tmp_path) -> np.ndarray:
    """Logits of those samples, also in `x.npy`."""
    x = np.random.default_rng(1).normal(size=(40, 5), scale=9).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    return x


def bring(store: Store, path: Path, dataset: str = "data", head: str = "imported", **options):
    matrix = read_matrix(path, None, (), "logits")
    return import_logits(store, matrix, Target("m", dataset, head), **options)


def labels_of(store: Store) -> pl.DataFrame:
    named = pl.col("label").replace_strict(
        range(5), CLASSES.ids, default=None, return_dtype=pl.String
    )
    return store.samples("data").select("sample_id", label=named)


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 30),
    n_classes=st.integers(1, 7),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    block_rows=st.integers(1, 12),
    data=st.data(),
)
def test_outcomes_are_those_of_the_numbers_as_given(n, n_classes, dtype, block_rows, data):
    """Against the kernel over the whole array, rows gathered by a loop: bit for bit."""
    absent = data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1))
    failed = data.draw(st.sets(st.integers(0, n - 1)))
    random = np.random.default_rng(n)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ROWS", block_rows)
        store = random_store(Path(folder) / "s", n_samples=n, n_classes=n_classes)
        samples = store.samples("data")
        x = random.normal(size=(n, n_classes), scale=20).astype(dtype)
        x[sorted(failed)] = np.nan
        rows = [i for i in random.permutation(n) if i not in absent]
        ids = samples["sample_id"].gather(rows).to_numpy().astype(str)
        np.savez(Path(folder) / "x.npz", logits=x[rows], sample_id=ids)
        bring(store, Path(folder) / "x.npz")
        gone = np.isin(np.arange(n), sorted(absent | failed))
        values = np.where(gone[:, None], np.nan, x).astype(np.float32)
        labels = samples["label"].to_numpy().astype(np.int64)
        expected = outcome_table(outcomes(values, labels, failed=gone))
        found = store.outcomes("m").select(*schema.OUTCOMES).collect()
        assert found.equals(expected)
        kept = np.asarray(store.logits("m", "data", "imported"))
        np.testing.assert_array_equal(np.isnan(kept).all(axis=1), gone)
        spread = np.ptp(values[~gone], axis=1, keepdims=True) if (~gone).any() else 0
        assert (np.abs(kept - values)[~gone] <= 2.0**-11 * spread + 1e-5).all()
        assert not verify(store.files)
        assert f'"n_failures": {gone.sum()}' in store.files.read("runs/m/data.json").decode()


def test_logits_of_an_encoded_head_say_the_same(store, tmp_path):
    """What the store's own head said, brought in as another's: within float16."""
    np.save(tmp_path / "own.npy", np.asarray(store.logits("model", "data", "own")))
    bring(store, tmp_path / "own.npy", order="as-samples")
    own = store.outcomes("model").select(*schema.OUTCOMES).collect()
    found = store.outcomes("m").select(*schema.OUTCOMES).collect()
    assert found["prediction"].equals(own["prediction"])
    assert (found["nll"] - own["nll"]).abs().max() < 4e-3
    accuracy = analysis.run("accuracy", store).select("model", "top1_accuracy", "n_left_out")
    assert accuracy.rows()[0][1:] == accuracy.rows()[1][1:]


def test_labels_make_the_data_set(tmp_path, x, store):
    new = Store.open(tmp_path / "new", create=True)
    labels_of(store).write_csv(tmp_path / "labels.csv")
    bring(new, tmp_path / "x.npy", labels=tmp_path / "labels.csv", classes=CLASSES)
    assert new.dataset("data").class_ids == CLASSES.ids
    assert new.samples("data")["sample_id"].equals(store.samples("data")["sample_id"])
    hit = x.argmax(axis=1) == store.samples("data")["label"].to_numpy()
    assert new.outcomes().select("correct").collect()["correct"].to_list() == hit.tolist()


def test_labels_find_the_rows_by_id(tmp_path, x, store):
    """Ids stand beside the logits and beside the labels, in two orders: never row by row."""
    ids = store.samples("data")["sample_id"].to_numpy().astype(str)
    np.savez(tmp_path / "y.npz", logits=x, sample_id=ids)
    labels_of(store)[::-1].write_csv(tmp_path / "labels.csv")
    expected = x.argmax(axis=1) == store.samples("data")["label"].to_numpy()
    for target in (Store.open(tmp_path / "new", create=True), store):  # made of them, and known
        bring(target, tmp_path / "y.npz", labels=tmp_path / "labels.csv", classes=CLASSES)
        found = target.outcomes("m", samples=True).collect()
        assert found["correct"].to_list() == expected.tolist()
    labels_of(store).with_columns(pl.col("sample_id") + "?").write_csv(tmp_path / "labels.csv")
    with pytest.raises(EmbedStoreError, match="no id of .*labels.csv"):
        bring(store, tmp_path / "y.npz", labels=tmp_path / "labels.csv", classes=CLASSES)
    one = pl.when(pl.col("sample_id") == ids[3]).then(pl.lit("x")).otherwise("sample_id")
    labels_of(store).with_columns(sample_id=one).write_csv(tmp_path / "labels.csv")
    with pytest.raises(EmbedStoreError, match=f"has no label for '{ids[3]}' of .*leave it empty"):
        bring(store, tmp_path / "y.npz", labels=tmp_path / "labels.csv", classes=CLASSES)


@pytest.mark.parametrize("ending", ["npy", "txt"])
def test_bare_numbers_make_it_too_and_are_known_again(tmp_path, x, ending):
    """Ids are row numbers; a second model with the same labels finds its rows in order."""
    labels = np.arange(40) % 5
    if ending == "npy":
        np.save(tmp_path / "y.npy", labels)
    else:
        (tmp_path / "y.txt").write_text("".join(f"{i}\n" for i in labels))
    new = Store.open(tmp_path / "new", create=True)
    for already in (False, True):
        report = bring(new, tmp_path / "x.npy", labels=tmp_path / f"y.{ending}")
        assert report.already == already
    assert new.samples("data")["sample_id"].to_list() == [str(i) for i in range(40)]
    assert new.dataset("data").class_ids == ("0", "1", "2", "3", "4")
    assert any("all 40 labels agree" in notice for notice in report.notices)
    with pytest.raises(EmbedStoreError, match="--ids FILE, or say --rows"):
        bring(new, tmp_path / "x.npy", head="other")


def test_a_thousand_columns_are_imagenets(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(1000, dtype=np.float32)[[3, 500, 999]])
    frame = pl.DataFrame({"id": ["a", "b", "c"], "wnid": [imagenet().ids[i] for i in (3, 500, 7)]})
    frame.write_csv(tmp_path / "y.csv")
    new = Store.open(tmp_path / "new", create=True)
    bring(new, tmp_path / "x.npy", labels=tmp_path / "y.csv")
    correct = new.outcomes().select("correct").collect()["correct"]
    assert correct.to_list() == [True, True, False]


def test_mixed_up_rows_are_told_by_their_labels(store, x, tmp_path):
    labels_of(store)[::-1].select("label").write_csv(tmp_path / "y.csv")
    with pytest.raises(EmbedStoreError, match=r"labels of .*are not those .*mixed up \(give --ids"):
        bring(store, tmp_path / "x.npy", labels=tmp_path / "y.csv", order="as-samples")


def test_mixed_up_rows_with_ids_are_put_right(store, x, tmp_path):
    order = np.random.default_rng(0).permutation(40)
    np.save(tmp_path / "y.npy", x[order])
    labels_of(store)[order].write_csv(tmp_path / "y.csv")
    bring(store, tmp_path / "y.npy", labels=tmp_path / "y.csv")
    bring(store, tmp_path / "x.npy", head="straight", order="as-samples")
    tables = [
        store.outcomes("m", heads=head).select(*schema.OUTCOMES).collect()
        for head in ("imported", "straight")
    ]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("label", "said"),
    [("5", "'5', of sample '39'.* none of the 5 classes"), ("-1", "'-1'.*none of the 5 classes")],
)
def test_labels_out_of_range_are_named(tmp_path, x, label, said):
    (tmp_path / "y.txt").write_text("0\n" * 39 + f"{label}\n")
    new = Store.open(tmp_path / "new", create=True)
    with pytest.raises(EmbedStoreError, match=said):
        bring(new, tmp_path / "x.npy", labels=tmp_path / "y.txt")
    assert new.datasets == []


def test_labels_out_of_a_named_lists_range_are_named(store, tmp_path, x):
    np.save(tmp_path / "y.npy", np.full(40, 7))
    with pytest.raises(EmbedStoreError, match="'7'.*out of range: classes go from 0 to 4"):
        bring(store, tmp_path / "x.npy", labels=tmp_path / "y.npy")


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["0"] * 39, "39 labels, and there are 40 rows"), (["cat"] * 40, "are names.*--classes FILE")],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, x, labels, said):
    (tmp_path / "y.txt").write_text("\n".join(labels) + "\n")
    new = Store.open(tmp_path / "new", create=True)
    with pytest.raises(EmbedStoreError, match=said):
        bring(new, tmp_path / "x.npy", labels=tmp_path / "y.txt")


def test_columns_must_be_known(store, tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((40, 7), np.float32))
    with pytest.raises(
        EmbedStoreError, match="7 columns, and data set 'data' 5 classes.*--classes"
    ):
        bring(store, tmp_path / "y.npy", order="as-samples")
    with pytest.raises(EmbedStoreError, match="7 columns, and 5 classes are named"):
        bring(store, tmp_path / "y.npy", order="as-samples", classes=CLASSES)


def test_columns_of_other_classes_leave_nothing_right_or_wrong(store, tmp_path, x):
    other = ClassList("", *[tuple("abcde")] * 2)
    report = bring(store, tmp_path / "x.npy", order="as-samples", classes=other)
    assert any("nothing is right or wrong" in notice for notice in report.notices)
    found = store.outcomes("m").collect()
    assert found["correct"].null_count() == 40
    assert found["prediction"].to_list() == x.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, "NaN or infinity beside"), (-np.inf, "NaN or infinity"), (1e39, "1e.39, beyond flo")],
)
def test_a_number_that_is_none_is_named_by_its_row(store, x, tmp_path, value, said):
    x = x.astype(np.float64)
    x[11, 1] = value
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(NonFiniteError, match=f"row 11 .*{said}"):
        bring(store, tmp_path / "x.npy", order="as-samples")


def test_a_head_of_weights_or_of_predictions_keeps_its_name(store, x, tmp_path):
    bring(store, tmp_path / "x.npy", order="as-samples")
    np.save(tmp_path / "y.npy", x + 1)
    with pytest.raises(IdentityError, match="another file"):
        bring(store, tmp_path / "y.npy", order="as-samples")
    swapped = ClassList("", CLASSES.ids[::-1], CLASSES.names[::-1])
    with pytest.raises(
        IdentityError, match="a head of other classes named 'imported'.*--head NAME"
    ):
        bring(store, tmp_path / "x.npy", order="as-samples", classes=swapped)
    save_head(store, "m", "probe", Head(CLASSES.ids, np.zeros((5, 8), np.float32)))
    with pytest.raises(IdentityError, match="a head of weights named 'probe'.*--head NAME"):
        bring(store, tmp_path / "x.npy", head="probe", order="as-samples")
    labels_of(store).rename({"label": "prediction"}).write_csv(tmp_path / "p.csv")
    import_predictions(store, read_table(tmp_path / "p.csv"), Predicted("m", "data", "said"))
    with pytest.raises(IdentityError, match="predictions without logits named 'said'"):
        bring(store, tmp_path / "x.npy", head="said", order="as-samples")


def test_a_native_head_is_judged_in_further_spaces_beside_embeddings(store, x, tmp_path):
    """Its logits are at hand, whether or not the run has embeddings from elsewhere."""
    from embedstore.importers.embeddings import import_embeddings, read_embeddings

    bring(store, tmp_path / "x.npy", order="as-samples")
    np.save(tmp_path / "e.npy", x)
    given = read_embeddings(tmp_path / "e.npy")
    import_embeddings(store, given, "m", "data", order="as-samples")
    assert store.model("m").embedding_dim == 5
    space = tmp_path / "pairs.toml"
    lines = ['name = "pairs"', "[classes]", 'first = ["class-0", "class-1"]', 'rest = ["class-4"]']
    space.write_text("\n".join(lines))
    apply_head(store, "m", "data", "imported", [class_map(str(space))])
    found = store.outcomes("m", space="pairs").collect()["prediction"]
    kept = np.asarray(store.logits("m", "data", "imported"))
    assert found.to_list() == [int(max(r[0], r[1]) < r[4]) for r in kept]
    assert not verify(store.files)
