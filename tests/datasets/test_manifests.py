"""CSV and JSON lines that list pictures."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from embedstore.datasets.sources import open_source
from embedstore.errors import DatasetError, PictureError
from embedstore.prompts import imagenet
from embedstore.testing.source_contract import TREE, SourceContract, write_tree


class TestCsv(SourceContract):
    def pack(self, folder):
        write_tree(folder)
        with (folder / "list.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "label"])
            rows.writerows([path, path.split("/")[0]] for path in reversed(TREE))
        return f"csv:{folder}/list.csv"


class TestJsonLines(SourceContract):
    def pack(self, folder):
        write_tree(folder / "deep")
        lines = [
            json.dumps({"path": f"deep/{p}", "sample_id": p[:-4], "label": p.split("/")[0]})
            for p in reversed(TREE)
        ]
        (folder / "list.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
        return f"jsonl:{folder}/list.jsonl.gz"


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest beside three pictures, and list it."""
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())

    def listed(*lines, ending="csv"):
        path = tmp_path / f"list.{ending}"
        path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines))
        return open_source(f"{ending}:{path}").listing()

    return listed


def test_captions_of_stamps(shared_data):
    found = open_source(f"csv:{shared_data}/stamps/captions.csv").listing()
    assert len(found.paths) == 204
    assert list(found.captions) == ["captions", "captions-de", "captions-fr", "captions-es"]
    row = found.paths.index("images/animals--amphibians--frog.jpg")
    assert [texts[row] for texts in found.captions.values()] == [
        ["A frog."], ["Ein Frosch."], ["Une grenouille."], ["Una rana."],
    ]  # fmt: skip
    with (shared_data / "stamps" / "captions.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda r: r["file"])
    assert found.paths == [r["file"] for r in rows]
    assert found.annotations["cartoon"].to_list() == [int(r["cartoon"]) for r in rows]
    assert found.classes is None
    assert found.notices == []


def test_one_row_a_caption(manifest):
    found = manifest("path,caption,kind", "b.jpg,one,x", "a.jpg,other,y", "b.jpg,two,x")
    assert found.paths == ["a.jpg", "b.jpg"]
    assert found.captions == {"captions": [["other"], ["one", "two"]]}
    assert found.annotations["kind"].to_list() == ["y", "x"]
    found = manifest(
        '{"path": "a.jpg", "captions": ["x", "y"]}', '{"path": "a.jpg", "captions": ["z"]}',
        ending="jsonl",
    )  # fmt: skip
    assert found.captions == {"captions": [["x", "y", "z"]]}


def test_a_picture_twice_is_an_error(manifest):
    with pytest.raises(DatasetError, match=r"b\.jpg stands twice in .*list.csv with different 'k'"):
        manifest("path,caption,k", "b.jpg,one,x", "b.jpg,two,y", "a.jpg,z,z")
    with pytest.raises(DatasetError, match=r"b\.jpg stands twice .*without captions to tell apart"):
        manifest("path", "a.jpg", "b.jpg", "b.jpg")
    with pytest.raises(DatasetError, match=r"sample_id '1' stands for a\.jpg and for b\.jpg in"):
        manifest("path,sample_id", "a.jpg,1", "b.jpg,1")


def test_ids_and_codes_keep_their_zeros(manifest):
    found = manifest("path,sample_id,label,n,x", "b.jpg,002,010,7,.5", "a.jpg,001,9,8,1")
    assert found.sample_ids == ["001", "002"]
    assert found.labels == [0, 1]
    assert found.classes.ids == ("9", "10")  # numbers, in their order
    assert found.annotations.to_dict(as_series=False) == {"n": [8, 7], "x": [1.0, 0.5]}
    assert found.notices[0].endswith("names, one a line, into classes.txt beside it")


def test_numbers_with_names(manifest, tmp_path):
    found = manifest("path,label,class_name", "a.jpg,3,dog", "b.jpg,1,a cat", "c.jpg,,")
    assert (found.labels, found.classes.names) == ([1, 0, None], ("a cat", "dog"))
    with pytest.raises(DatasetError, match=r"label 3 of .* two names, 'cat' and 'dog'; keep one"):
        manifest("path,label,class_name", "a.jpg,3,dog", "b.jpg,3,cat")
    (tmp_path / "classes.txt").write_text("n01440764\nn01443537\n")
    found = manifest("path,label", "a.jpg,1", "b.jpg,0")
    assert (found.labels, found.classes.name) == ([1, 0], imagenet().name)


def test_labels_out_of_range(manifest, tmp_path):
    with pytest.raises(
        DatasetError, match=r"label -1 of sample 2 in .*counted from 0; mend it, or"
    ):
        manifest("path,label", "a.jpg,1", "b.jpg,-1")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DatasetError, match=r"label 2 of sample 1 in .*go from 0 to 1; mend it, or"):
        manifest("path,label", "a.jpg,2", "b.jpg,1")
    with pytest.raises(
        DatasetError, match=r"label 'cow' of .*none of the 2 classes, such as 'cat'"
    ):
        manifest("path,label", "a.jpg,cow", "b.jpg,cat")
    with pytest.raises(DatasetError, match=r"no whole number of 64 bits"):
        manifest("path,label", f"a.jpg,{10**30}", "b.jpg,1")


