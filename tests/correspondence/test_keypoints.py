"""PCK against loops over keypoints and cells."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from embedstore.correspondence.limits import protocol_of
from embedstore.correspondence.matching import Rules
from embedstore.correspondence.measuring import measure
from embedstore.correspondence.pairs import Pair, View
from embedstore.correspondence.summary import summarize
from embedstore.errors import EmbedStoreError
from embedstore.testing.patched import even_sight
from embedstore.transform import Transform

RULES = Rules(ratio_test=True, mutual=True, keep=1)  # which keypoints do not heed
SIGHT = even_sight(Transform((64, 64), (64, 64), "squash"), (8, 8))
CLASSES = ("cat", "cat", "cat", "cow", "cow", "bus")


@pytest.fixture(scope="module")
def maps():
    """Smooth enough that neighbours are alike, the second picture's noisy."""
    random = np.random.default_rng(0)
    first = random.normal(size=(8, 8, 6)).cumsum(axis=0).cumsum(axis=1)
    noisy = [first + random.normal(size=first.shape) * 0.6 for _ in CLASSES]
    return np.array([first, *noisy], np.float32)


@pytest.fixture(scope="module")
def pairs():
    """Pictures of 160 x 80: a cell is of 20 x 10 pixels."""
    random = np.random.default_rng(1)
    found = []
    for row, name in enumerate(CLASSES, start=1):
        points = random.uniform(0, [159, 79], (12, 2))
        keypoints = np.concatenate(
            [points, np.clip(points + random.normal(size=(12, 2)), 0, 79)], axis=1
        )
        keypoints[: row % 3] = np.nan
        box = np.array([10, 5, 10 + 20 * row, 75.0])
        found.append(
            Pair(View(0, 160, 80), View(row, 160, 80), keypoints=keypoints, box=box, group=name)
        )
    return found


def bilinear(patches, x, y):
    """By the four cells about a pixel of the 160 x 80 picture."""
    u = min(max((x + 0.5) / 20 - 0.5, 0), 7)
    v = min(max((y + 0.5) / 10 - 0.5, 0), 7)
    j, i = int(u), int(v)
    right, below = min(j + 1, 7), min(i + 1, 7)
    top = (1 - (u - j)) * patches[i, j] + (u - j) * patches[i, right]
    bottom = (1 - (u - j)) * patches[below, j] + (u - j) * patches[below, right]
    return (1 - (v - i)) * top + (v - i) * bottom


def answers(pair, maps, side):
    """Whether each keypoint's nearest cell is within a tenth of the side."""
    right = []
    first, second = (maps[v.sample_index].astype(float) for v in (pair.first, pair.second))
    for x, y, x2, y2 in pair.keypoints:
        if math.isnan(x):
            continue
        feature = bilinear(first, x, y)
        best = max(
            (feature @ second[i, j] / np.linalg.norm(second[i, j]), -i, -j)
            for i in range(8)
            for j in range(8)
        )
        at = (-best[2] * 20 + 9.5, -best[1] * 10 + 4.5)
        right.append(math.dist(at, (x2, y2)) < 0.1 * side)
    return right


def table(pairs, maps, **options):
    protocol = protocol_of("keypoints", "spair-71k", **options)
    judged = list(measure([pairs], "keypoints", maps.__getitem__, SIGHT, protocol, RULES))
    rows = summarize(judged, "keypoints", protocol, n_left_out=2, seed=0)
    return {row["group"]: row for row in rows}


@pytest.mark.parametrize("unit", ["box", "image"])
def test_pck_is_that_of_loops(pairs, maps, unit):
    found = table(pairs, maps, unit=unit)
    sides = [
        max(pair.box[2] - pair.box[0], pair.box[3] - pair.box[1]) if unit == "box" else 160
        for pair in pairs
    ]
    right = {name: [] for name in CLASSES}
    for pair, side in zip(pairs, sides, strict=True):
        right[pair.group] += answers(pair, maps, side)
    for name, of_class in right.items():
        row = found[name]
        assert (row["n_matches"], row["n_correct"]) == (len(of_class), sum(of_class))
        assert row["recall"] == pytest.approx(np.mean(of_class))
    means = [np.mean(of_class) for of_class in right.values()]
    assert 0.05 < np.mean(means) < 0.95
    assert len(set(means)) == 3
    everyone = found[None]
    assert everyone["recall"] == pytest.approx(np.mean(means))
    assert everyone["recall"] != pytest.approx(everyone["n_correct"] / everyone["n_matches"])
    assert everyone["n_unseen"] == sum(np.isnan(p.keypoints[:, 0]).sum() for p in pairs)
    assert (everyone["n_pairs"], everyone["n_excluded"], found["cow"]["n_pairs"]) == (6, 2, 2)
    assert everyone["recall_low"] < everyone["recall"] < everyone["recall_high"]


def test_chance_is_the_share_of_cells_that_would_be_right(pairs, maps):
    (row, *_) = table(pairs[5:], maps).values()  # one pair, one class
    cells = [(20 * j + 9.5, 10 * i + 4.5) for i in range(8) for j in range(8)]
    keypoints = pairs[5].keypoints
    near = [
        np.mean([math.dist(cell, (x, y)) < 0.1 * 120 for cell in cells]) for _, _, x, y in keypoints
    ]
    assert row["chance"] == pytest.approx(np.mean(near))
    assert np.isnan(row["recall_low"])  # of one pair


def test_pairs_without_a_class_are_one_mean(pairs, maps):
    none = table([replace(pair, group=None) for pair in pairs], maps)
    assert list(none) == [None]
    assert none[None]["recall"] == none[None]["n_correct"] / none[None]["n_matches"]
    some = table([replace(pairs[0], group=None), *pairs[1:]], maps)
    assert list(some) == [None, "bus", "cat", "cow", "other"]


def test_a_pair_without_a_box_or_without_keypoints_that_are_seen(pairs, maps):
    with pytest.raises(EmbedStoreError, match="no box to measure by; give --unit image"):
        table([replace(pairs[0], box=None)], maps)
    unseen = replace(pairs[0], keypoints=np.full((3, 4), np.nan))
    found = table([unseen, *pairs[3:]], maps)
    assert (found[None]["n_excluded"], found[None]["n_pairs"]) == (1 + 2, 3)
    assert np.isnan(found["cat"]["recall"])
    classes = [found[name]["recall"] for name in ("cow", "bus")]
    assert found[None]["recall"] == pytest.approx(np.mean(classes))
