"""Truths that are known by construction: what must be found is found, exactly where it is exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from embedstore.correspondence.limits import Limit, Protocol, protocol_of
from embedstore.correspondence.matching import Rules
from embedstore.correspondence.measuring import measure
from embedstore.correspondence.pairs import Pair, View
from embedstore.correspondence.points import Sight
from embedstore.correspondence.summary import summarize
from embedstore.testing.patched import even_sight
from embedstore.transform import Cells, Transform

RULES = Rules(ratio_test=True, mutual=False, keep=1_000)
ALL = [RULES, replace(RULES, mutual=True), replace(RULES, keep=0)]
TINY = Protocol(tuple(Limit("px", t) for t in (1e-9, 1, 50)))
SQUARE = Transform((224, 224), (224, 224))


def recalls(pairs, truth, maps, sight, protocol, rules=RULES):
    judged = list(measure([pairs], truth, maps.__getitem__, sight, protocol, rules))
    rows = summarize(judged, truth, protocol, n_left_out=0, seed=0)
    return {(row["unit"], row["threshold"], row["bin"]): row for row in rows}


@pytest.fixture(scope="module")
def photograph(shared_data: Path):
    """288 x 288 of a real one."""
    image = pytest.importorskip("PIL.Image")
    path = sorted((shared_data / "imagenet-sample").rglob("*.JPEG"))[3]
    picture = image.open(path).convert("RGB").resize((288, 288))
    return np.asarray(picture, np.float32) / 255


def cut_into_patches(picture, side=16):
    """A model whose patches do not mix: each patch's pixels, projected."""
    h, w = (n // side for n in picture.shape[:2])
    cells = picture.reshape(h, side, w, side, 3).swapaxes(1, 2).reshape(h, w, -1)
    weights = np.random.default_rng(0).normal(size=(cells.shape[-1], 64))
    return ((cells - 0.5) @ weights / 20).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize(
    ("sampling", "rules"),
    [*(("bilinear", rules) for rules in ALL), *(("bicubic", rules) for rules in ALL[:2])],
)
def test_a_picture_with_itself_is_found_at_every_threshold(photograph, sampling, rules):
    maps = [cut_into_patches(photograph[:224, :224])]
    view = View(0, 224, 224, None, 4)
    pair, protocol = Pair(view, view, homography=np.eye(3)), replace(TINY, sampling=sampling)
    found = recalls([pair], "homography", maps, even_sight(SQUARE, (14, 14)), protocol, rules)
    for row in found.values():
        assert row["recall"] == 1
        assert row["n_matches"] >= 1_000
    assert found["px", 1e-9, None]["chance"] == pytest.approx(1 / 56**2)


@pytest.mark.parametrize(("right", "down"), [(2, 0), (0, -3), (-1, 2)])
def test_shifts_by_whole_patches_are_found_exactly(photograph, right, down):
    """Two crops of one photograph; the second sees what lies further right and down."""
    top, left = 64 if down < 0 else 0, 64 if right < 0 else 0
    second = (top + 16 * down, left + 16 * right)
    maps = [
        cut_into_patches(photograph[y : y + 224, x : x + 224]) for y, x in ((top, left), second)
    ]
    views = [View(i, 224, 224, None, 4) for i in range(2)]
    homography = np.array([[1, 0, -16.0 * right], [0, 1, -16.0 * down], [0, 0, 1]])
    sight = even_sight(SQUARE, (14, 14))
    pair = Pair(*views, homography=homography)
    for rules in ALL[:2]:
        for row in recalls([pair], "homography", maps, sight, TINY, rules).values():
            assert row["recall"] == 1
            assert row["n_matches"] == 1_000
    if down == 0:
        grid = np.full((56, 56), 16.0 * right, np.float32)
        as_stereo = Pair(View(0, 224, 224, grid, 4), views[1])
        assert recalls([as_stereo], "disparity", maps, sight, TINY)["px", 1e-9, None]["recall"] == 1


def about_the_middle(matrix):
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = [-159.5, -119.5], [159.5, 119.5]
    return back @ matrix @ to


def turned(degrees, scale=1.0):
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return about_the_middle(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))


