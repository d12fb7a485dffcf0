"""Columns beside samples, joined by id."""

from __future__ import annotations

import json

import polars as pl
import pytest

from embedstore import analysis
from embedstore.errors import DatasetError, UnknownNameError
from embedstore.importers.annotations import import_annotations
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.store.manifest import read_manifest


def add(store, path, **options):
    return import_annotations(store, read_table(path), "pets", **options)


def column(store, name):
    samples = store.samples("pets")
    return dict(zip(samples["sample_id"], samples[name], strict=True))


ROWS = "file_name,dark,year\n4.jpg,1,1999\n1.jpg,0,2004\ncow9.jpg,1,1\n3.png,1,\n"


def test_rows_in_any_order_find_their_samples(store, write):
    report = add(store, write("notes.csv", ROWS))
    assert column(store, "dark") == {
        "cat/1": False,
        "cat/2": None,
        "dog/3": True,
        "red_fox/4": True,
    }
    assert column(store, "year") == {"cat/1": 2004, "cat/2": None, "dog/3": None, "red_fox/4": 1999}
    assert report.notices == [
        "ids are compared by file name, without folders",
        "1 (cow9.jpg) of notes.csv are no samples of pets: left out",
        "1 (cat/2) samples of pets are not in notes.csv: null",
        "true and false now, from 0 and 1: dark",
    ]
    assert report.what == "pets: 2 annotations named 'notes' of 3 samples"
    facts = read_manifest(store.files, "datasets/pets/annotations/notes").facts
    assert facts["origin"] == {
        **read_table(write("notes.csv", ROWS)).origin,
        "ids_compared_by": "by file name, without folders",
        "n_rows_without_sample": 1,
        "n_samples_without_row": 1,
    }


def test_the_same_again_is_found_and_two_of_one_name_need_a_prefix(store, write):
    path = write("notes.csv", ROWS)
    assert not add(store, path).already
    assert add(store, path).already
    other = write("others.csv", ROWS.replace("1999", "2000"))
    with pytest.raises(DatasetError, match="'dark' is one of data set 'pets' already; .* --prefix"):
        add(store, other)
    add(store, other, prefix="other_", columns=["year"])
    assert column(store, "other_year")["red_fox/4"] == 2000
    with pytest.raises(DatasetError, match="has other annotations named 'notes'"):
        add(store, other, name="notes")


def test_lists_stay_lists(store, write):
    rows = [{"id": "cat/1", "seen": [2, 0]}, {"id": "dog/3", "seen": []}]
    add(store, write("lists.json", json.dumps(rows)))
    assert store.samples("pets")["seen"].to_list() == [[2, 0], None, [], None]


def test_a_file_of_ids_alone_is_a_list_of_samples(store, write):
    report = add(store, write("listed.csv", "file_name\n3.png\n1.jpg\n"), name="prototype")
    said = {"cat/1": True, "cat/2": False, "dog/3": True, "red_fox/4": False}
    assert column(store, "prototype") == said
    assert report.notices[-1] == (
        "2 (cat/2, red_fox/4) samples of pets are not in listed.csv: false"
    )
    add(store, write("others.csv", "id\ncat/2\n"), prefix="my_")
    assert [i for i, true in column(store, "my_others").items() if true] == ["cat/2"]


def test_a_file_without_ids_must_say_its_order(store, write):
    path = write("real.json", "[[0], [], [1, 2], [2]]")
    with pytest.raises(DatasetError, match="name one with --id .or --rows, for a file that has no"):
        add(store, path)
    add(store, path, rows="sorted-ids", columns=["real_labels"])
    assert store.samples("pets")["real_labels"].to_list() == [[0], [], [1, 2], [2]]
    with pytest.raises(DatasetError, match="has 2 rows and no ids"):
        add(store, write("short.json", "[1, 2]"), rows="sorted-ids")
    with pytest.raises(UnknownNameError, match="unknown order of rows 'any'"):
        add(store, path, rows="any")


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        (
            "id,x\n1.jpg,1\n1.png,2\n",
            {},
            "id '1.jpg' stands twice .* rows 1 and 2 .there as '1.png'",
        ),
        ("id,x\n1.jpg,1\n", {"columns": ["y"]}, "no column 'y'; name one with --columns: .* id, x"),
        ("id,label\n1.jpg,1\n", {}, "'label' is one of data set 'pets' already"),
        ("id,model\n1.jpg,a\n", {}, "'model' is one of the store's outcomes already; .*--prefix"),
        ("id,nll\n1.jpg,1\n", {}, "'nll' is one of the store's outcomes already; .*--prefix"),
        ("id,x\n9.jpg,1\n", {}, "no id of .* is a sample of data set 'pets'"),
    ],
)
def test_bad_tables_are_refused(store, write, content, options, problem):
    with pytest.raises(DatasetError, match=problem):
        add(store, write("t.csv", content), **options)


def test_an_unknown_data_set_says_how_to_make_it(store, write):
    table = read_table(write("notes.csv", ROWS))
    with pytest.raises(DatasetError, match=r"no data set 'x' \(there: pets\).* import samples"):
        import_annotations(store, table, "x")


def test_lists_in_a_csv_keep_their_fractions(store, write):
    add(store, write("boxes.csv", 'id,box\n1.jpg,"[0.5, 2]"\n3.png,"[1, null]"\n'))
    assert store.samples("pets")["box"].to_list() == [[0.5, 2.0], None, [1.0, None], None]


def test_values_and_lists_are_kept_and_what_is_nested_deeper_is_named(store, tmp_path):
    """Arrays of one length become lists: all of it can be written as CSV again."""
    frame = pl.DataFrame(
        {
            "id": ["1.jpg", "2.jpg"],
            "box": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
            "more": [{"a": 1}, {"a": 2}],
            "deep": [[[1]], [[2]]],
        }
    )
    frame.write_parquet(tmp_path / "b.parquet")
    report = add(store, tmp_path / "b.parquet")
    assert report.notices[-2:] == [
        f"column {name!r} is left out: annotations are values or lists" for name in ("more", "deep")
    ]
    found = store.samples("pets")
    assert found["box"].dtype == pl.List(pl.Int64)
    assert found["box"].to_list() == [[1, 2], [3, 4], None, None]


def test_a_column_may_be_a_list_in_one_data_set_and_single_in_another(store, write):
    """Both stack as lists, and an analysis of all data sets still runs."""
    import_samples(store, read_table(write("more.csv", "id,label\nx,cat\n")), "more")
    add(store, write("lists.json", '[{"id": "cat/1", "seen": [2, 0]}]'))
    table = read_table(write("one.csv", "id,seen\nx,7\n"))
    import_annotations(store, table, "more")
    for dataset, rows in (("pets", "id,pred\n1,cat\n"), ("more", "id,pred\nx,cat\n")):
        import_predictions(store, read_table(write("p.csv", rows)), Target("m", dataset))
    found = store.outcomes(samples=True).collect()
    assert dict(zip(found["sample_id"], found["seen"].to_list(), strict=True)) == {
        "cat/1": [2, 0], "cat/2": None, "dog/3": None, "red_fox/4": None, "x": [7],
    }  # fmt: skip
    assert analysis.run("accuracy", store)["n_samples"].to_list() == [1, 1]
