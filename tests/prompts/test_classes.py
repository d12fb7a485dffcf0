from __future__ import annotations

from pathlib import Path

import pytest

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.prompts import class_list, imagenet, read_class_list, resolve_classes


def test_names_are_those_of_open_clip_in_its_order() -> None:
    open_clip = pytest.importorskip("open_clip")
    assert imagenet().names == tuple(open_clip.IMAGENET_CLASSNAMES)


def test_ids_are_those_of_timm_in_its_order() -> None:
    data = pytest.importorskip("timm.data")
    assert imagenet().ids == tuple(data.ImageNetInfo("imagenet-1k").label_names())


def test_ids_are_sorted_unique_and_where_the_sample_has_them(imagenet_sample: Path) -> None:
    ids = imagenet().ids
    assert len(set(ids)) == len(ids) == 1000
    assert list(ids) == sorted(ids) == sorted(folder.name for folder in imagenet_sample.iterdir())


def test_two_names_stand_twice() -> None:
    names = imagenet().names
    repeated = {name: [i for i, n in enumerate(names) if n == name] for name in names}
    repeated = {name: places for name, places in repeated.items() if len(places) > 1}
    assert repeated == {"missile": [657, 744], "sunglasses": [836, 837]}


def test_folders_named_by_wordnet_id_keep_their_order() -> None:
    classes = resolve_classes(["n01443537", "n01440764"])
    assert classes is not None
    assert classes.name == "imagenet"
    assert classes.ids == ("n01443537", "n01440764")
    assert classes.names == ("goldfish", "tench")


def test_folders_named_after_classes_are_known_however_they_are_spelt() -> None:
    classes = resolve_classes(["Great_White-Shark", "tench", "T-shirt"])
    assert classes is not None
    assert classes.ids == ("n01484850", "n01440764", "n03595614")
    assert classes.names == ("great white shark", "tench", "T-shirt")


def test_all_thousand_ids_are_the_list_itself() -> None:
    assert resolve_classes(imagenet().ids) == imagenet()


@pytest.mark.parametrize(
    "folders",
    [
        [],
        ["tench", "astronaut"],
        ["n01440764", "goldfish"],  # ids and names do not mix
        ["missile"],  # means two classes
        ["great_white_shark", "great white shark"],  # two folders, one class
    ],
)
def test_other_folders_are_not_imagenet(folders: list[str]) -> None:
    assert resolve_classes(folders) is None


@pytest.mark.parametrize(
    ("file", "text", "ids"),
    [
        ("pets.txt", "cat\ndog\n", ("cat", "dog")),
        ("pets.json", '["cat", "dog"]', ("cat", "dog")),
        ("pets.json", '{"p1": "cat", "p2": "dog"}', ("p1", "p2")),
        ("pets.csv", 'colour,name,id\nred,"cat",p1\nblue,dog,p2\n', ("p1", "p2")),
    ],
)
def test_a_file_is_a_class_list_named_after_it(
    tmp_path: Path, file: str, text: str, ids: tuple[str, ...]
) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    classes = class_list(str(tmp_path / file))
    assert (classes.name, classes.ids, classes.names) == ("pets", ids, ("cat", "dog"))


def test_names_may_repeat_where_ids_keep_them_apart(tmp_path: Path) -> None:
    (tmp_path / "birds.csv").write_text("id,name\nb1,crane\nb2,crane\n", encoding="utf-8")
    assert read_class_list(tmp_path / "birds.csv").names == ("crane", "crane")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("a.txt", b"cat\ncat\n", "'cat' more than once"),
        ("a.txt", b"cat\n  \ndog\n", "line 2 of .* is empty"),
        ("a.txt", b"", "is empty"),
        ("a.txt", "Bär\n".encode("latin-1"), "not UTF-8"),
        ("a.csv", b"name\ncat\n", "first line with id,name"),
        ("a.csv", b"id,name\n", "first line with id,name"),
        ("a.csv", b"id,name\np1,cat\np1,dog\n", "'p1' more than once"),
        ("a.csv", b"id,name\np1\n", "name of class 1 .* is empty"),
        ("a.csv", b'id,name\np1,"cat\n', "no CSV"),
        ("a.json", b'{"p1": "cat", "p1": "dog"}', "'p1' more than once"),
        ("a.json", b'{"p1": 3}', "name of class 1 .* is no text"),
        ("a.json", b"[3]", "id of class 1 .* is no text"),
        ("a.json", b"{}", "needs a list of names"),
        ("a.json", b"3", "needs a list of names"),
        ("a.yaml", b"- cat", "let its name end in"),
        ("imagenet.txt", b"cat\n", "would pass for the class list 'imagenet'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, file: str, text: bytes, message: str
) -> None:
    (tmp_path / file).write_bytes(text)
    with pytest.raises(EmbedStoreError, match=message):
        read_class_list(tmp_path / file)


def test_an_unknown_name_is_answered_with_the_choices() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown class list 'coco'; .*imagenet"):
        class_list("coco")
    assert class_list("imagenet") is imagenet()