HOMOGRAPHIES = {
    "rotation": turned(35),
    "scale": turned(0, 1.4),
    "perspective": about_the_middle(np.array([[1, 0.1, 9], [0, 1.1, -5], [1e-3, -8e-4, 1]])),
}


def mapped(points, homography):
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


@pytest.mark.parametrize("name", HOMOGRAPHIES)
def test_homographies_of_a_planted_picture(name, planted, transform, centres):
    """Cells of the second show what lies at the inverse; the other way around is chance."""
    homography = HOMOGRAPHIES[name]
    shown = mapped(centres, np.linalg.inv(homography))
    maps = [planted(centres, 40), planted(shown, 40)]
    views = [View(i, 320, 240, None, 4) for i in range(2)]
    sight, protocol = even_sight(transform, (28, 28)), protocol_of("homography", None)
    found = recalls([Pair(*views, homography=homography)], "homography", maps, sight, protocol)
    assert found["px", 5, None]["recall"] > 0.97
    assert found["px", 25, None]["recall"] > 0.99
    wrong = Pair(*views, homography=np.linalg.inv(homography))
    assert recalls([wrong], "homography", maps, sight, protocol)["px", 5, None]["recall"] < 0.3


@pytest.mark.parametrize("name", ["half turn", "mirrored", "perspective"])
@pytest.mark.parametrize("first", [0, 3, 7])
def test_cells_that_padding_moved_are_found_where_they_are(name, first, planted):
    """As ResNet's, CLIP's and TensorFlow's at stride 8; turned around, an error counts twice.

    Beyond the outermost centres points have their cell's feature, up to 4 pixels away.
    """
    about = {
        "half turn": np.diag([-1.0, -1, 1]),
        "mirrored": np.diag([-1.0, 1, 1]),
        "perspective": np.array([[1, 0.1, 9], [0, 1.1, -5], [1e-3, -8e-4, 1]]),
    }[name]
    middle = np.array([[1, 0, 111.5], [0, 1, 111.5], [0, 0, 1]])
    homography = middle @ about @ np.linalg.inv(middle)
    along = first + 8 * np.arange(28.0)
    centres = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
    maps = [planted(centres, 40), planted(mapped(centres, np.linalg.inv(homography)), 40)]
    views = [View(i, 224, 224, None, 4) for i in range(2)]
    sight = Sight(SQUARE, (28, 28), Cells((8, 8), (first, first)))
    protocol = protocol_of("homography", None, thresholds=[5, 25])
    pair = Pair(*views, homography=homography)
    found = recalls([pair], "homography", maps, sight, protocol)
    assert found["px", 5, None]["recall"] > 0.97
    assert found["px", 25, None]["recall"] > 0.99


CAMERA = np.array([[300, 0, 159.5], [0, 300, 119.5], [0, 0, 1.0]])
PLANE, DISTANCE = np.array([0.2, -0.1, -1.0]), -1.0  # points X with PLANE . X = DISTANCE


def on_the_plane(pixels, pose):
    """Depth of pixels of a camera at `pose`, and the points in the first camera's coordinates."""
    normal = pose[:3, :3] @ PLANE
    distance = DISTANCE + normal @ pose[:3, 3]
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(CAMERA).T
    depth = distance / (rays @ normal)
    return depth, (rays * depth[:, None] - pose[:3, 3]) @ pose[:3, :3]


