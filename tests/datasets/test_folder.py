"""Pictures in a folder: classes, order, ids, and what a folder may hold besides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from embedstore.datasets.folder import FolderSource, sample_ids
from embedstore.datasets.sources import Listing, describe, open_source
from embedstore.errors import DatasetError, EmbedStoreError, PictureError, UnknownNameError
from embedstore.prompts import imagenet
from embedstore.store.tables import from_parquet, to_parquet


def filled(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode(errors="surrogateescape"))
    return root


def listing(root: Path) -> Listing:
    return open_source(f"folder:{root}").listing()


def test_a_folder_a_class(tmp_path):
    found = listing(filled(tmp_path, "dog/2.jpg", "cat/1.png", "dog/1.JPEG", "cat/notes.txt"))
    assert found.paths == ["cat/1.png", "dog/1.JPEG", "dog/2.jpg"]
    assert found.sample_ids == ["cat/1", "dog/1", "dog/2"]
    assert found.labels == [0, 1, 1]
    assert found.n_bytes == [9, 10, 9]
    assert found.classes.ids == found.classes.names == ("cat", "dog")
    assert found.notices == []


def test_a_flat_folder_has_no_labels(tmp_path):
    found = listing(filled(tmp_path, "b.jpg", "a.webp"))
    assert (found.paths, found.labels, found.classes) == (["a.webp", "b.jpg"], [None, None], None)


def test_pictures_belong_to_the_topmost_folder_at_any_depth(tmp_path):
    found = listing(filled(tmp_path, "cat/old/x/1.jpg", "cat/2.jpg", "dog/y/3.jpg"))
    assert found.paths == ["cat/2.jpg", "cat/old/x/1.jpg", "dog/y/3.jpg"]
    assert found.labels == [0, 0, 1]


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    found = listing(filled(tmp_path, "cat/1.jpg", "cat/._1.jpg", ".cache/2.jpg", "cat/.x/3.jpg"))
    assert found.paths == ["cat/1.jpg"]
    assert found.classes.ids == ("cat",)


def test_pictures_beside_class_folders_are_left_out_with_a_notice(tmp_path):
    found = listing(filled(tmp_path, "cat/1.jpg", "cover.jpg", "back.png"))
    assert found.paths == ["cat/1.jpg"]
    (notice,) = found.notices
    assert notice.startswith("2 pictures beside the class folders of")
    assert notice.endswith("left out, such as back.png")


def test_an_empty_class_is_a_class_and_noticed(tmp_path):
    (tmp_path / "bird").mkdir()
    found = listing(filled(tmp_path, "cat/1.jpg", "ant/readme.txt"))
    assert found.classes.ids == ("ant", "bird", "cat")
    assert found.labels == [2]
    assert [n.split(" of ")[0] for n in found.notices] == ["class 'ant'", "class 'bird'"]


@pytest.mark.parametrize("names", [(), ("cat/notes.txt",), (".hidden/1.jpg",)])
def test_a_folder_without_pictures_is_an_error(tmp_path, names):
    with pytest.raises(
        DatasetError, match=r"no pictures in .*: nothing there ends in \.avif, \.bmp"
    ):
        listing(filled(tmp_path, *names))


def test_a_missing_folder_and_a_file_are_errors(tmp_path):
    for path in (tmp_path / "none", filled(tmp_path, "a.jpg") / "a.jpg"):
        with pytest.raises(DatasetError, match="there is no folder .*check the path after folder:"):
            listing(path)


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    filled(tmp_path, "cat/1.jpg", "locked/2.jpg")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        DatasetError, match=r"cannot read .*locked: Permission denied; check the path, or make"
    ):
        listing(tmp_path)


def test_links_are_followed_and_loops_end(tmp_path):
    elsewhere = filled(tmp_path / "elsewhere", "2.jpg")
    root = filled(tmp_path / "root", "cat/1.jpg")
    (root / "dog").symlink_to(elsewhere)
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "gone.jpg").symlink_to(root / "nothing.jpg")
    (root / "itself").symlink_to("itself")
    found = listing(root)
    assert {"cat/1.jpg", "cat/gone.jpg", "dog/2.jpg"} <= set(found.paths)
    assert not any(part in path for path in found.paths for part in ("self/", "up/cat"))
    with pytest.raises(PictureError, match="read: No such file"):
        open_source(f"folder:{root}").reader()("cat/gone.jpg")


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["a.jpg", "b.png"], ["a", "b"]),
        (["a.jpg", "a.png", "b.png"], ["a.jpg", "a.png", "b"]),
        (["a.jpg", "a.jpg.png", "a.png"], ["a.jpg", "a.jpg.png", "a.png"]),
        (["x/a.jpg", "y/a.jpg", "x/a.b.jpg"], ["x/a", "y/a", "x/a.b"]),
        ([".", "a.jpg"], [".", "a"]),
    ],
)
def test_ids_are_paths_without_endings_unless_two_would_be_equal(paths, ids):
    assert sample_ids(paths) == ids


def test_wordnet_ids_and_class_names_are_imagenets(tmp_path):
    by_id = listing(filled(tmp_path / "ids", "n01443537/1.jpg", "n01440764/1.jpg"))
    by_name = listing(filled(tmp_path / "names", "Tench/1.jpg", "goldfish/1.jpg"))
    assert by_id.classes.name == by_name.classes.name == imagenet().name
    assert by_id.classes.ids == ("n01440764", "n01443537")
    # In the order of the folders: `Tench` sorts before `goldfish`.
    assert by_name.classes.ids == ("n01440764", "n01443537")
    assert by_id.classes.names == by_name.classes.names == ("tench", "goldfish")


def test_one_other_folder_makes_all_classes_the_data_sets_own(tmp_path):
    found = listing(filled(tmp_path, "n01440764/1.jpg", "my_thing/1.jpg"))
    assert found.classes.ids == ("my_thing", "n01440764")
    assert found.classes.names == ("my thing", "n01440764")


def test_order_is_of_the_paths_whatever_the_file_system_says(tmp_path, monkeypatch):
    filled(tmp_path, "b/2.jpg", "b/10.jpg", "a/z.jpg", "a b/1.jpg", "b/c/1.jpg")
    once = listing(tmp_path).paths
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(real(path))))
    assert listing(tmp_path).paths == once
    # Part by part: every picture of a class lies together.
    assert once == ["a/z.jpg", "a b/1.jpg", "b/10.jpg", "b/2.jpg", "b/c/1.jpg"]


def test_names_of_any_script_and_with_line_ends(tmp_path):
    names = ["größe/é.jpg", "猫/一.jpg", "a\nb/c\td.jpg", "q'\"$(x)/%s.jpg", "🐈/ .jpg"]
    source = open_source(f"folder:{filled(tmp_path, *names)}")
    found = source.listing()
    assert sorted(found.paths) == sorted(names)
    _, samples = describe("odd", source, found)
    assert from_parquet(to_parquet(samples))["path"].to_list() == found.paths
    assert source.reader()(names[2]) == names[2].encode()


def test_a_name_that_is_not_utf8_is_an_error_that_shows_it(tmp_path):
    try:
        filled(tmp_path, "cat/1.jpg", os.fsdecode(b"cat/caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(DatasetError, match=r"'cat/caf\\udce9.jpg' .* is not UTF-8; rename"):
        listing(tmp_path)


def test_sources_without_kind_or_of_unknown_kind():
    with pytest.raises(EmbedStoreError, match="names no kind; .*such as folder:/data/x"):
        open_source("/data/x")
    with pytest.raises(UnknownNameError, match=r"kind of data source 'zip'; .*folder"):
        open_source("zip:/data/x")


class Counting(FolderSource):
    """A folder that counts the pictures read."""

    n_read = 0

    def reader(self):
        read = super().reader()

        def counted(locator: str) -> bytes:
            self.n_read += 1
            return read(locator)

        return counted


def test_describing_again_reads_nothing_unless_a_file_changed(tmp_path):
    root = tmp_path / "pets"
    for i in range(5):
        (root / "cat").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (i, 0, 0)).save(root / "cat" / f"{i}.png")
    source = Counting(str(root))
    record, samples = describe("pets", source, source.listing())
    assert source.n_read == 5
    assert samples["digest"].n_unique() == 5
    assert describe("pets", source, source.listing(), record) == (record, None)
    assert source.n_read == 5

    os.utime(root / "cat/3.png", ns=(0, 0))  # touched: read again, and found to be the same
    again, samples = describe("pets", source, source.listing(), record)
    assert samples is not None
    assert again.fingerprint == record.fingerprint

    Image.new("RGB", (4, 4), (99, 0, 0)).save(root / "cat/3.png")
    changed, _ = describe("pets", source, source.listing(), record)
    assert changed.fingerprint != record.fingerprint
    assert [
        f for f in ("class_ids", "n_samples") if getattr(changed, f) != getattr(record, f)
    ] == []


def test_a_picture_that_cannot_be_read_has_no_digest(tmp_path):
    root = filled(tmp_path, "cat/1.jpg")
    (root / "cat" / "2.jpg").symlink_to(root / "nothing")
    source = open_source(f"folder:{root}")
    _, samples = describe("pets", source, source.listing())
    assert [bool(d) for d in samples["digest"]] == [True, False]


def test_other_classes_of_the_same_pictures_are_seen(tmp_path):
    filled(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "list.csv").write_text("path,label\n1.jpg,0\n2.jpg,1\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    source = open_source(f"csv:{tmp_path}/list.csv")
    record, _ = describe("d", source, source.listing())
    assert describe("d", source, source.listing(), record) == (record, None)
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    again, samples = describe("d", source, source.listing(), record)
    assert samples is not None
    assert again.class_ids == ("dog", "cat")
    assert again.fingerprint != record.fingerprint
