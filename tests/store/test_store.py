"""Reading a store through its one object."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from embedstore import EmbedStoreError, Store, schema
from embedstore.errors import (
    DamagedError,
    DatasetError,
    IdentityError,
    StoreError,
    UnknownNameError,
)
from embedstore.heads.stored import load_head
from embedstore.kernels.outcomes import outcomes
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.datasets import fingerprint, save_dataset
from embedstore.store.maintenance import summary
from embedstore.store.records import write_record
from embedstore.testing.stores import random_store


@pytest.fixture
def store(tmp_path) -> Store:
    return random_store(tmp_path / "s", models=("a", "b"), datasets=("d", "e"), failed=(3, 20))


def test_arrays_slice_like_numpy(store):
    stored = store.embeddings("a", "d")
    whole = np.asarray(stored)
    assert whole.shape == stored.shape == (40, 8)
    for rows in (
        slice(5, 33),
        slice(None),
        slice(30, 2, -3),
        [1, 39, -1],
        7,
        whole[:, 0] > 0,
        (slice(3, 20), 2),
    ):
        np.testing.assert_array_equal(stored[rows], whole[rows])
    np.testing.assert_array_equal(np.concatenate(list(stored.blocks(3, 35))), whole[3:35])
    with pytest.raises(IndexError, match="not among 40"):
        stored[[40]]
    with pytest.raises(ValueError, match="read-only"):
        stored[:16][0, 0] = 1


def test_outcomes_are_those_of_the_stored_embeddings(store):
    head = load_head(store, "a", "own")
    labels = store.samples("d")["label"].to_numpy()
    embeddings = np.asarray(store.embeddings("a", "d"))
    failed = np.isnan(embeddings[:, 0])
    again = outcomes(head.logits(embeddings), labels, failed=failed)
    kept = store.outcomes("a", "d").collect()
    assert kept["prediction"].null_count() == 2
    np.testing.assert_array_equal(kept["prediction"].drop_nulls(), again.prediction[~failed])
    np.testing.assert_allclose(kept["nll"].drop_nulls(), again.nll[~failed], atol=1e-5)


def test_logits_widen_to_what_they_were(store):
    head = load_head(store, "b", "own")
    exact = head.logits(np.asarray(store.embeddings("b", "e")))
    stored = store.logits("b", "e", "own")
    np.testing.assert_allclose(np.asarray(stored), exact, atol=4e-3)
    kept = ~np.isnan(exact[:, 0])
    np.testing.assert_array_equal(np.asarray(stored)[kept].argmax(1), exact[kept].argmax(1))
    np.testing.assert_array_equal(np.concatenate(list(stored.blocks())), np.asarray(stored))
    np.testing.assert_array_equal(stored[7], np.asarray(stored)[7])


def test_outcomes_of_many_runs_with_samples_beside(store):
    frame = store.outcomes("*", "d", samples=True).collect()
    assert frame.height == 2 * 40
    assert set(schema.RUN) | set(schema.FACTORS) | set(schema.OUTCOMES) < set(frame.columns)
    ids = store.samples("d")["sample_id"]
    assert frame.filter(pl.col("model") == "b")["sample_id"].to_list() == ids.to_list()
    assert store.outcomes("nothing").collect().height == 0
    assert store.outcomes(space="all").collect().height == 4 * 40
    assert {n: frame.schema[n] for n in schema.OUTCOMES} == dict(schema.OUTCOMES)


def test_outcome_tables_are_small_and_plain(store):
    path = store.files.path("models/a/outcomes/d/own/all/table.parquet")
    assert pl.read_parquet_schema(path) == dict(schema.OUTCOMES)
    pyarrow = pytest.importorskip("pyarrow.parquet")
    assert pyarrow.ParquetFile(path).metadata.num_row_groups == 1


def test_failures_say_why(store):
    assert store.failures("a", "d").rows() == [
        (3, "decode", "truncated"),
        (20, "decode", "truncated"),
    ]


def test_unknown_names_offer_the_known_ones(store):
    for call, offer in [
        (lambda: store.embeddings("c", "d"), "a, b"),
        (lambda: store.embeddings("a", "x"), "d, e"),
        (lambda: store.logits("a", "d", "photo"), "own"),
        (lambda: store.samples("x"), "d, e"),
        (lambda: store.text_embeddings("a", "x"), "none there"),
        (lambda: load_head(store, "a", "x"), "own"),
    ]:
        with pytest.raises(UnknownNameError, match=offer):
            call()


def test_no_store_and_not_a_store(tmp_path):
    with pytest.raises(StoreError, match="there is no store at .* embedstore encode"):
        Store.open(tmp_path / "none")
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "x").write_text("x")
    with pytest.raises(StoreError, match="other things in it"):
        Store.open(tmp_path / "things", create=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        Store.open(tmp_path / "file", create=True)


def test_a_newer_format_is_refused(tmp_path):
    (tmp_path / "embedstore.json").write_bytes(write_record({"format": schema.FORMAT + 1}))
    with pytest.raises(StoreError, match=r"has format 2, newer than 1.*pip install --upgrade"):
        Store.open(tmp_path)


def test_a_half_deleted_store_is_an_error(store, tmp_path):
    (tmp_path / "s/embedstore.json").unlink()
    with pytest.raises(StoreError, match=r"embedstore.json is missing .* verify --repair"):
        Store.open(tmp_path / "s")


def test_a_deleted_table_is_an_error(store):
    store.files.path("models/a/outcomes/d/own/all/table.parquet").unlink()
    with pytest.raises(DamagedError, match="table.parquet is damaged or missing"):
        Store(store.files).outcomes().collect()


def test_two_data_sets_of_one_name_are_refused(store):
    record, samples = store.dataset("d"), store.samples("d")
    changed = samples.with_columns(digest=pl.lit("0" * 32))
    from dataclasses import replace

    other = replace(record, fingerprint=fingerprint(changed, record.class_ids))
    with pytest.raises(DatasetError, match="in the store with other content"):
        save_dataset(store.files, other, changed)
    save_dataset(store.files, record, samples)  # the same again is no error


def test_another_identity_is_refused_by_field(store):
    found = store.model("a")
    other = ModelRecord(
        "a", "python:a", {**found.identity, "weights": "0" * 64}, 8, False, True, {}
    )
    with pytest.raises(IdentityError, match=r"another weights .*--model NAME=python:a"):
        save_model(store.files, other)


def test_summary_has_a_row_a_run_and_head(store):
    frame = summary(store)
    assert frame.height == 2 * 2 * 2
    assert frame["state"].unique().to_list() == ["finished"]
    assert frame.filter(pl.col("head") == "own")["n_failures"].to_list() == [2] * 4


def test_records_are_plain_json(store):
    for file in store.files.root.rglob("*.json"):
        assert isinstance(json.loads(file.read_text()), dict)


def test_public_names():
    import embedstore

    assert embedstore.Store is Store
    assert issubclass(StoreError, EmbedStoreError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = embedstore.nothing
