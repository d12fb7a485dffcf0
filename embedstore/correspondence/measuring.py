"""What a model's patches find of the points that pairs of pictures share.

Dimensions: N points of the first picture, M of the second, n matches, L limits; h, w, D of a patch
map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import blas_on_one_core, over_rows
from embedstore.correspondence.geometry import (
    Scene,
    depth_scene,
    plane_scene,
    rotation_angle,
)
from embedstore.correspondence.keypoints import keypoint_scene
from embedstore.correspondence.limits import Protocol
from embedstore.correspondence.matching import Matches, Rules, match
from embedstore.correspondence.pairs import Pair, Truth
from embedstore.correspondence.points import Sight
from embedstore.correspondence.sampling import twins, unit_features
from embedstore.errors import EmbedStoreError
from embedstore.kernels.half import widen
from embedstore.kernels.matches import count_within
from embedstore.store.arrays import StoredArray

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
#: (h, w, D) of a sample; None: a failed picture.
Maps = Callable[[int], F32 | None]

#: Each keypoint takes its nearest cell, whatever the others take.
EACH = Rules(ratio_test=False, mutual=False, keep=0)
_GRAIN = 64  # matches that outlast a thread's start


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found of one pair."""

    correct: I64  # (L,) matches within each limit
    expected: F64  # (L,) of them, were each match's target any of the second picture's points
    n_matches: int = 0
    excluded: bool = False  # no overlap, too few points, or a picture that failed
    n_unseen: int = 0  # keypoints that were left out
    angle: float | None = None  # rotation between the cameras, degrees
    group: str | None = None


def stored_maps(patches: StoredArray) -> Maps:
    """Return how to read a picture's map: (N, h, w, D) float16, widened one at a time.

    The last two are kept: pairs that follow each other often share a picture.
    """
    rows, columns, n_features = patches.shape[1:]

    @lru_cache(maxsize=2)
    def read(row: int) -> F32 | None:
        bits = np.ascontiguousarray(patches[row]).view(np.uint16)
        wide = widen(bits.reshape(rows * columns, n_features))
        failed = bool(np.isnan(wide[0, 0]))  # a failed picture is NaN throughout
        return None if failed else wide.reshape(rows, columns, n_features)

    return read


def measure(
    blocks: Iterable[list[Pair]],
    truth: Truth,
    maps: Maps,
    sight: Sight,
    protocol: Protocol,
    rules: Rules,
) -> Iterator[Judged]:
    """Judge the matches of each pair, one after the other.

    Parameters
    ----------
    blocks
        Pairs, some at a time.
    truth
        What says which points belong together.
    maps
        Reads the patch map of a sample.
    sight
        How maps lie over pictures.
    protocol, rules
        What is measured, and which nearest neighbours are matches; of keypoints all are.

    Raises
    ------
    EmbedStoreError
        If a pair lacks what its truth needs.
    """
    chosen = EACH if truth == "keypoints" else rules
    with blas_on_one_core():  # once: products of small maps are shorter than setting it
        for pairs in blocks:
            for pair in pairs:
                yield judge(pair, truth, maps, sight, protocol, chosen)


def judge(
    pair: Pair, truth: Truth, maps: Maps, sight: Sight, protocol: Protocol, rules: Rules
) -> Judged:
    """Match the points of one pair, and count those that are right."""
    n_limits = len(protocol.limits)
    angle = rotation_angle(pair.pose) if truth == "depth" and pair.pose is not None else None
    none = Judged(np.zeros(n_limits, np.int64), np.zeros(n_limits), angle=angle, group=pair.group)
    scene = scene_of(pair, truth, sight)
    if scene is None:
        return replace(none, excluded=True)
    none = replace(none, n_unseen=scene.n_unseen)
    if not len(scene.first) or len(scene.second) < 2:  # a ratio needs two
        return replace(none, excluded=True)
    first, second = maps(pair.first.sample_index), maps(pair.second.sample_index)
    if first is None or second is None:
        return replace(none, excluded=True)
    a_places = sight.to_map(scene.first, pair.first)
    b_places = sight.to_map(scene.second, pair.second)
    found = match(
        unit_features(first, a_places, protocol.sampling),
        unit_features(second, b_places, protocol.sampling),
        rules,
        twins(b_places, sight.shape, protocol.sampling),
    )
    correct, expected = count_right(scene, found, protocol, protocol.pixel_scale(pair.second))
    return replace(none, correct=correct, expected=expected, n_matches=len(found.first))


def scene_of(pair: Pair, truth: Truth, sight: Sight) -> Scene | None:
    """Return the points of a pair that are compared; None if there are none."""
    if truth == "depth":
        return depth_scene(pair, sight)
    if truth == "keypoints":
        return keypoint_scene(pair, sight)
    return plane_scene(pair, truth, sight)


def count_right(
    scene: Scene, found: Matches, protocol: Protocol, pixel_scale: float
) -> tuple[I64, F64]:
    """Return how many matches are right, and how many would be by chance: (L,), (L,).

    Chance is exact: of each match, the share of the second picture's points that would be right.

    Raises
    ------
    EmbedStoreError
        If the pair cannot be measured in one of the units.
    """
    correct, expected = [], []
    for unit, thresholds in protocol.thresholds.items():
        if unit not in scene.spaces:
            raise EmbedStoreError(
                f"a pair has no {unit} to measure by; give --unit image, or import the pairs again "
                "with boxes"
            )
        space = scene.spaces[unit]
        limits = np.square(np.array(thresholds) / (pixel_scale if unit == "px" else 1.0))
        truth = space.truth[found.first]
        squares = np.square(space.places[found.second] - truth).sum(axis=1)
        correct += [int((squares < limit).sum()) for limit in limits]
        near = np.empty((len(truth), len(limits)), np.int64)
        count = partial(count_within, truth, np.ascontiguousarray(space.places.T), limits, near)
        over_rows(count, len(truth), grain=_GRAIN)
        expected += (near.sum(axis=0) / len(space.places)).tolist()
    return np.array(correct, np.int64), np.array(expected)


__all__ = ["EACH", "Judged", "Maps", "count_right", "judge", "measure", "scene_of", "stored_maps"]