def test_wordnet_ids_are_imagenets(manifest):
    found = manifest("path,wnid", "a.jpg,n01443537", "b.jpg,n01440764")
    assert (found.labels, found.classes.names) == ([1, 0], ("tench", "goldfish"))


def test_missing_pictures(manifest, tmp_path):
    found = manifest("path", "a.jpg", "gone.jpg", "z/gone.jpg")
    assert found.n_bytes == [1, 0, 0]
    assert found.notices == [
        f"2 of 3 pictures of {tmp_path}/list.csv are missing, such as {tmp_path}/gone.jpg"
    ]
    with pytest.raises(PictureError, match="read: No such file"):
        open_source(f"csv:{tmp_path}/list.csv").reader()("gone.jpg")
    with pytest.raises(DatasetError, match=r"none of the 1 pictures .*count from the folder of"):
        manifest("path", "x/a.jpg")


def test_paths_may_lead_anywhere(manifest, tmp_path):
    (tmp_path / "sub").mkdir()
    found = manifest("path", f"{tmp_path}/a.jpg", "sub/../b.jpg")
    read = open_source(f"csv:{tmp_path}/list.csv").reader()
    assert [read(path) for path in found.paths] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["url,label", "a.jpg,1"], r"columns 'url', 'label'; one of them must be .*name it 'path'"),
        (["path,x,x", "a.jpg,1,2"], r"two columns 'x'; rename one"),
        (["path,caption,captions", "a.jpg,1,2"], "captions 'captions' stand twice; keep one"),
        (["path"], "lists no pictures; write a line for each"),
        (["path,x", "a.jpg,1,2,3"], "cannot be read as csv: .*; mend it there"),
        (["path,x", ",1"], "row 1 of .* names no picture; fill it in, or take it out"),
        ([b"path,caf\xe9", b"a.jpg,1"], "is not UTF-8; save it as UTF-8"),
        ([b"path,x", b"a.jpg,caf\xe9"], "cannot be read as csv: .*; mend it there"),
    ],
)
def test_bad_tables(manifest, lines, said):
    with pytest.raises(DatasetError, match=said) as caught:
        manifest(*lines)
    assert "\n" not in str(caught.value)


def test_bad_files(manifest, tmp_path):
    with pytest.raises(DatasetError, match="cannot be read as jsonl: .*; mend it there"):
        manifest('{"path": "a.jpg"', '{"path": 1}', ending="jsonl")
    with pytest.raises(
        DatasetError, match=r"cannot read .*none\.csv: No such file.*; check the path"
    ):
        open_source(f"csv:{tmp_path}/none.csv").listing()
    data = gzip.compress(b"path\na.jpg\n")
    for damaged in (data[:-9], b"path\na.jpg\n"):
        (tmp_path / "x.csv.gz").write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"x\.csv\.gz is damaged gzip: .*; fetch it again"):
            open_source(f"csv:{tmp_path}/x.csv.gz").listing()


def test_values_that_are_no_labels_or_captions(manifest, tmp_path):
    with pytest.raises(DatasetError, match=r"column 'label' of .* are List\(Int64\), .*rename"):
        manifest('{"path": "a.jpg", "label": [1, 2]}', ending="jsonl")
    with pytest.raises(DatasetError, match=r"line 2 of .* has a list in 'caption' .*; write lists"):
        manifest(
            '{"path": "a.jpg", "caption": "x"}', '{"path": "b.jpg", "caption": ["y", "z"]}',
            ending="jsonl",
        )  # fmt: skip
    found = manifest('{"path": "a.jpg", "caption": "[a frog]"}', ending="jsonl")
    assert found.captions == {"captions": [["[a frog]"]]}
    found = manifest(*['{"path": "a.jpg", "caption": null}'] * 2, ending="jsonl")
    assert found.captions == {"captions": [[]]}
    (tmp_path / "classes.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"classes\.txt has an empty or a repeated line; write"):
        manifest("path,label", "a.jpg,dog")


def test_a_manifest_as_other_systems_write_it(manifest):
    found = manifest(b"\xef\xbb\xbfpath,label,caption\r", b"b.jpg,dog,one\r", b"a.jpg,,\r", b"")
    assert (found.paths, found.labels) == (["a.jpg", "b.jpg"], [None, 0])
    assert found.captions == {"captions": [[], ["one"]]}


def test_columns_that_the_store_has_itself_are_left_out(manifest):
    """They stand beside outcomes, where a second `confidence` or `model` would be a crash."""
    found = manifest("path,label,confidence,model,style", "a.jpg,dog,0.5,x,ink")
    assert found.annotations.columns == ["style"]
    assert any("'confidence', 'model' of" in notice for notice in found.notices)
