"""The label spaces that ship: their classes, and where they are from."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from embedstore.labels import class_map, class_map_names
from embedstore.prompts import imagenet

IDS = imagenet().ids
COUNTS = {
    "cue-conflict": (16, 207, "mean"),
    "imagenet-a": (200, 200, "max"),
    "imagenet-d": (113, 125, "max"),
    "imagenet-r": (200, 200, "max"),
    "imagenet-real": (0, 0, "max"),
    "objectnet": (113, 125, "max"),
    "objectnet-allowed": (113, 125, "allowed"),
}


def test_these_ship():
    assert class_map_names() == sorted(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_members_are_imagenets_each_in_one_class(name):
    found = class_map(name)
    members = [m for group in found.members.values() for m in group]
    assert (len(found.members), len(members), found.rule) == COUNTS[name]
    assert set(members) <= set(IDS)
    assert len(set(members)) == len(members)
    assert all(found.members.values())
    assert list(found.members) == sorted(found.members)  # ties go to the first
    assert found.name == name
    assert found.summary
    assert found.source


@pytest.mark.parametrize("letter", "ar")
def test_the_200_are_timms(letter):
    pytest.importorskip("timm")
    package = importlib.util.find_spec("timm").submodule_search_locations[0]
    lines = Path(package, f"data/_info/imagenet_{letter}_synsets.txt").read_text().split()
    assert list(class_map(f"imagenet-{letter}").members) == lines


@pytest.mark.parametrize("letter", "ar")
def test_the_200_are_clip_benchmarks(letter):
    spec = importlib.util.find_spec("clip_benchmark")
    if spec is None:
        pytest.skip("the package clip-benchmark is not installed")
    code = Path(spec.submodule_search_locations[0], "datasets/builder.py").read_text()
    listed = code.partition(f"imagenet_{letter}_wnids = ")[2].partition(f"imagenet_{letter}_mask")[
        0
    ]
    assert set(class_map(f"imagenet-{letter}").members) == set(re.findall(r"n\d{8}", listed))


def test_a_and_r_share_86_classes():
    both = set(class_map("imagenet-a").members) & set(class_map("imagenet-r").members)
    assert len(both) == 86


def test_objectnets_two_rules_are_of_one_mapping():
    assert class_map("objectnet").members == class_map("objectnet-allowed").members


def test_objectnet_and_imagenet_d_agree_on_what_imagenet_calls_the_113():
    """Two sources that were written down independently."""
    groups = [
        {frozenset(members) for members in class_map(name).members.values()}
        for name in ("objectnet", "imagenet-d")
    ]
    assert groups[0] == groups[1]


@pytest.mark.parametrize(
    ("space", "class_id", "names"),
    [
        ("objectnet", "bicycle", {"tandem bicycle", "mountain bike"}),
        ("objectnet", "hand_towel_or_rag", {"dishcloth"}),
        ("objectnet", "sunglasses", {"sunglasses"}),
        ("objectnet", "wheel", {"car wheel", "paddle wheel"}),
        ("imagenet-d", "cleaver", {"cleaver"}),
        ("cue-conflict", "airplane", {"airliner"}),
        ("cue-conflict", "oven", {"rotisserie"}),
        ("cue-conflict", "elephant", {"Asian elephant", "African bush elephant"}),
        ("cue-conflict", "clock", {"analog clock", "digital clock", "wall clock"}),
    ],
)
def test_members_by_name(space, class_id, names):
    name_of = dict(zip(IDS, imagenet().names, strict=True))
    assert {name_of[m] for m in class_map(space).members[class_id]} == names


def test_the_16_classes_are_as_large_as_published():
    sizes = {name: len(members) for name, members in class_map("cue-conflict").members.items()}
    assert sizes == {
        "airplane": 1, "bear": 4, "bicycle": 2, "bird": 49, "boat": 5, "bottle": 7, "car": 3,
        "cat": 6, "chair": 4, "clock": 3, "dog": 109, "elephant": 2, "keyboard": 2, "knife": 1,
        "oven": 1, "truck": 8,
    }  # fmt: skip


def test_reassessed_labels_keep_the_data_sets_own_classes():
    assert class_map("imagenet-real").labels == "real_labels"
    assert class_map("imagenet-real").members == {}
