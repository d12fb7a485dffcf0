"""Parquet: what is listed, and every way in which writers pack bytes."""

from __future__ import annotations

import json
import random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedstore.datasets import parquet_files
from embedstore.datasets.parquet_files import PictureFile
from embedstore.datasets.sources import open_source
from embedstore.errors import DatasetError, PictureError
from embedstore.testing.source_contract import PATHS, TREE, SourceContract, pack_parquet

CODECS = ["uncompressed", "snappy", "gzip", "zstd", "lz4"]


class TestContract(SourceContract):
    def pack(self, folder):
        items = [(path, TREE[path]) for path in PATHS]
        pack_parquet(folder / "train-0.parquet", dict(items[:3]), names=NAMES, row_group_size=2)
        pack_parquet(folder / "train-1.parquet", dict(items[3:]), names=NAMES, row_group_size=2)
        return f"parquet:{folder}/train-*.parquet"


NAMES = sorted({path.split("/")[0] for path in TREE})


def listing(path):
    return open_source(f"parquet:{path}").listing()


def written(path, **options):
    return lambda frame: frame.write_parquet(path, **options) or path


def values(path, column, n_rows):
    file = PictureFile(str(path))
    assert (file.column.name, file.column.nested) == column
    return [file.picture(row) for row in range(n_rows)]


blobs = st.lists(
    st.none() | st.binary(max_size=40) | st.sampled_from([b"again and again" * 9, b""]), max_size=60
)


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(blobs, st.sampled_from(CODECS), st.integers(1, 70), st.integers(1, 400), st.booleans())
def test_values_are_those_that_polars_wrote(tmp_path, rows, codec, group, page, nested):
    path = tmp_path / "a.parquet"
    path.unlink(missing_ok=True)
    column = pl.Series("image", rows, dtype=pl.Binary)
    if nested:
        pairs = [None if i % 7 == 3 else {"bytes": b, "path": None} for i, b in enumerate(rows)]
        column = pl.Series("image", pairs, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String}))
        rows = [None if i % 7 == 3 else b for i, b in enumerate(rows)]
    frame = pl.DataFrame({"x": pl.Series(range(len(rows)), dtype=pl.Int8), "image": column})
    frame.write_parquet(path, compression=codec, row_group_size=group, data_page_size=page)
    assert values(path, ("image", nested), len(rows)) == rows
    with pytest.raises(OSError, match="fewer rows"):
        values(path, ("image", nested), len(rows) + 1)


def test_damaged_files_are_picture_errors_or_stated(tmp_path):
    random.seed(0)
    path = tmp_path / "a.parquet"
    files = {f"c/{i}.png": bytes([i]) * 50 for i in range(30)}
    whole = pack_parquet(path, files, compression="snappy", row_group_size=10).read_bytes()
    source = open_source(f"parquet:{path}")
    paths, read = source.listing().paths, source.reader()
    stages = []
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(3):
            data[random.randrange(len(data))] = random.randrange(256)
        path.write_bytes(data)
        for locator in (paths[0], paths[-1]):
            try:
                read(locator)
            except PictureError as error:
                stages.append(error.stage)
    assert set(stages) == {"read"}
    assert len(stages) > 30


