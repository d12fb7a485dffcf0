"""Which data sets are of a benchmark, which pictures they share, and who is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from embedstore import Store
from embedstore.corruption.folders import (
    Folder,
    clean_dataset,
    clean_folder,
    folders_of,
    same_pictures,
)
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.store.datasets import DatasetRecord, fingerprint, save_annotations, save_dataset
from embedstore.testing.simulate.samples import add_samples

IDS = [f"class/{i}" for i in range(4)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "s", create=True)


def named(store: Store) -> list[tuple[str, str | None, int, str]]:
    found = folders_of(store, store.datasets)
    return [(f.benchmark, f.corruption, f.severity, f.dataset) for f in found]


def add(store: Store, name: str, ids: Sequence[str] = IDS, **annotations: Sequence[object]) -> None:
    add_samples(store, name, ids)
    if annotations:
        save_annotations(store.files, name, "notes", pl.DataFrame(annotations))


def folder(
    ids: Sequence[str],
    severity: int = 1,
    dataset: str = "d",
    classes: Sequence[str | None] | None = None,
) -> Folder:
    n, named = len(ids), pl.Series(classes or [None] * len(ids), dtype=pl.String)
    corruption = "fog" if severity else None
    return Folder("b", corruption, severity, dataset, n, n, None, pl.Series(ids), named)


def test_names_say_what_a_data_set_is_of(store):
    for name in ("photos", "photos--fog--3", "imagenet-c--jpeg_compression--5--limit-4",
                 "a--b--fog--2", "photos--limit-4", "photos--limit-4--snow--1",
                 "openai-80--imagenet", "photos--v2"):  # fmt: skip
        add(store, name)
    assert named(store) == [
        ("a--b", "fog", 2, "a--b--fog--2"),
        ("imagenet-c--limit-4", "jpeg_compression", 5, "imagenet-c--jpeg_compression--5--limit-4"),
        ("photos", "fog", 3, "photos--fog--3"),
        ("photos--limit-4", "snow", 1, "photos--limit-4--snow--1"),
    ]


def test_annotations_say_it_too(store):
    add(store, "mine", corruption=["fog", "fog", None, "snow"], severity=[1, 1, 2, 0])
    add(store, "pure", corruption=["rain"] * 4, severity=[2] * 4)
    add(store, "x--fog--9", corruption=["haze"] * 4, severity=[1] * 4)
    add(store, "other", corruption=["fog"] * 4)
    add(store, "texts", corruption=["fog"] * 4, severity=["high"] * 4)
    assert named(store) == [
        ("mine", "fog", 1, "mine"), ("pure", "rain", 2, "pure"), ("x", "haze", 1, "x--fog--9"),
    ]  # fmt: skip
    mixed, pure, _ = folders_of(store, store.datasets)
    assert (mixed.n_samples, mixed.n_pictures, list(mixed.rows)) == (4, 2, [0, 1])
    assert (pure.n_samples, pure.n_pictures, pure.rows) == (4, 4, None)


def test_the_source_names_the_benchmark_of_a_data_set_with_a_name_of_its_own(store):
    add(store, "plain")
    samples = store.samples("plain").with_columns(corruption=pl.lit("fog"), severity=3)
    record = DatasetRecord(
        "mine",
        "imagenet-c:/d?corruption=fog&severity=3",
        "mine",
        (),
        (),
        4,
        fingerprint(samples, ()),
    )
    save_dataset(store.files, record, samples)
    assert named(store) == [("imagenet-c", "fog", 3, "mine")]


def test_two_data_sets_of_the_same_pictures_are_refused(store):
    add(store, "b--fog--1")
    add(store, "b--haze--1", corruption=["fog"] * 4, severity=[1] * 4)
    message = "'b--fog--1' and 'b--haze--1' are both fog at severity 1 of 'b'; leave one out"
    with pytest.raises(EmbedStoreError, match=message):
        folders_of(store, store.datasets)


@pytest.mark.parametrize(
    ("of", "wanted", "there", "found"),
    [
        ("photos", "auto", ["photos", "imagenet-val"], "photos"),
        ("imagenet-c", "auto", ["photos", "ImageNet-Val"], "ImageNet-Val"),
        ("imagenet-3dcc", "auto", ["imagenet-3dcc"], None),
        ("imagenet-c--limit-9", "auto", ["imagenet-val", "imagenet-val--limit-9"],
         "imagenet-val--limit-9"),
        ("imagenet-c--limit-9", "auto", ["imagenet-val"], "imagenet-val"),
        ("photos--limit-9", "auto", ["photos", "photos--limit-8"], "photos"),
        ("photos", "none", ["photos"], None),
        ("photos", "other", ["photos", "other"], "other"),
    ],
)  # fmt: skip
def test_the_clean_data_set(of, wanted, there, found):
    assert clean_dataset(of, wanted, there) == found


def test_a_clean_data_set_that_is_not_there_or_not_clear():
    with pytest.raises(UnknownNameError, match="clean data set 'x'; choose one of: none, photos"):
        clean_dataset("photos", "x", ["photos"])
    with pytest.raises(EmbedStoreError, match="any of imagenet, imagenet-val could be .* --clean"):
        clean_dataset("imagenet-c", "auto", ["imagenet", "imagenet-val"])


def test_the_same_pictures_in_another_order_or_other_folders():
    folders = [folder(IDS, 0), folder(IDS[::-1]), folder(IDS)]
    (clean, other, same), note = same_pictures(folders, "same")
    assert (clean, same, note) == (folders[0], folders[2], None)
    assert (list(other.pictures), list(other.rows)) == (IDS, [3, 2, 1, 0])
    moved = [folder(IDS, 0), folder([f"fog/3/{i}" for i in IDS])]
    assert same_pictures(moved, "same") == (moved, None)


def test_other_labels_of_the_same_pictures_are_refused():
    labels = ["cat", "dog", None, "cat"]
    clean = folder(IDS, 0, "clean", labels)
    turned = folder(IDS[::-1], 1, "turned", [*labels[::-1]])
    other = folder([f"fog/{i}" for i in IDS], 2, "f", ["cat", "dog", "cat", "dog"])
    renamed = folder(IDS, 3, "r", ["Katze", "Hund", None, "Katze"])
    kept, _ = same_pictures([clean, turned, renamed], "same")
    assert list(kept[1].classes) == labels
    message = "'3' is of class 'dog' in data set 'f' and of 'cat' in 'clean'; add one of them with"
    with pytest.raises(EmbedStoreError, match=message):
        same_pictures([clean, other], "same")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (IDS[:3], "'f' lacks 1 of the 4 pictures of 'clean', such as 'class/3'; encode .*--rows"),
        ([*IDS, "class/9"], "'f' holds 1 that are not in it, such as 'class/9'; encode"),
        ([*IDS[1:], "x/9"], "lacks 1 of the 4 .*'class/0' and holds 1 .* such as 'x/9'; encode"),
        (["x/7", "x/8"], "lacks 4 of the 4 pictures .*, such as '0' and holds 2 .* '7'; "),
    ],
)
def test_other_pictures_than_the_clean_ones_are_refused(ids, message):
    with pytest.raises(EmbedStoreError, match=message):
        same_pictures([folder(IDS, 0, "clean"), folder(IDS), folder(ids, 2, "f")], "same")


def test_fewer_pictures_than_another_severity_are_refused():
    with pytest.raises(EmbedStoreError, match="'few' lacks 2 of the 4 pictures of 'more'"):
        same_pictures([folder(IDS[:2], 1, "few"), folder(IDS, 2, "more")], "same")


def test_pictures_that_all_hold():
    folders = [folder(IDS, 0), folder([*IDS[:3], "x/1"]), folder(IDS[:0:-1])]
    kept, note = same_pictures(folders, "common")
    assert [list(f.pictures) for f in kept] == [IDS[1:3]] * 3
    assert [list(f.rows) for f in kept] == [[1, 2], [1, 2], [2, 1]]
    assert [f.n_pictures for f in kept] == [4, 4, 3]
    assert note == "over the 2 pictures that all 3 folders hold"
    with pytest.raises(EmbedStoreError, match="no picture is in all .*'d' and 'e'; name the clean"):
        same_pictures([folder(IDS, 0), folder(["y/7"], 1, "e")], "common")


def test_pictures_that_all_hold_of_a_mixed_data_set(store):
    ids = [f"{c}/{i}" for c in ("fog", "snow") for i in range(3)]
    add(store, "mixed", ids, corruption=["fog"] * 3 + ["snow"] * 3, severity=[1] * 6)
    add(store, "clean", ["a/0", "a/2", "a/5"])
    folders = [clean_folder(store, "mixed", "clean"), *folders_of(store, ["mixed"])]
    kept, _ = same_pictures(folders, "common")
    assert [list(f.rows) for f in kept] == [[0, 1], [0, 2], [3, 5]]


def test_ids_whose_last_parts_repeat_are_told_apart_whole():
    repeated = ["a/0", "b/0"]
    with pytest.raises(EmbedStoreError, match="lacks 2 of the 2 pictures of 'd', such as 'a/0'"):
        same_pictures([folder(repeated, 0), folder(["x/a/0", "x/b/0"], 1)], "same")
