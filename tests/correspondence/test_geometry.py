"""Which points are compared and where they lie: by formulas written out, point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from embedstore.correspondence.geometry import depth_scene, plane_scene, rotation_angle
from embedstore.correspondence.keypoints import keypoint_scene
from embedstore.correspondence.pairs import Pair, View
from embedstore.correspondence.points import Sight, seen_points
from embedstore.testing.patched import even_sight
from embedstore.transform import Cells, Transform

WHOLE = even_sight(Transform((64, 64), (64, 64), "squash"), (8, 8))


def test_the_map_of_a_cropped_picture(transform, centres):
    """Cells' centres, by the formula of the fixture."""
    sight, view = even_sight(transform, (28, 28)), View(0, 320, 240)
    cells = np.stack(np.meshgrid(np.arange(28.0), np.arange(28.0)), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(sight.to_picture(cells, view), centres, atol=1e-9)
    np.testing.assert_allclose(sight.to_map(centres, view), cells, atol=1e-9)


def test_points_that_the_crop_cuts_off_are_not_seen(transform):
    """Of 298 columns the model sees those from 37 on; 320 pixels make them."""
    sight, view = even_sight(transform, (7, 7)), View(0, 320, 240, stride=8)
    points, values = seen_points(view, "homography", sight)
    at_input = (np.arange(0, 320, 8) + 0.5) * 298 / 320 - 37
    kept = np.flatnonzero((at_input >= 0) & (at_input < 224)) * 8
    np.testing.assert_array_equal(np.unique(points[:, 0]), kept)
    np.testing.assert_array_equal(np.unique(points[:, 1]), np.arange(0, 240, 8))
    assert np.isnan(values).all()


def test_padding_is_not_seen():
    """A picture of 64 x 32 in the middle of 64 x 64."""
    sight = even_sight(Transform((64, 64), (64, 64), "longest"), (8, 8))
    view = View(0, 64, 32)
    np.testing.assert_allclose(sight.to_picture(np.array([[0, 2.0]]), view), [[3.5, 3.5]])
    beyond = np.array([[5, -0.6], [5, 31.6], [-0.6, 5], [63.6, 5], [5, 5], [np.nan, 5]])
    assert sight.sees(beyond, view).tolist() == [False] * 4 + [True, False]


def test_patches_that_leave_out_a_rest_of_the_input():
    """27 patches of 14 pixels on 384: a picture's last 6 pixels are in none (SigLIP SO400M)."""
    sight = Sight(Transform((384, 384), (384, 384)), (27, 27), Cells((14, 14), (6.5, 6.5)))
    view = View(0, 768, 768)  # two pixels a pixel of the input
    for cell in (0, 13, 26):
        pixels = np.arange(28 * cell, 28 * cell + 28)
        middle = np.array([[pixels.mean(), 28 * 5 + 13.5]])
        np.testing.assert_allclose(sight.to_map(middle, view), [[cell, 5]])
        np.testing.assert_allclose(sight.to_picture(np.array([[cell, 5.0]]), view), middle)
    along = np.stack([np.arange(768), np.full(768, 9)], axis=1).astype(float)
    np.testing.assert_array_equal(sight.sees(along, view), np.arange(768) < 27 * 28)


@pytest.mark.parametrize(
    ("first", "begin", "end"),
    [(0.0, 0, 208), (15.0, 0, 223), (15.5, 0, 224), (31.0, 15, 224)],
)
def test_cells_that_padding_moved(first, begin, end):
    """Seven of stride 32 on 224 pixels: ResNet's, CLIP's, ConvNeXt's, TensorFlow's (y, not x)."""
    transform = Transform((224, 224), (224, 224))
    sight, view = Sight(transform, (7, 7), Cells((32, 32), (first, 15.5))), View(0, 224, 224)
    np.testing.assert_allclose(sight.to_map(np.array([[15.5, first + 96]]), view), [[0, 3]])
    np.testing.assert_allclose(sight.to_picture(np.array([[1, 6.0]]), view), [[47.5, first + 192]])
    down = np.stack([np.full(224, 100), np.arange(224)], axis=1).astype(float)
    seen = np.flatnonzero(sight.sees(down, view))
    np.testing.assert_array_equal(seen, np.arange(begin, end))
    assert sight.sees(down[:, ::-1].copy(), view).all()


@pytest.mark.parametrize(("truth", "n_known"), [("depth", 3), ("disparity", 5)])
def test_only_points_whose_value_is_known(truth, n_known):
    grid = np.array([[1, np.nan, np.inf], [0, 2, -1], [-np.inf, np.nan, 3]], np.float32)
    points, values = seen_points(View(0, 9, 9, grid, 3), truth, WHOLE)
    expected = [(3 * j, 3 * i, grid[i, j]) for i in range(3) for j in range(3)]
    known = [e for e in expected if math.isfinite(e[2]) and (truth == "disparity" or e[2] > 0)]
    assert len(known) == n_known
    np.testing.assert_array_equal(np.column_stack([points, values]), known)


def test_disparity_moves_points_to_the_left_and_those_that_leave_are_left_out():
    grid = np.array([[3, 5, 2], [0, np.nan, 12]], np.float32)
    pair = Pair(View(0, 12, 8, grid, 4), View(1, 12, 8, None, 4))
    scene = plane_scene(pair, "disparity", WHOLE)
    assert scene.first.tolist() == [[8, 0], [0, 4]]  # 0 - 3, 4 - 5 and 8 - 12 are outside
    assert scene.spaces["px"].truth.tolist() == [[6, 0], [0, 4]]
    assert len(scene.second) == 6


def test_homographies_divide_and_what_is_behind_the_horizon_is_left_out():
    homography = np.array([[1.1, 0.1, 2], [0, 0.9, 1], [-0.04, 0, 1.0]])
    pair = Pair(View(0, 60, 30, None, 5), View(1, 80, 40, None, 5), homography=homography)
    scene = plane_scene(pair, "homography", WHOLE)
    found = {tuple(p): t for p, t in zip(scene.first, scene.spaces["px"].truth, strict=True)}
    for y in range(0, 30, 5):
        for x in range(0, 60, 5):
            w = 1 - 0.04 * x
            at = ((1.1 * x + 0.1 * y + 2) / w, (0.9 * y + 1) / w) if w > 0 else (-9, -9)
            seen = -0.5 <= at[0] < 79.5 and -0.5 <= at[1] < 39.5
            assert ((x, y) in found) == seen
            if seen:
                np.testing.assert_allclose(found[x, y], at)
    assert plane_scene(pair, "homography", WHOLE) is not None
    away = Pair(pair.first, pair.second, homography=np.array([[1, 0, 500], [0, 1, 0], [0, 0, 1.0]]))
    assert plane_scene(away, "homography", WHOLE) is None


def test_depth_and_pose_point_by_point():
    random = np.random.default_rng(0)
    rotation = Rotation.from_euler("xyz", [5, -10, 3], degrees=True).as_matrix()
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, [0.1, -0.05, 0.2]
    cameras = [
        np.array([[50, 0, 19.5], [0, 55, 14.5], [0, 0, 1]]) + np.diag([k, 0, 0]) for k in (0, 1)
    ]
    grids = [random.uniform(1, 2, (4, 5)).astype(np.float32) for _ in range(2)]
    views = [View(i, 40, 30, grids[i], 8, cameras[i]) for i in range(2)]
    scene = depth_scene(Pair(*views, pose=pose), WHOLE)
    assert len(scene.first) == len(scene.second) == 20
    for n, (i, j) in enumerate((i, j) for i in range(4) for j in range(5)):
        places = []
        for grid, camera in zip(grids, cameras, strict=True):
            z = float(grid[i, j])
            rays = np.linalg.solve(camera, [8 * j, 8 * i, 1])
            places.append(rays / rays[2] * z)
        moved = rotation @ places[0] + pose[:3, 3]
        pixel = cameras[1] @ moved / moved[2]
        np.testing.assert_allclose(scene.spaces["m"].truth[n], moved)
        np.testing.assert_allclose(scene.spaces["m"].places[n], places[1])
        np.testing.assert_allclose(scene.spaces["px"].truth[n], pixel[:2])
    np.testing.assert_array_equal(scene.spaces["px"].places, scene.second)


def test_views_that_do_not_overlap_and_points_behind_the_camera():
    camera = np.array([[50, 0, 19.5], [0, 50, 14.5], [0, 0, 1.0]])
    view = View(0, 40, 30, np.full((4, 5), 2, np.float32), 8, camera)
    around, aside = np.eye(4), np.eye(4)
    around[:3, :3] = Rotation.from_euler("y", 180, degrees=True).as_matrix()
    aside[0, 3] = 5
    assert depth_scene(Pair(view, view, pose=around), WHOLE) is None
    assert depth_scene(Pair(view, view, pose=aside), WHOLE) is None
    # half of them behind: no place in pixels, and one in metres
    half = np.eye(4)
    half[2, 3] = -2
    grid = np.where(np.arange(5) < 2, 1, 3).astype(np.float32) * np.ones((4, 1), np.float32)
    deep = View(0, 40, 30, grid, 8, camera)
    scene = depth_scene(Pair(deep, deep, pose=half), WHOLE)
    behind = scene.first[:, 0] < 16
    assert np.isnan(scene.spaces["px"].truth[behind]).all()
    assert np.isfinite(scene.spaces["px"].truth[~behind]).all()
    assert np.isfinite(scene.spaces["m"].truth).all()


@pytest.mark.parametrize("degrees", [0, 1e-6, 29.999, 60, 90, 150, 179.999, 180])
def test_rotation_angles(degrees):
    axis = np.array([1, -2, 0.5])
    pose = np.eye(4)
    turned = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    pose[:3, :3] = turned.as_matrix()
    pose[:3, 3] = 7
    assert rotation_angle(pose) == pytest.approx(degrees, abs=1e-9)


def test_keypoints_that_are_absent_or_cut_off_are_counted(transform):
    """Of 320 columns the model sees those from 40 to 280."""
    keypoints = np.array(
        [[100, 50, 120, 60], [np.nan, np.nan, 1, 1], [20, 50, 120, 60], [100, 50, 300, 60],
         [150, 239, 45, 0]]
    )  # fmt: skip
    box = np.array([100, 20, 180, 70.0])
    pair = Pair(View(0, 320, 240), View(1, 320, 240), keypoints=keypoints, box=box)
    scene = keypoint_scene(pair, even_sight(transform, (7, 7)))
    assert scene.first.tolist() == [[100, 50], [150, 239]]
    assert scene.n_unseen == 3
    assert len(scene.second) == 49
    np.testing.assert_allclose(scene.spaces["box"].truth * 80, [[120, 60], [45, 0]])
    np.testing.assert_allclose(scene.spaces["image"].truth * 320, [[120, 60], [45, 0]])
    np.testing.assert_allclose(scene.spaces["box"].places * 80, scene.second)