def test_a_file_cut_short_or_none_is_an_error(tmp_path):
    path = pack_parquet(tmp_path / "a.parquet", {"c/1.png": b"x" * 99})
    data = path.read_bytes()
    for part in (b"", data[:10], data[:-1], data[: len(data) // 2], b"PAR1"):
        path.write_bytes(part)
        with pytest.raises(DatasetError, match=r"a\.parquet cannot be read: .*; fetch it again"):
            listing(path)


def test_a_foreign_schema_is_an_error_that_names_columns(tmp_path):
    pl.DataFrame({"url": ["x"], "width": [3]}).write_parquet(tmp_path / "a.parquet")
    wanted = r"columns 'url' \(large_string\), 'width' \(int64\), and none of pictures: .*struct of"
    with pytest.raises(DatasetError, match=wanted):
        listing(tmp_path / "a.parquet")
    pack_parquet(tmp_path / "b.parquet", {"c/1.png": b"x"})
    pl.DataFrame({"image": [b"x"], "label": ["c"], "z": [1]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(DatasetError, match="differ in their columns; name those of one split"):
        listing(tmp_path / "[bc].parquet")
    with pytest.raises(DatasetError, match="no file matches .*check the pattern"):
        listing(tmp_path / "d*.parquet")


def frame(**columns):
    return pl.DataFrame({"image": [b"00", b"1", b"222"], **columns})


def test_ids_of_a_column_or_of_rows(tmp_path):
    path = tmp_path / "train-0.parquet"
    write = written(path)
    assert listing(write(frame())).sample_ids == ["train-0/0", "train-0/1", "train-0/2"]
    assert listing(write(frame(image_id=[10, 9, 8]))).sample_ids == ["10", "9", "8"]
    assert listing(write(frame(image_id=[7, 7, 8]))).sample_ids[0] == "train-0/0"
    found = listing(write(frame(sample_id=["b/1", "a", "b-/1"])))
    assert found.sample_ids == ["b/1", "a", "b-/1"]
    assert found.n_bytes == [2, 1, 3]
    with pytest.raises(DatasetError, match=r"sample_id 'a' .* train-0.parquet@0 and of .*@2; give"):
        listing(write(frame(sample_id=["a", "b", "a"])))


def test_captions_and_annotations(tmp_path):
    columns = frame(
        captions=[["a", "b"], [], None], caption_de=["x", None, "z"], score=[0.5, 1.0, 2.0],
        boxes=[[1], [2], [3]], other=[b"x", b"y", b"z"], label=["dog", None, "cat"],
    )  # fmt: skip
    found = listing(written(tmp_path / "a.parquet")(columns))
    assert found.captions == {"captions": [["a", "b"], [], []], "captions-de": [["x"], [], ["z"]]}
    assert found.annotations.to_dict(as_series=False) == {"score": [0.5, 1.0, 2.0]}
    assert found.labels == [1, None, 0]
    assert found.classes.ids == ("cat", "dog")
    assert [n.partition(" of ")[0] for n in found.notices] == ["column 'boxes'"]


def test_labels_of_hugging_face(tmp_path):
    metadata = {
        "huggingface": json.dumps(
            {"info": {"features": {"fine": {"_type": "ClassLabel", "names": ["b", "a"]}}}}
        )
    }
    found = listing(written(tmp_path / "a.parquet", metadata=metadata)(frame(fine=[1, -1, 0])))
    assert (found.labels, found.classes.ids) == ([1, None, 0], ("b", "a"))
    with pytest.raises(DatasetError, match=r"label 2 of sample 3 in .* from 0 to 1; mend it"):
        listing(written(tmp_path / "a.parquet", metadata=metadata)(frame(fine=[1, 0, 2])))


def test_a_null_picture_is_a_failure(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"image": [b"x", None]}).write_parquet(path)
    source = open_source(f"parquet:{path}")
    assert source.listing().n_bytes == [1, 0]
    with pytest.raises(PictureError, match="read: null in place of a picture"):
        source.reader()(source.listing().paths[1])


@pytest.mark.parametrize("group", [7, 100])
def test_a_row_group_is_walked_in_parts(tmp_path, monkeypatch, group):
    monkeypatch.setattr(parquet_files, "PART", 3000)
    rows = [None if i % 9 == 4 else bytes([i]) * 400 for i in range(100)]
    pictures = pa.array([{"bytes": b, "path": None} for b in rows])  # offsets of 32 bits
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": pictures}), path, row_group_size=group, use_dictionary=False)
    file = PictureFile(str(path))
    parts = [part for g in range(len(file.starts) - 1) for part in file.pictures(g)]
    assert [b for part in parts for b in part.to_pylist()] == rows
    assert max(part.nbytes for part in parts) < 4000
    order = [*range(100), *random.Random(0).sample(range(100), 100), 99, 99, 0]
    assert [file.picture(row) for row in order] == [rows[row] for row in order]
    found = open_source(f"parquet:{path}").listing()
    assert found.n_bytes == [len(b or b"") for b in rows]


def test_files_of_columns_in_another_order(tmp_path):
    frame(label=["c", "d", "c"], z=[1, 2, 3]).write_parquet(tmp_path / "a.parquet")
    other = frame(label=["d", "c", "d"], z=[4, 5, 6]).select("z", "label", "image")
    other.write_parquet(tmp_path / "b.parquet")
    found = listing(tmp_path / "*.parquet")
    assert found.labels == [0, 1, 0, 1, 0, 1]
    assert found.annotations["z"].to_list() == [1, 2, 3, 4, 5, 6]
    read = open_source(f"parquet:{tmp_path}/*.parquet").reader()
    assert [read(path) for path in found.paths] == [b"00", b"1", b"222"] * 2


def test_files_that_name_other_classes_are_refused(tmp_path):
    for name, classes in (("a", ["c", "d"]), ("b", ["d", "c"])):
        pack_parquet(tmp_path / f"{name}.parquet", {"c/1.png": b"x"}, names=classes)
    with pytest.raises(
        DatasetError, match=r"b\.parquet names other classes than .*a\.parquet; name"
    ):
        listing(tmp_path / "*.parquet")


def test_columns_of_any_name_are_kept(tmp_path):
    columns = {
        "_id": ["x", "y", "z"],
        "_n_bytes": [7, 8, 9],
        "_row": [3, 2, 1],
        "__key__": [1, 1, 1],
    }
    found = listing(written(tmp_path / "a.parquet")(frame(**columns)))
    assert found.annotations.to_dict(as_series=False) == columns
    assert found.n_bytes == [2, 1, 3]


@pytest.mark.parametrize("ids", [[None, 1, 2], [[1], [2], [3]]])
def test_what_is_no_id_is_passed_over(tmp_path, ids):
    found = listing(written(tmp_path / "a.parquet")(frame(id=ids)))
    assert found.sample_ids == ["a/0", "a/1", "a/2"]


def test_an_empty_path_is_no_id(tmp_path):
    pictures = [{"bytes": b"1", "path": ""}, {"bytes": b"2", "path": "x.png"}]
    pl.DataFrame({"image": pictures}).write_parquet(tmp_path / "a.parquet")
    assert listing(tmp_path / "a.parquet").sample_ids == ["a/0", "a/1"]


def test_labels_with_gaps_and_labels_that_are_lists(tmp_path):
    write = written(tmp_path / "a.parquet")
    found = listing(write(frame(label=[3.0, float("nan"), 1.0])))
    assert (found.labels, found.classes.ids) == ([1, None, 0], ("1", "3"))
    with pytest.raises(
        DatasetError, match=r"'labels' of .* are List\(Int64\), .*rename the column"
    ):
        listing(write(frame(labels=[[0], [1], [0, 1]])))
