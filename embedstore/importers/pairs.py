"""Pairs of a data set's pictures, from a manifest or a copy of a data set of the field.

All is read and checked once before anything is written, and again to be written, so that a refused
manifest leaves no trace, and memory does not grow with the pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.geometry import depth_scene, plane_scene
from embedstore.correspondence.pairs import Pair, Truth, View
from embedstore.correspondence.points import Sight
from embedstore.correspondence.stored import pair_sets, save_pairs
from embedstore.errors import DatasetError
from embedstore.importers.given_pairs import GivenPair, GivenView, PairList
from embedstore.importers.pair_checks import Size, check_pair, within
from embedstore.importers.pair_grids import object_stride
from embedstore.importers.pair_pictures import Pictures
from embedstore.importers.report import Report
from embedstore.store import Store
from embedstore.transform import Cells, Transform

F64 = npt.NDArray[np.float64]
#: How numbers are meant; a record of each set.
CONVENTIONS = (
    "pixels of the whole picture, (0, 0) the centre of the upper left one; cameras look along +z, "
    "x right, y down; grids hold every stride-th pixel"
)
UNKNOWN = "without known depth or disparity"
APART = "without overlap"
ABSENT = "without common keypoints"
UNLISTED = "of pictures that the data set lacks"
#: All of every picture, whatever its size.
_WHOLE = Sight(Transform((1, 1), (1, 1), resize="squash"), (1, 1), Cells((1, 1), (0, 0)))


def import_pairs(
    store: Store,
    given: PairList,
    dataset: str,
    *,
    name: str | None = None,
    begin: Callable[[str], None] = lambda _stage: None,
    advance: Callable[[int], None] = lambda _n: None,
) -> Report:
    """Keep pairs of pictures and their truth beside a data set's samples.

    Parameters
    ----------
    store, given, dataset
        From where to where.
    name
        Of the set of pairs; the file's or the preset's where it is None.
    begin
        Called with the stage that begins, `checking` and then `writing`: each reads all pairs.
    advance
        Called with the count of pairs read since the last call.

    Raises
    ------
    DatasetError
        If an id is no sample's, numbers or files are wrong, or no pair is left; nothing is written.
    IdentityError
        If the store has other pairs of that name.
    """
    pictures, name = Pictures(store, dataset), name or given.name
    if not given.is_partial:
        pictures.refuse_unknown(_ids(given))
    begin("checking")
    excluded = Counter(given.left_out)
    n_pairs = 0
    for found in _built(given, pictures, advance):
        if isinstance(found, Pair):
            n_pairs += 1
        else:
            excluded[found] += 1
    if n_pairs == 0:
        raise DatasetError(
            f"{given.name} has no pair that can be used ({_counted(excluded) or 'it is empty'}); "
            "check its files and numbers, or name another data set"
        )
    begin("writing")
    already = name in pair_sets(store, dataset)
    facts = {**given.facts, "n_excluded": dict(excluded), "conventions": CONVENTIONS}
    pairs = (found for found in _built(given, pictures, advance) if isinstance(found, Pair))
    save_pairs(store, dataset, name, given.truth, pairs, n_pairs, facts)
    said = [f"left out: {_counted(excluded)}"] if excluded else []
    what = f"{n_pairs:,} pair{'' if n_pairs == 1 else 's'} named {name!r}, by {given.truth}"
    return Report(f"{dataset}: {what}", already, said)


def _ids(given: PairList) -> Iterator[tuple[str, str]]:
    for pair in given:
        yield pair.first.sample_id, pair.where
        yield pair.second.sample_id, pair.where


def _built(
    given: PairList, pictures: Pictures, advance: Callable[[int], None]
) -> Iterator[Pair | str]:
    """Yield the pairs, or for those that are excluded why."""
    for pair in given:
        yield _pair(pair, pictures, given.truth, given.stride)
        advance(1)


def _pair(given: GivenPair, pictures: Pictures, truth: Truth, stride: int | None) -> Pair | str:
    rows = pictures.find(given.first.sample_id), pictures.find(given.second.sample_id)
    if rows[0] is None or rows[1] is None:
        return UNLISTED
    sizes = (
        pictures.size(rows[0], given.first, given.where),
        pictures.size(rows[1], given.second, given.where),
    )
    check_pair(given, sizes)
    keypoints = given.keypoints
    if keypoints is not None:
        keypoints = within(keypoints[np.isfinite(keypoints).all(axis=1)], sizes)
    pair = Pair(
        _view(given.first, rows[0], sizes[0], stride),
        _view(given.second, rows[1], sizes[1], stride),
        pose=given.pose,
        homography=_facing(given.homography, sizes[0]),
        keypoints=keypoints,
        box=given.box,
        group=given.group,
    )
    return _why_excluded(pair, truth) or pair


def _view(given: GivenView, row: int, size: Size, stride: int | None) -> View:
    width, height = size
    if given.grid is None:
        return View(row, width, height, None, stride or 1, given.intrinsics)
    values = given.grid.read(size)
    step = object_stride(values) if stride is None else stride
    grid = np.ascontiguousarray(values[::step, ::step])
    return View(row, width, height, grid, step, given.intrinsics)


def _facing(homography: F64 | None, size: Size) -> F64 | None:
    """Return a homography, known up to its sign, by which the picture's middle is in front."""
    if homography is None:
        return None
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2, 1.0])
    return -homography if homography[2] @ middle < 0 else homography


def _why_excluded(pair: Pair, truth: Truth) -> str | None:
    if truth == "keypoints":
        return None if pair.keypoints is not None and len(pair.keypoints) else ABSENT
    grids = [view.grid for view in (pair.first, pair.second) if view.grid is not None]
    if not all(np.isfinite(grid).any() for grid in grids):
        return UNKNOWN
    of_depth = truth == "depth"
    scene = depth_scene(pair, _WHOLE) if of_depth else plane_scene(pair, truth, _WHOLE)
    return APART if scene is None else None


def _counted(excluded: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in excluded.items())
