"""Data sets from tables."""

from __future__ import annotations

import json

import polars as pl
import pytest

from embedstore import Store, schema
from embedstore.datasets.folder import FolderSource
from embedstore.errors import DatasetError, UnknownNameError
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.prompts import ClassList
from embedstore.store.verify import verify


@pytest.fixture
def empty(tmp_path):
    return Store.open(tmp_path / "s", create=True)


def test_ids_and_labels_are_those_of_the_folder(empty, write, tmp_path):
    paths = ["b_c/2.png", "a/1.JPEG", "a/0.jpg", "b_c/x.y.webp"]
    for path in paths:
        (tmp_path / "pets" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / path).write_bytes(b"")
    rows = "".join(f"{path},{path.partition('/')[0]}\n" for path in paths)
    import_samples(empty, read_table(write("t.csv", "path,label\n" + rows)), "pets")
    listing = FolderSource(str(tmp_path / "pets")).listing()
    found, record = empty.samples("pets"), empty.dataset("pets")
    ids = [listing.classes.ids[label] for label in listing.labels]
    labels = [record.class_ids[label] for label in found["label"]]
    assert sorted(zip(found["sample_id"], labels, strict=True)) == sorted(
        zip(listing.sample_ids, ids, strict=True)
    )
    assert (record.class_ids, record.class_names) == (listing.classes.ids, listing.classes.names)


def test_rows_stay_in_order_and_other_columns_become_annotations(empty, write):
    rows = [
        {
            "image": "z.png",
            "label": "dog",
            "dark": 1,
            "tags": ["x"],
            "digest": "?",
            "nll": 1,
            "year": 1990,
        },
        {
            "image": "a.png",
            "label": None,
            "dark": 0,
            "tags": [],
            "digest": "?",
            "nll": 1,
            "year": None,
        },
    ]
    table = read_table(write("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    report = import_samples(empty, table, "pets")
    assert any("'digest' is left out" in notice for notice in report.notices)
    assert any("'nll' is left out" in notice for notice in report.notices)
    assert any("true and false now, from 0 and 1: dark" in n for n in report.notices)
    assert empty.samples("pets").to_dicts() == [
        {
            "sample_id": "z", "path": "z.png", "label": 0, "n_bytes": 0, "digest": "",
            "dark": True, "tags": ["x"], "year": 1990,
        },
        {
            "sample_id": "a", "path": "a.png", "label": None, "n_bytes": 0, "digest": "",
            "dark": False, "tags": [], "year": None,
        },
    ]  # fmt: skip
    record = empty.dataset("pets")
    assert (record.source, record.class_list) == ("imported:t.jsonl", "pets")
    assert record.listing == f"sha256:{table.digest}"
    assert not verify(empty.files)


def test_without_labels(empty, write):
    report = import_samples(empty, read_table(write("t.csv", "id,x\na,1\nb,2\n")), "pets")
    assert "no column of labels" in report.notices[0]
    assert empty.samples("pets")["label"].to_list() == [None, None]
    assert empty.dataset("pets").class_ids == ()


def test_a_list_of_classes_gives_numbers_their_meaning(empty, write):
    table = read_table(write("t.csv", "id,label\na,1\nb,0\n"))
    classes = ClassList("pets", ("cat", "dog", "cow"), ("cat", "dog", "cow"))
    import_samples(empty, table, "pets", classes=classes)
    assert empty.samples("pets")["label"].to_list() == [1, 0]
    assert empty.dataset("pets").class_ids == classes.ids
    with pytest.raises(DatasetError, match="'1', of sample 'a' in .* is out of range: .* 0 to 0"):
        import_samples(empty, table, "two", classes=ClassList("one", ("cat",), ("cat",)))


def test_the_same_again_is_found_and_another_is_refused(store, write):
    rows = "file_name,label\ncat/1.jpg,cat\ncat/2.JPEG,cat\ndog/3.png,dog\nred_fox/4.jpg,red_fox\n"
    assert import_samples(store, read_table(write("again.csv", rows)), "pets").already
    fewer = read_table(write("fewer.csv", rows[:-22]))
    with pytest.raises(DatasetError, match=r"other content \(4 samples from imported:pets.csv\)"):
        import_samples(store, fewer, "pets")
    with pytest.raises(DatasetError, match=r"with other label spaces \(none\)"):
        import_samples(store, read_table(write("again.csv", rows)), "pets", spaces=["imagenet-a"])
    with pytest.raises(UnknownNameError, match="unknown label space 'nope'"):
        import_samples(store, read_table(write("again.csv", rows)), "pets", spaces=["nope"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            "id,label\na.jpg,x\na.jpg,x\n",
            "id 'a.jpg' stands twice in .*, in rows 1 and 2; keep one",
        ),
        ("id,label\na,x\n,x\n", "row 2 of .* has no id"),
        ("id,label\na,0\nb,-3\n", "label -3 of .* is out of range"),
        (
            "foreign,schema\na,b\n",
            "none of sample_id, .*; name one with --id: it has foreign, schema",
        ),
    ],
)
def test_bad_tables_leave_no_data_set(empty, write, content, problem):
    with pytest.raises(DatasetError, match=problem):
        import_samples(empty, read_table(write("t.csv", content)), "pets")
    assert empty.datasets == []


def test_pictures_of_cue_conflict_are_known_by_name(empty, write):
    trials = (
        "imagename\n0002_s5n_dnn_0_car_00_car3-oven1.png\n0001_s5n_s01_0_bear_00_bear2-bear1.png\n"
    )
    import_samples(empty, read_table(write("a.csv", trials)), "cue", layout="cue-conflict")
    names = "image,more\nbear2-bear1,1\ncar3-oven1,2\n"
    again = import_samples(empty, read_table(write("b.csv", names)), "cue", layout="cue-conflict")
    assert again.already
    found = empty.samples("cue").select("sample_id", "path", "label", "shape", "texture").rows()
    assert found == [
        ("bear/bear2-bear1", "bear/bear2-bear1.png", 0, "bear", "bear"),
        ("car/car3-oven1", "car/car3-oven1.png", 1, "car", "oven"),
    ]
    table = read_table(write("c.csv", "image\noven1\n"))
    with pytest.raises(DatasetError, match="'oven1' of .* is no name of a cue-conflict picture"):
        import_samples(empty, table, "other", layout="cue-conflict")


def test_samples_have_the_types_of_every_data_set(store):
    found = store.samples("pets")
    assert {n: found.schema[n] for n in schema.SAMPLES} == dict(schema.SAMPLES)
    assert found["label"].dtype == pl.Int32
