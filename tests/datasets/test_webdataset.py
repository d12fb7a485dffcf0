"""Tar shards: what they hold, how members are found, and what is refused."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedstore.datasets import webdataset
from embedstore.datasets.folder import sample_ids
from embedstore.datasets.shards import SORTED_BYTES
from embedstore.datasets.sources import open_source
from embedstore.datasets.tar_headers import Walk
from embedstore.errors import DatasetError, PictureError
from embedstore.prompts import imagenet
from embedstore.testing.source_contract import TREE, SourceContract, pack_tar

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


class TestContract(SourceContract):
    def pack(self, folder):
        items = list(TREE.items())
        pack_tar(folder / "in1k-009.tar", dict(items[::-2]))
        pack_tar(folder / "in1k-010.tar", dict(items[-2::-2]))
        return f"webdataset:{folder}/in1k-{{009..010}}.tar"


def listing(path):
    return open_source(f"webdataset:{path}").listing()


def test_a_flat_shard_has_no_labels(tmp_path):
    found = listing(pack_tar(tmp_path / "a.tar", {"b.jpg": b"2", "a.webp": b"1", "c.bin": b"0"}))
    assert list(found.sample_ids) == ["a", "b"]
    assert list(found.labels) == [None, None]
    assert found.classes is None


def test_a_folder_and_its_tar_agree_on_what_lies_beside(tmp_path):
    files = {"cat/1.jpg": b"1", "cat/1.png": b"2", "dog/.x/3.jpg": b"", "cover.jpg": b"3"}
    files |= {"ant/readme.md": b"", "cat/._1.jpg": b"4", "cat/a.b.jpg": b"5"}
    for name, data in files.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "tree", ".")
    tar, folder = listing(tmp_path / "a.tar"), open_source(f"folder:{tmp_path / 'tree'}").listing()
    for column in ("sample_ids", "labels", "n_bytes"):
        assert list(getattr(tar, column)) == list(getattr(folder, column))
    assert tar.classes == folder.classes
    assert [n.split(" of ")[0] for n in tar.notices] == [n.split(" of ")[0] for n in folder.notices]


@pytest.mark.parametrize("layout", FORMATS)
def test_long_names(tmp_path, layout):
    names = ["d/" + "x" * 80 + f"/{'y' * 60}{i}.jpg" for i in range(3)]
    names += [] if layout == tarfile.USTAR_FORMAT else ["é" * 200 + "/" + "猫" * 50 + ".png"]
    path = pack_tar(tmp_path / "a.tar", {name: name.encode() for name in names}, layout)
    found, read = listing(path), open_source(f"webdataset:{path}").reader()
    assert [read(p).decode() for p in found.paths] == sorted(names)


part = st.text(st.sampled_from("ab.-é "), min_size=1, max_size=4).map(lambda s: f"{s}x")
member = st.lists(part, min_size=1, max_size=3).map("/".join)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.sets(member, max_size=30), st.sampled_from(FORMATS), st.sampled_from([".jpg", ".a.png"]))
def test_members_are_those_of_the_standard_library(tmp_path, names, layout, ending):
    names = [f"{'p' * SORTED_BYTES}{name}{ending}" for name in sorted(names, key=hash)]
    path = pack_tar(tmp_path / "a.tar", {name: name.encode() for name in names}, layout)
    with tarfile.open(path) as archive, path.open("rb") as file:
        expected = [(m.name, m.offset_data, m.size) for m in archive]
        walk = Walk(str(path), file, path.stat().st_size)
        assert [(n, at, size) for n, _, at, size in walk.members()] == expected
    kept = [n for n in names if not any(p.startswith(".") for p in n.split("/"))]
    if kept and all("/" in n for n in kept):
        found = listing(path)
        in_order = sorted(kept, key=lambda n: n.split("/"))
        assert list(found.sample_ids) == sample_ids(in_order)


def test_endings_are_kept_where_two_would_be_equal(tmp_path):
    names = ["a.jpg", "a.jpg.png", "a.png", "b.jpg", "b.x.jpg", "b-.jpg"]
    found = listing(pack_tar(tmp_path / "a.tar", dict.fromkeys(names, b"x")))
    by_path = sorted(names)
    assert list(found.sample_ids) == sample_ids(by_path)
    assert "a.jpg.png" in found.sample_ids


def test_one_sample_in_two_shards_or_twice_in_one_is_an_error(tmp_path):
    pack_tar(tmp_path / "a.tar", {"x/1.jpg": b"", "x/2.jpg": b""})
    pack_tar(tmp_path / "b.tar", {"x/2.png": b"", "x/3.jpg": b""})
    with pytest.raises(DatasetError, match=r"'x/2' is more than once in a\.tar and b\.tar; pack"):
        listing(tmp_path / "*.tar")
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("k.jpg"))
        archive.addfile(tarfile.TarInfo("k.jpg"))
    with pytest.raises(DatasetError, match=r"'k' is more than once in c\.tar; pack"):
        listing(tmp_path / "c.tar")


def test_sidecars(tmp_path):
    def record(**fields):
        return json.dumps(fields).encode()

    files = {
        "1.jpg": b"x", "1.cls": b"1\n", "1.txt": b"Ein Hund.\n",
        "1.json": record(width=3, caption="a dog", exif={"a": 1}, label=7),
        "0.jpg": b"x", "0.cls": b"0", "0.json": record(width=4, caption_de=["eins", "zwei"]),
        "2.jpg": b"x",
    }  # fmt: skip
    (tmp_path / "classes.txt").write_text("cat\ndog\nant\n")
    found = listing(pack_tar(tmp_path / "a.tar", files))
    assert list(found.sample_ids) == ["0", "1", "2"]
    assert list(found.labels) == [0, 1, None]
    assert found.classes.ids == ("cat", "dog", "ant")
    assert found.captions == {
        "captions": [[], ["Ein Hund."], []],
        "captions-de": [["eins", "zwei"], [], []],
    }
    assert found.annotations.to_dict(as_series=False) == {"width": [4, 3, None]}
    assert found.notices == [
        f"column 'exif' of {tmp_path}/a.tar left out: annotations are single values"
    ]


def test_names_and_numbers_as_classes(tmp_path):
    wnids = imagenet().ids[7:9]
    files = {f"{i}.jpg": b"x" for i in range(2)} | {f"{i}.cls": wnids[i].encode() for i in (0, 1)}
    found = listing(pack_tar(tmp_path / "a.tar", files))
    assert (list(found.labels), found.classes.name) == ([0, 1], "imagenet")
    files = {f"{i}.jpg": b"x" for i in range(1000)} | {f"{i}.cls": b"%d" % i for i in range(1000)}
    found = listing(pack_tar(tmp_path / "b.tar", files))
    assert found.classes == imagenet()
    assert [int(i) for i in found.sample_ids] == list(found.labels)


def test_bad_records(tmp_path):
    for text, said in (
        (b"{", "is no JSON: .*pack it again"),
        (b"[1]", "no JSON object"),
        (b"[" * 100_000, "is no JSON: .*pack it again"),
        (b"\xff", "UTF-8"),
    ):
        path = pack_tar(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": text})
        with pytest.raises(DatasetError, match=said):
            listing(path)


@pytest.mark.parametrize("name", ["/etc/x.jpg", "../x.jpg", "a/../../x.jpg", "a/..", "/x.txt"])
def test_members_outside_are_refused(tmp_path, name):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a/1.jpg"))
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(DatasetError, match=r"points out of the archive.*do not trust it"):
        listing(path)


def test_links_and_devices_are_passed_over_with_a_notice(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("1.jpg", tarfile.SYMTYPE),
            ("2.jpg", tarfile.LNKTYPE),
            ("3.jpg", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("4.jpg"))
    found = listing(path)
    assert list(found.sample_ids) == ["4"]
    assert found.notices == [
        "2 members of the shards are left out, of kind 'link', such as 1.jpg in a.tar",
        "1 members of the shards are left out, of kind 'special file', such as 3.jpg in a.tar",
    ]


def test_a_shard_cut_short_anywhere_is_an_error(tmp_path):
    whole = pack_tar(
        tmp_path / "whole.tar", {f"{i}.jpg": bytes(700) for i in range(3)}
    ).read_bytes()
    end = 3 * (512 + 1024)  # of the last member; two empty blocks follow
    for size in (*range(0, end + 1, 256), 1, 100, 513, end - 1, end + 511):
        path = tmp_path / "cut.tar"
        path.write_bytes(whole[:size])
        with pytest.raises(DatasetError) as caught:
            listing(path)
        message = str(caught.value)
        assert f"{path} is cut short at {size:,} bytes" in message
        assert message.endswith("fetch it again")
        # a member is whole with its last byte, 324 before its last block ends
        n_whole = (size + 324) // 1536
        assert (f"'{n_whole - 1}.jpg'" if n_whole else "no member is whole") in message
    path.write_bytes(whole[: end + 512])
    assert len(listing(path).paths) == 3


def test_damage_is_an_error_that_says_where(tmp_path):
    data = bytearray(
        pack_tar(tmp_path / "a.tar", {f"{i}.jpg": b"x" for i in range(3)}).read_bytes()
    )
    data[1024 + 5] ^= 1
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(DatasetError, match=r"damaged at byte 1,024 after member '0\.jpg'; fetch"):
        listing(tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DatasetError, match=r"is no tar archive; check the path"):
        listing(tmp_path / "b.tar")


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_compressed_shards_are_refused_by_what_they_are(tmp_path, mode):
    path = tmp_path / "a.tar"  # whatever its name
    with tarfile.open(path, f"w:{mode}") as archive:
        archive.addfile(tarfile.TarInfo("1.jpg"))
    with pytest.raises(
        DatasetError, match=r"is compressed.*unpack it to a plain tar first: \w+ -d"
    ):
        listing(path)


def test_missing_shards_are_counted(tmp_path):
    pack_tar(tmp_path / "a-1.tar", {"1.jpg": b"x"})
    with pytest.raises(DatasetError, match=r"3 of 4 shards .* missing, such as .*a-0\.tar; fetch"):
        listing(tmp_path / "a-{0..3}.tar")
    with pytest.raises(DatasetError, match="no shard matches .*check the pattern"):
        listing(tmp_path / "b-*.tar")
    with pytest.raises(DatasetError, match=r"no pictures in .*no member ends in \.avif"):
        listing(pack_tar(tmp_path / "c.tar", {"1.bin": b""}))


def test_a_shard_that_shrank_fails_its_pictures(tmp_path):
    path = pack_tar(tmp_path / "a.tar", {"1.jpg": b"1" * 600, "2.jpg": b"2" * 600})
    source = open_source(f"webdataset:{path}")
    paths, read = list(source.listing().paths), source.reader()
    assert read(paths[1]) == b"2" * 600
    os.truncate(path, 2000 + 100)
    with pytest.raises(PictureError, match=r"read: a\.tar ends within it: 52 of 600 bytes"):
        read(paths[1])


def test_sparse_members_are_refused(tmp_path):
    member = tarfile.TarInfo("1.jpg")
    member.type = tarfile.GNUTYPE_SPARSE
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member)
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    with pytest.raises(DatasetError, match=r"'1\.jpg' of .* is sparse; pack it without --sparse"):
        listing(tmp_path / "a.tar")


def test_a_sidecar_twice_is_an_error(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (("1.jpg", b""), ("1.cls", b"0"), ("1.cls", b"1")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    with pytest.raises(DatasetError, match=r"1\.cls is more than once in a\.tar; pack it once"):
        listing(tmp_path / "a.tar")


def test_records_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "SLICE", 2)
    records = [{}, {}, {"w": 1}, {}, {"w": 1.5, "label": "b"}, {"label": "a", "": "x"}]
    files = {f"{i}.jpg": b"" for i in range(7)}
    files |= {f"{i}.json": json.dumps(record).encode() for i, record in enumerate(records)}
    found = listing(pack_tar(tmp_path / "a.tar", files))
    assert list(found.labels) == [None] * 4 + [1, 0, None]
    assert found.annotations["w"].to_list() == [None, None, 1.0, None, 1.5, None, None]
    for first, second in ((["x"], "y"), ("x", ["y"])):
        for n in (1, 2):  # in one part, and in two
            files = {"0.json": json.dumps({"caption": first}).encode()} | dict.fromkeys(
                ("0.jpg", "1.jpg", "2.jpg"), b""
            )
            files[f"{n}.json"] = json.dumps({"caption": second}).encode()
            with pytest.raises(DatasetError, match=r"\.json of .* make no table: .*of one kind"):
                listing(pack_tar(tmp_path / "a.tar", files))


@pytest.mark.parametrize("size", ["²", "9" * 5000, "-1", ""])
def test_sizes_that_are_no_numbers(tmp_path, size):
    member = tarfile.TarInfo("c/1.jpg")
    member.pax_headers = {"size": size}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    with pytest.raises(DatasetError, match=r"size of the member after .* is no number; fetch it"):
        listing(tmp_path / "a.tar")
