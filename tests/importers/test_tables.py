"""Reading tables: every form gives the same rows, and what is no table is refused in a line."""

from __future__ import annotations

import gzip
import io
import json
import pickle

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedstore.errors import DatasetError
from embedstore.importers.tables import numbers, read_table, texts, typed

FRAME = pl.DataFrame({"id": ["a", "b"], "n": [1, 20], "x": [0.5, None]})


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


FORMS = {
    "t.csv": FRAME.write_csv().encode(),
    "t.tsv": FRAME.write_csv(separator="\t").encode(),
    "semicolons.csv": FRAME.write_csv(separator=";").encode(),
    "bom.csv": b"\xef\xbb\xbf" + FRAME.write_csv().encode(),
    "t.jsonl": FRAME.write_ndjson().encode(),
    "t.json": json.dumps(FRAME.to_dicts()).encode(),
    "array.jsonl": json.dumps(FRAME.to_dicts()).encode(),
    "t.parquet": parquet(FRAME),
    "no-ending": parquet(FRAME),
    "lines": FRAME.write_ndjson().encode(),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_gives_the_same_columns(write, name, packed):
    content = gzip.compress(FORMS[name]) if packed else FORMS[name]
    table = read_table(write(name + ".gz" * packed, content))
    assert table.columns == ("id", "n", "x")
    found = table.select(["x", "id", "n"])
    assert texts(found["id"], "t").to_list() == ["a", "b"]
    assert texts(found["n"], "t").to_list() == ["1", "20"]
    assert numbers(found["x"], "t").to_list() == [0.5, None]
    assert typed(found["n"]).to_list() == [1, 20]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.csv", b"", "is empty; check what wrote it"),
        ("blank.csv", b"\n \n", "is empty"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("head.csv", b"id,n\n", "has columns and no row"),
        ("none.json", b"[]", "holds an empty array"),
        ("t.csv", pickle.dumps({"id": [1]}), "is a pickled file.*refused; write the table as CSV"),
        ("t.pkl", pickle.dumps([1], protocol=0), "is a pickled file"),
        ("t.pt", b"PK\x03\x04", "is a pickled file"),
        ("t.xlsx", b"PK\x03\x04", "an archive or a spreadsheet"),
        ("t.npy", b"\x93NUMPY\x01", "holds an array, no table"),
        ("t.parquet", b"id,n\n1,2\n", "no Parquet file, for all its name"),
        ("cut.parquet", FORMS["t.parquet"][:-20], "cannot be read as a table .*it must be whole"),
        (
            "cut.csv.gz",
            gzip.compress(b"id\n" + b"abc\n" * 90_000, mtime=0)[:-9],
            "cannot be read as a table",
        ),
        ("more.csv", b"id,n\na,1,2\n", "cannot be read as a table"),
        ("bytes.csv", b"id,n\na,\xff\xfe\n", "cannot be read as a table"),
        ("utf-16.csv", "id,n\na,1\n".encode("utf-16"), "no text in UTF-8; write the table as CSV"),
        ("archive.tar", b"id.csv" + bytes(600), "no text in UTF-8"),
        ("twice.csv", b"id,id\na,b\n", "two columns 'id'; rename one"),
        ("nan.jsonl", b'{"id": "a", "n": NaN}\n', "cannot be read as a table"),
        ("cut.jsonl", b'{"id": "a"}\n{"id"', "cannot be read as a table"),
        ("cut.json", b'[{"id": "a"}, ', "cannot be read as a table"),
        ("mixed.json", b'[1, "a"]', "mixes values of several types"),
    ],
)
def test_what_is_no_table_is_refused_by_name(write, name, content, problem):
    with pytest.raises(DatasetError, match=f"{name}.*{problem}") as raised:
        read_table(write(name, content)).select(["id"])
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DatasetError, match="cannot read .*; check the path"):
            read_table(path)


def test_a_foreign_schema_offers_the_columns_that_are_there(write):
    table = read_table(write("t.parquet", FORMS["t.parquet"]))
    with pytest.raises(
        DatasetError, match="no column 'label'; name one with --label: it has id, n"
    ):
        table.find("label", (), "--label")
    with pytest.raises(DatasetError, match="has none of label, class; name one with"):
        table.find(None, ("label", "class"), "--label")
    assert table.find(None, ("label", "n", "id"), "--label") == "n"


def test_a_line_of_json_ends_where_json_says(write):
    r"""U+2028 ends a line for str.splitlines, and not for JSON."""
    table = read_table(write("t.jsonl", '["a\u2028b"]\n["c"]\n'.encode()))
    assert table.select(["t"])["t"].to_list() == [["a\u2028b"], ["c"]]


def test_the_digest_is_the_files(write):
    import hashlib

    path = write("t.csv", "id\na\n")
    assert read_table(path).origin == {
        "file": "t.csv",
        "sha256": hashlib.sha256(b"id\na\n").hexdigest(),
    }


def test_ids_are_texts_or_whole_numbers(write):
    assert texts(pl.Series([7, None]), "t").to_list() == ["7", None]
    assert texts(pl.Series([7.0, float("nan")]), "t").to_list() == ["7", None]
    assert texts(pl.Series([" a ", ""]), "t").to_list() == ["a", None]
    assert texts(pl.Series(["a", "b"], dtype=pl.Categorical), "t").to_list() == ["a", "b"]
    infinite, large = pl.Series([1.0, float("inf")]), pl.Series([1e300])
    for wrong in (infinite, large, pl.Series([0.5]), pl.Series([[1]]), pl.Series([b"a"])):
        with pytest.raises(DatasetError, match="where texts or whole numbers are needed"):
            texts(wrong, "t")
    with pytest.raises(DatasetError, match="'high' in row 2 of t, column 'x', is no number"):
        numbers(pl.Series("x", ["1", "high"]), "t")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "0", None], [True, False, None]),
        (["1", "2", ""], [1, 2, None]),
        (["1", "2.5"], [1.0, 2.5]),
        (["007", "1"], ["007", "1"]),
        (["[1, 2]", "[]"], [[1, 2], []]),
        (["[0.5, 0.7]", "[1]"], [[0.5, 0.7], [1.0]]),
        (["[1]", "[2.9, null]"], [[1.0], [2.9, None]]),
        (["[1, null]", None], [[1, None], None]),
        (["[12345678901234567890]"], [[12345678901234567890.0]]),
        (['["a"]', "[]"], [["a"], []]),
        (["[a", "b]"], ["[a", "b]"]),
        (["True", "false"], [True, False]),
        (["na", "1"], ["na", "1"]),
        ([None, None], [None, None]),
        ([[1], [0]], [[1], [0]]),
        ([0, 1, 1], [False, True, True]),
    ],
)
def test_columns_take_the_simplest_type_that_holds_them(values, expected):
    assert typed(pl.Series(values)).to_list() == expected


@given(st.lists(st.floats(allow_nan=False) | st.integers(-(2**62), 2**62), min_size=1))
def test_numbers_come_back_from_text(values):
    column = pl.Series([repr(value) for value in values])
    np.testing.assert_array_equal(numbers(column, "t").to_numpy(), np.array(values, np.float64))
