"""Presets as sources: what a location may say; the facts; the border of ObjectNet's pictures."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from embedstore.datasets.pictures import decode
from embedstore.datasets.presets.border import BorderlessReader
from embedstore.datasets.presets.catalog import preset, preset_classes, presets
from embedstore.datasets.presets.source import PresetSource, benchmark_sources
from embedstore.errors import DatasetError, EmbedStoreError, PictureError
from embedstore.labels import class_map
from embedstore.prompts import imagenet

ALL = list(presets().values())


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/d?colour=red", "option 'colour=red' .* with keys among: list, partial"),
        ("/d?list=", "option 'list=' .* is not understood"),
        ("/d?list=a&list=b", "option 'list=b' .* is not understood"),
        ("/d?partial=yes", "partial=yes means nothing; write partial=1"),
        ("s3://d/x", "reads folders of this machine, not s3://d/x"),
    ],
)
def test_bad_locations(location, message):
    with pytest.raises(EmbedStoreError, match=message):
        PresetSource("sun", location)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="there is no folder .*; check the path after sun:"):
        PresetSource("sun", str(tmp_path / "none")).listing()


@pytest.mark.parametrize("name", ["inaturalist", "imagenet-o", "imagenet-a", "ninco"])
def test_an_empty_folder_holds_none_of_the_pictures(tmp_path, name):
    with pytest.raises(DatasetError, match=f"0 of .* see: embedstore data show {name}$"):
        PresetSource(name, f"{tmp_path}?partial=1").listing()


def test_an_empty_image_list(copy, write):
    root, empty = copy("images/a.jpg"), write("none.txt", "\n")
    with pytest.raises(DatasetError, match="incomplete copy of"):
        PresetSource("sun", f"{root}?list={empty}").listing()


@pytest.mark.parametrize(
    ("name", "near"),
    [("imagenet_val", "imagenet-val"), ("cueconflict", "cue-conflict"), ("coco", "coco-karpathy")],
)
def test_an_unknown_name_names_the_closest(name, near):
    with pytest.raises(EmbedStoreError, match=f"unknown data set '{name}'; the closest: .*{near}"):
        preset(name)


@pytest.mark.parametrize("known", ALL, ids=lambda p: p.name)
def test_facts_are_there_and_fit_together(known):
    for text in (known.title, known.summary, known.citation, known.tree):
        assert text.strip()
    assert known.homepage.startswith("http")
    assert known.documentation.startswith("http")
    assert known.labelled == bool(known.classes) or known.task in ("retrieval", "correspondence")
    ids = set(preset_classes(known).ids) if known.classes else set()
    for space in known.spaces:  # each label is a class of each space, or a member of one
        assert ids & set(class_map(space).class_of)
    if known.task != "correspondence":
        assert known.rows > 0


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("objectnet", {"hand_towel_or_rag": "dishrag or hand towel", "t-shirt": "t-shirt"}),
        ("imagenet-d", {"binder_closed": "binder (closed)", "mug": "mug"}),
        ("cue-conflict", {"oven": "oven"}),
    ],
)
def test_classes_of_their_own_are_those_of_their_label_space(name, names):
    classes = preset_classes(preset(name))
    assert list(classes.ids) == sorted(classes.ids) == list(class_map(name).members)
    spoken = dict(zip(classes.ids, classes.names, strict=True))
    assert spoken.items() >= names.items()


def test_imagenets_classes_come_in_the_order_of_their_ids():
    for name in ("imagenet-a", "imagenet-r"):
        ids = preset_classes(preset(name)).ids
        assert list(ids) == [i for i in imagenet().ids if i in set(ids)]


def test_a_benchmark_names_its_75_data_sets():
    found = benchmark_sources("imagenet-c:/data/c")
    assert len(found) == len(set(found)) == 75
    name, source = found[0]
    assert name == "imagenet-c--gaussian_noise--1"
    assert source == "imagenet-c:/data/c?corruption=gaussian_noise&severity=1"
    assert len(benchmark_sources("imagenet-3dcc:/d")) == 60
    assert len(benchmark_sources("imagenet-c:/d?severity=3")) == 15
    extra = benchmark_sources("imagenet-c:/d?corruption=spatter&partial=1")
    assert extra[4] == (
        "imagenet-c--spatter--5",
        "imagenet-c:/d?corruption=spatter&severity=5&partial=1",
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("imagenet-c:/d?severity=6", "no severity '6'; write .*severity one of: 1, 2, 3, 4, 5"),
        ("imagenet-c:/d?corruption=rain", "no corruption 'rain'.*one of: gaussian_noise"),
        ("imagenet-c", "names no folder; write imagenet-c:PATH"),
        ("sun:/d", "sun is one data set, not a benchmark of corruptions"),
    ],
)
def test_sources_that_a_benchmark_lacks(source, message):
    with pytest.raises(EmbedStoreError, match=message):
        benchmark_sources(source)


@pytest.mark.parametrize(
    "options", ["", "?corruption=fog", "?severity=2", "?corruption=x&severity=2"]
)
def test_a_corruption_and_a_severity_must_be_named(tmp_path, options):
    with pytest.raises(EmbedStoreError, match=r"write imagenet-c:PATH\?corruption=.*one of: "):
        PresetSource("imagenet-c", f"{tmp_path}{options}").listing()


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_border_is_two_pixels_and_the_rest_untouched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels))
    read = pickle.loads(pickle.dumps(BorderlessReader(str(tmp_path))))
    assert (decode(read("a.png")) == pixels[2:-2, 2:-2]).all()
    (tmp_path / "tiny.png").write_bytes(png(pixels[:4]))
    assert (decode(read("tiny.png")) == pixels[:4]).all()
    (tmp_path / "a.jpg").write_bytes(b"not cropped")
    assert read("a.jpg") == b"not cropped"
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    with pytest.raises(PictureError, match="decode"):
        read("bad.png")
    with pytest.raises(PictureError, match="read: No such file"):
        read("none.png")


def test_links_that_lead_in_circles_or_nowhere(copy):
    root = copy("images/a.jpg")
    (root / "images" / "up").symlink_to(root / "images")
    (root / "images" / "gone.jpg").symlink_to("nothing")
    found = PresetSource("sun", f"{root}?partial=1").listing()
    assert found.paths == ["a.jpg", "gone.jpg"]