def turned_camera(degrees):
    """Turned about a point of the plane, a metre ahead."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("yx", [degrees, 4], degrees=True).as_matrix()
    pivot = np.array([0, 0, 1.0])
    pose[:3, 3] = pivot - pose[:3, :3] @ pivot
    return pose


def seen_from(pose, row, hidden=0):
    """A view with its depth, every fourth pixel; the first `hidden` rows of it are not known."""
    pixels = np.stack(np.meshgrid(np.arange(0, 320, 4.0), np.arange(0, 240, 4.0)), axis=-1)
    depth = on_the_plane(pixels.reshape(-1, 2), pose)[0].reshape(60, 80).astype(np.float32)
    depth[:hidden] = np.nan
    return View(row, 320, 240, depth, 4, CAMERA)


def test_a_plane_that_two_cameras_see(planted, transform, centres):
    """Thresholds in metres and pixels, bins of rotation; a pose the other way around is chance."""
    poses = [np.eye(4), turned_camera(20), turned_camera(40)]
    maps = [planted(on_the_plane(centres, pose)[1], 0.12) for pose in poses]
    views = [seen_from(pose, row, hidden=5) for row, pose in enumerate(poses)]
    pairs = [Pair(views[0], views[k], pose=poses[k]) for k in (1, 2)]
    pairs.append(Pair(views[2], views[0], pose=np.linalg.inv(poses[2])))
    sight, protocol = even_sight(transform, (28, 28)), protocol_of("depth", None)
    found = recalls(pairs, "depth", maps, sight, protocol)
    for unit, threshold in (("m", 0.02), ("m", 0.05), ("px", 5), ("px", 25)):
        assert found[unit, threshold, None]["recall"] > 0.95
    assert {bin_: found["m", 0.02, bin_]["n_pairs"] for bin_ in ("0-30", "30-60", "60-90")} == {
        "0-30": 1, "30-60": 2, "60-90": 0,
    }  # fmt: skip
    assert np.isnan(found["m", 0.02, "90-120"]["recall"])
    sums = [found["m", 0.01, b]["n_correct"] for b in ("0-30", "30-60")]
    assert sum(sums) == found["m", 0.01, None]["n_correct"]
    wrong = [replace(pair, pose=np.linalg.inv(pair.pose)) for pair in pairs]
    assert recalls(wrong, "depth", maps, sight, protocol)["m", 0.02, None]["recall"] < 0.2


def test_pixels_of_navi_and_scannet_are_of_their_own_scales(planted, transform, centres):
    """A shift of 20 pixels: 5 at a quarter of the scale; 512 across an object of 160 pixels: 64."""
    maps = [planted(centres, 40)] * 2
    grid = np.full((60, 80), np.nan, np.float32)
    grid[10:50, 20:60] = 1  # 160 pixels square
    view = View(0, 320, 240, grid, 4, CAMERA)
    pose = np.eye(4)
    pose[0, 3] = 20 / 300
    pair, sight = Pair(view, view, pose=pose), even_sight(transform, (28, 28))
    for preset, error in (("scannet-pairs", 5), ("navi", 64), (None, 20)):
        limits = (error - 1e-3, error + 1e-3)
        protocol = protocol_of("depth", preset, unit="px", thresholds=limits)
        protocol = replace(protocol, bins=())
        found = recalls([pair], "depth", maps, sight, protocol)
        assert [row["recall"] for row in found.values()] == [0, 1]


def test_chance_is_what_shuffling_gives(photograph):
    """Targets drawn among the second picture's points, 400 times."""
    maps = [cut_into_patches(photograph[y : y + 224, :224]) for y in (0, 40)]
    views = [View(i, 224, 224, None, 4) for i in range(2)]
    homography = np.array([[1, 0, 0], [0, 1, -40.0], [0, 0, 1]])
    pair, sight = Pair(*views, homography=homography), even_sight(SQUARE, (14, 14))
    (row,) = recalls([pair], "homography", maps, sight, Protocol((Limit("px", 25.0),))).values()
    from embedstore.correspondence.geometry import plane_scene
    from embedstore.correspondence.matching import match
    from embedstore.correspondence.sampling import unit_features

    scene = plane_scene(pair, "homography", sight)
    features = [
        unit_features(m, sight.to_map(p, v), "bilinear")
        for m, p, v in zip(maps, (scene.first, scene.second), views, strict=True)
    ]
    kept = match(*features, RULES).first
    random, truth = np.random.default_rng(0), scene.spaces["px"].truth[kept]
    drawn = [
        (np.linalg.norm(random.choice(scene.second, len(kept)) - truth, axis=1) < 25).mean()
        for _ in range(400)
    ]
    assert row["chance"] == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 20)
    assert row["recall"] > 5 * row["chance"]
