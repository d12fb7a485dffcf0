"""Pairs of the field, from miniature copies in the layouts of NAVI, ScanNet's pairs, SPair-71k."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from embedstore import Store
from embedstore.correspondence.stored import load_pairs
from embedstore.datasets.presets.upright import ORIENTATION
from embedstore.datasets.sources import describe, open_source
from embedstore.errors import DatasetError
from embedstore.importers.pair_sources import open_pairs
from embedstore.importers.pairs import import_pairs
from embedstore.store.datasets import save_dataset
from embedstore.testing.views import Plane, planes

SIZE = (96, 72)
#: From the object's coordinates to the first camera's, in metres: a turn and a step.
OBJECT = np.eye(4)
OBJECT[:3, :3] = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
OBJECT[:3, 3] = [0.1, -0.2, 0.3]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def register(store: Store, spec: str) -> None:
    source = open_source(spec)
    save_dataset(store.files, *describe("data", source, source.listing()))


def added(store: Store, spec: str, **options):
    report = import_pairs(store, open_pairs(spec, **options), "data")
    found = load_pairs(store, "data", spec.partition(":")[0])
    return report, found, [pair for block in found.blocks() for pair in block]


def rendered(folder: Path) -> tuple[dict, list[np.ndarray], list[Path]]:
    """Two views of near planes: the manifest's row, depths in metres, pictures."""
    near = [Plane(np.array([-0.28, 0.0, 0.96]), 0.4), Plane(np.array([0.0, 0.8, 0.6]), 0.28)]
    views = planes(
        folder, surfaces=near, size=SIZE, focal=90.0, moved=((0, -0.2, 0.1), (-0.07, 0, 0))
    )
    row = json.loads(views.pairs.read_text())
    names = ("first", "second")
    depths = [np.load(folder / f"{name}.npy") for name in names]
    return row, depths, [folder / "pictures" / f"{name}.png" for name in names]


def navi_scene(
    folder: Path, cameras: list[np.ndarray], pictures: list[Path], depths: list[np.ndarray]
) -> None:
    """Write a scene as NAVI does: quaternions w, x, y, z; millimetres; depth as its inverse."""
    for part in ("images", "depth"):
        (folder / part).mkdir(parents=True)
    said = []
    for i, (camera, picture, depth) in enumerate(zip(cameras, pictures, depths, strict=True)):
        Image.open(picture).save(folder / "images" / f"{i:03d}.jpg")
        inverse = np.where(depth > 0, 655350 / (1000 * np.where(depth > 0, depth, 1)), 0)
        Image.fromarray(inverse.round().astype(np.uint16)).save(folder / "depth" / f"{i:03d}.png")
        x, y, z, w = Rotation.from_matrix(camera[:3, :3]).as_quat()
        where = {"q": [2 * w, 2 * x, 2 * y, 2 * z], "t": (camera[:3, 3] * 1000).tolist()}
        said.append(
            {
                "filename": f"{i:03d}.jpg",
                "image_size": [depth.shape[0], depth.shape[1]],
                "camera": where | {"focal_length": 90.0, "camera_model": "pixel_5"},
                "split": "val",
                "occluded": False,
            }
        )
    (folder / "annotations.json").write_text(json.dumps(said))


@pytest.fixture
def navi(tmp_path) -> Path:
    """One object seen by two cameras in the wild, the same in two other scenes."""
    row, depths, pictures = rendered(tmp_path / "v")
    cameras = [OBJECT, np.array(row["pose"]) @ OBJECT]
    # what is beyond the object has no depth
    depths = [np.where((depth < 0.42), depth, 0) for depth in depths]
    for scene in ("wild_set", "multiview-00-pixel_5", "multiview-01-pixel_5"):
        navi_scene(tmp_path / "navi_v1" / "sink" / scene, cameras, pictures, depths)
    shutil.copytree(tmp_path / "navi_v1/sink/wild_set", tmp_path / "navi_v1/alone/wild_set")
    return tmp_path / "navi_v1"


def test_navis_pairs_have_its_cameras_and_depth(store, navi, tmp_path):
    register(store, f"navi:{navi}")
    report, found, (pair,) = added(store, f"navi:{navi}", stride=2)
    ids = store.samples("data")["sample_id"].to_list()
    assert ids[pair.first.sample_index] == "sink/wild_set/images/000"
    assert ids[pair.second.sample_index] == "sink/wild_set/images/001"
    assert report.what == "data: 1 pair named 'navi', by depth"
    assert (found.facts["preset"], found.facts["options"]) == ("navi", {"scenes": "wild"})
    row, depths, _ = rendered(tmp_path / "again")
    np.testing.assert_allclose(pair.pose, row["pose"], atol=1e-12)
    for view, depth in ((pair.first, depths[0]), (pair.second, depths[1])):
        np.testing.assert_array_equal(view.intrinsics, row["intrinsics_first"])
        known = np.isfinite(view.grid)
        assert 0.1 < known.mean() < 0.99
        np.testing.assert_array_equal(known, depth[::2, ::2] < 0.42)
        # 16 bits of 1 / depth: half a step of it
        step = 1000 * depth[::2, ::2][known] ** 2 / 655350
        assert (np.abs(view.grid[known] - depth[::2, ::2][known]) <= 0.51 * step).all()


def test_navis_stride_puts_128_points_across_the_object(store, navi):
    register(store, f"navi:{navi}")
    _, found, (pair,) = added(store, f"navi:{navi}")
    assert (pair.first.stride, pair.first.grid.shape) == (1, SIZE[::-1])  # 96 pixels at most
    assert found.facts["stride"] is None
    folder = navi / "sink" / "wild_set"
    wide = np.zeros((300, 400), np.uint16)
    wide[10:20, 3:387] = 2000
    for i in range(2):
        Image.new("RGB", (400, 300)).save(folder / "images" / f"{i:03d}.jpg")
        Image.fromarray(wide).save(folder / "depth" / f"{i:03d}.png")
    text = (folder / "annotations.json").read_text().replace("[72, 96]", "[300, 400]")
    (folder / "annotations.json").write_text(text)
    import_pairs(store, open_pairs(f"navi:{navi}"), "data", name="wide")
    ((pair,),) = load_pairs(store, "data", "wide").blocks()
    assert pair.first.stride == 3  # 384 over 128
    assert np.isfinite(pair.first.grid).sum() == 128 * 3


def test_another_folder_is_no_copy_of_navi(tmp_path):
    (tmp_path / "photos" / "pets").mkdir(parents=True)
    with pytest.raises(
        DatasetError, match="photos is no copy of NAVI .*; see: embedstore data show navi$"
    ):
        open_pairs(f"navi:{tmp_path / 'photos'}")


def test_navis_turned_pictures_are_read_as_its_cameras_see_them(store, navi):
    """EXIF says how; depth and cameras are of the upright picture."""
    path = navi / "sink/wild_set/images/000.jpg"
    upright = np.asarray(Image.open(path))
    turned = Image.fromarray(np.rot90(upright))  # shown upright by a quarter clockwise
    exif = turned.getexif()
    exif[ORIENTATION] = 6
    turned.save(path, exif=exif, quality=100, subsampling=0)
    with Image.open(path) as picture:
        assert picture.size == SIZE[::-1]
    register(store, f"navi:{navi}")
    _, _, (pair,) = added(store, f"navi:{navi}")
    assert (pair.first.width, pair.first.height) == SIZE


def turned(degrees: float) -> np.ndarray:
    camera = np.eye(4)
    camera[:3, :3] = Rotation.from_rotvec([0, np.radians(degrees), 0]).as_matrix()
    return camera


def test_navis_pairs_follow_probe3ds_rule(tmp_path, navi):
    """A partner of the same scene, less than 120 degrees away, not itself; every fourth is kept."""
    angles = [0.0, 40.0, 100.0, 170.0, 290.0, 0.0, 60.0, 119.0, 185.0]
    scene = tmp_path / "all" / "lamp" / "wild_set"
    flat = [np.ones(SIZE[::-1])] * len(angles)
    pictures = [navi / "sink/wild_set/images/000.jpg"] * len(angles)
    navi_scene(scene, [turned(a) for a in angles], pictures, flat)
    shutil.copytree(scene, scene.parent / "multiview_00_pixel_5")
    pairs = open_pairs(f"navi:{tmp_path / 'all'}")
    drawn = [(p.first.sample_id[-3:], p.second.sample_id[-3:]) for p in pairs]
    assert [first for first, _ in drawn] == ["000", "004", "008"]
    for first, second in ((int(a), int(b)) for a, b in drawn):
        apart = abs((angles[first] - angles[second] + 180) % 360 - 180)
        assert 0 < apart < 120
    assert drawn == [
        (p.first.sample_id[-3:], p.second.sample_id[-3:])
        for p in open_pairs(f"navi:{tmp_path / 'all'}")
    ]


def test_every_partner_of_navis_is_drawn_about_as_often(tmp_path, navi):
    """48 cameras, of which two are near each: both are chosen."""
    cameras = [turned(a) for a in (0.0, 50.0, 300.0, 180.0)]
    chosen = set()
    for i in range(12):
        scene = tmp_path / "all" / f"lamp{i}" / "wild_set"
        flat, picture = np.ones(SIZE[::-1]), navi / "sink/wild_set/images/000.jpg"
        navi_scene(scene, cameras, [picture] * 4, [flat] * 4)
        (scene.parent / "multiview_00").mkdir()
    for pair in open_pairs(f"navi:{tmp_path / 'all'}"):
        assert pair.first.sample_id.endswith("000")
        chosen.add(pair.second.sample_id[-3:])
    assert chosen == {"001", "002"}


def test_navis_pictures_without_a_partner_are_counted(store, tmp_path, navi):
    scene = tmp_path / "navi_v1" / "lamp" / "wild_set"
    picture = navi / "sink/wild_set/images/000.jpg"
    navi_scene(scene, [turned(0), turned(180)], [picture] * 2, [np.ones(SIZE[::-1])] * 2)
    (scene.parent / "multiview_00").mkdir()
    pairs = open_pairs(f"navi:{navi}")
    assert (len(pairs), pairs.left_out) == (0, {"without a partner within 120 degrees": 1})


def test_navis_multiview_scenes_are_the_last_tenth_and_one_at_least(navi):
    pairs = list(open_pairs(f"navi:{navi}?scenes=multiview"))
    assert [p.first.sample_id for p in pairs] == ["sink/multiview-01-pixel_5/images/000"]


@pytest.fixture
def scannet(tmp_path) -> Path:
    """Two scenes; the pairs and cameras of SuperGlue's list, poses from camera to world."""
    root = tmp_path / "scannet_test_1500"
    row, depths, pictures = rendered(tmp_path / "v")
    for scene in ("scene0707_00", "scene0708_01"):
        for part in ("color", "depth", "pose"):
            (root / scene / part).mkdir(parents=True)
        poses = [OBJECT, OBJECT @ np.linalg.inv(row["pose"])]
        for frame, pose, depth, picture in zip((15, 585), poses, depths, pictures, strict=True):
            Image.open(picture).save(root / scene / "color" / f"{frame}.jpg")
            millimetres = (depth * 1000).round().astype(np.uint16)
            Image.fromarray(millimetres).save(root / scene / "depth" / f"{frame}.png")
            np.savetxt(root / scene / "pose" / f"{frame}.txt", pose, fmt="%.6f")
    np.savez(root / "test.npz", name=np.array([[707, 0, 15, 585], [708, 1, 585, 15]]))
    cameras = {s: np.array(row["intrinsics_first"]) for s in ("scene0707_00", "scene0708_01")}
    np.savez(root / "intrinsics.npz", **cameras)
    return root


def test_scannets_pairs_have_the_pose_from_the_first_to_the_second(store, scannet, tmp_path):
    register(store, f"scannet-pairs:{scannet.parent}")
    report, _, (pair, back) = added(store, f"scannet-pairs:{scannet.parent}")
    assert report.notices == []
    ids = store.samples("data")["sample_id"].to_list()
    assert ids[pair.first.sample_index] == "scene0707_00/color/15"
    assert ids[back.first.sample_index] == "scene0708_01/color/585"
    row, depths, _ = rendered(tmp_path / "again")
    np.testing.assert_allclose(pair.pose, row["pose"], atol=3e-6)
    np.testing.assert_allclose(pair.pose @ back.pose, np.eye(4), atol=1e-9)
    np.testing.assert_array_equal(pair.first.intrinsics, row["intrinsics_first"])
    np.testing.assert_allclose(pair.second.grid, depths[1][::4, ::4], atol=0.000501)


def test_scannets_depth_and_camera_are_brought_to_larger_pictures(store, scannet, tmp_path):
    """By ratios of 2 and 1.5: planes stay planes, points where they are seen."""
    for path in scannet.glob("*/color/*.jpg"):
        with Image.open(path) as picture:
            picture.resize((192, 108)).save(path)
    register(store, f"scannet-pairs:{scannet}")
    _, _, (pair, _) = added(store, f"scannet-pairs:{scannet}", stride=1)
    row, depths, _ = rendered(tmp_path / "again")
    view = pair.first
    assert (view.width, view.height) == (192, 108)
    assert view.grid.shape == (108, 192)
    for y, x in ((0, 0), (50, 101), (107, 191)):
        expected = depths[0][int((y + 0.5) / 1.5), int((x + 0.5) / 2)]
        assert view.grid[y, x] == pytest.approx(expected, abs=0.000501)
    np.testing.assert_array_equal(view.grid[:, 0::2], view.grid[:, 1::2])
    small = np.array(row["intrinsics_first"])
    np.testing.assert_allclose(np.diag(view.intrinsics), np.diag(small) * [2, 1.5, 1])
    seen = small @ [0.03, -0.02, 0.4]
    again = view.intrinsics @ [0.03, -0.02, 0.4]
    np.testing.assert_allclose(
        again[:2] / again[2], (seen[:2] / seen[2] + 0.5) * [2, 1.5] - 0.5, rtol=1e-12
    )


def test_a_lost_pose_of_scannet_is_named(store, scannet):
    register(store, f"scannet-pairs:{scannet}")
    lost = np.full((4, 4), -np.inf)
    np.savetxt(scannet / "scene0708_01/pose/15.txt", lost)
    with pytest.raises(DatasetError, match="scene0708_01, frames 585 and 15 is no rigid .* NaN or"):
        added(store, f"scannet-pairs:{scannet}")


def test_what_a_partial_copy_of_scannet_lacks_is_left_out_if_so_asked(store, scannet):
    shutil.rmtree(scannet / "scene0708_01")
    register(store, f"scannet-pairs:{scannet}?partial=1")
    with pytest.raises(DatasetError, match=r"cannot read .*scene0708_01/pose/585\.txt"):
        added(store, f"scannet-pairs:{scannet}")
    report, found, _ = added(store, f"scannet-pairs:{scannet}?partial=1")
    assert found.n_pairs == 1
    assert report.notices == ["left out: 1 of files that the copy lacks"]


@pytest.mark.parametrize(
    ("break_", "problem"),
    [
        (lambda root: (root / "test.npz").unlink(), r"cannot read .*test\.npz"),
        (
            lambda root: np.savez(root / "test.npz", name=np.ones((2, 3))),
            r"test\.npz does not hold scene, scan and two frames",
        ),
        (
            lambda root: np.savez(root / "intrinsics.npz", scene0707_00=np.eye(3)),
            r"intrinsics\.npz does not hold a 3 x 3 matrix of scene scene0708_01",
        ),
        (
            lambda root: (root / "scene0707_00/pose/15.txt").write_text("1 2"),
            r"15\.txt does not hold the 16 numbers of a pose",
        ),
    ],
)
def test_a_broken_copy_of_scannet_is_one_line(store, scannet, break_, problem):
    register(store, f"scannet-pairs:{scannet}")
    break_(scannet)
    with pytest.raises(DatasetError, match=problem) as error:
        added(store, f"scannet-pairs:{scannet}")
    assert "\n" not in str(error.value)


@pytest.fixture
def spair(tmp_path) -> Path:
    """Two classes of two pictures, a pair each for testing, and one for training."""
    root = tmp_path / "SPair-71k"
    for split in ("trn", "val", "test"):
        (root / "PairAnnotation" / split).mkdir(parents=True)
    (root / "Layout" / "large").mkdir(parents=True)
    for kind in ("aeroplane", "tvmonitor"):
        for part in ("JPEGImages", "ImageAnnotation"):
            (root / part / kind).mkdir(parents=True)
        for name, size in (("2007_000033", (50, 33)), ("2008_1", (40, 60))):
            Image.new("RGB", size).save(root / "JPEGImages" / kind / f"{name}.jpg")
            said = json.dumps({"bndbox": [1, 2, 30, 31]})
            (root / "ImageAnnotation" / kind / f"{name}.json").write_text(said)
    for number, (split, kind) in enumerate(
        [("test", "tvmonitor"), ("test", "aeroplane"), ("trn", "aeroplane")], start=1
    ):
        said = {
            "src_imname": "2007_000033.jpg",
            "trg_imname": "2008_1.jpg",
            "src_imsize": [50, 33, 3],
            "trg_imsize": [40, 60, 3],
            "src_bndbox": [1, 2, 30, 31],
            "trg_bndbox": [4, 5, 40, 50],
            "category": kind,
            "src_kps": [[10, 11], [12, 13], [-1, -1]],
            "trg_kps": [[20, 21], [22, 23], [1, 1]],
            "kps_ids": ["0", "7", "8"],
        }
        name = f"{number:06d}-2007_000033-2008_1:{kind}.json"
        (root / "PairAnnotation" / split / name).write_text(json.dumps(said))
    return root


def test_spairs_pairs_have_keypoints_the_targets_box_and_class(store, spair):
    register(store, f"spair-71k:{spair}?partial=1")
    _, found, (first, second) = added(store, f"spair-71k:{spair}")
    assert (found.truth, found.facts["options"]) == ("keypoints", {"split": "test"})
    ids = store.samples("data")["sample_id"].to_list()
    assert ids[first.first.sample_index] == "tvmonitor/2007_000033"
    assert ids[second.second.sample_index] == "aeroplane/2008_1"
    assert (first.group, second.group) == ("tvmonitor", "aeroplane")
    np.testing.assert_array_equal(first.keypoints, [[10, 11, 20, 21], [12, 13, 22, 23]])
    np.testing.assert_array_equal(first.box, [4, 5, 40, 50])
    assert (first.first.width, first.second.height) == (50, 60)
    (pair,) = open_pairs(f"spair-71k:{spair}?split=trn")
    assert pair.where == "000003-2007_000033-2008_1:aeroplane.json"


def test_spairs_sizes_are_known_without_its_pictures(store, spair):
    register(store, f"spair-71k:{spair}?partial=1")
    shutil.rmtree(spair / "JPEGImages" / "aeroplane")
    _, _, (_, pair) = added(store, f"spair-71k:{spair}")
    assert (pair.second.width, pair.second.height) == (40, 60)


def test_pairs_of_pictures_that_a_partial_data_set_lacks_are_left_out_if_so_asked(store, spair):
    shutil.move(spair / "JPEGImages" / "aeroplane", spair / "elsewhere")
    register(store, f"spair-71k:{spair}?partial=1")
    with pytest.raises(
        DatasetError, match="'aeroplane/2007_000033', .* are no samples of data set"
    ):
        added(store, f"spair-71k:{spair}")
    report, found, _ = added(store, f"spair-71k:{spair}?partial=1")
    assert found.n_pairs == 1
    assert report.notices == ["left out: 1 of pictures that the data set lacks"]


def test_a_broken_pair_of_spair_is_named(store, spair):
    register(store, f"spair-71k:{spair}?partial=1")
    path = next((spair / "PairAnnotation/test").glob("000002*"))
    path.write_text(path.read_text().replace('"trg_bndbox"', '"box"'))
    with pytest.raises(DatasetError, match="000002.* does not hold a pair of SPair-71k; get the"):
        added(store, f"spair-71k:{spair}")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("navi:{}/none", "there is no folder .*none; check the path after navi:"),
        ("navi:{}?scenes=tame", "option 'scenes=tame' .* each may stand once: scenes=wild|multi"),
        ("navi:{}?partial=1&partial=1", "option 'partial=1' of navi:.* is not understood"),
        ("scannet-pairs:{}?split=val", "option 'split=val' .* each may stand once: partial=0|1"),
        ("spair-71k:{}?split=val", "there are no pairs in .*val; see: embedstore data show spair"),
    ],
)
def test_presets_that_are_not_there_are_one_line(tmp_path, spec, problem):
    with pytest.raises(DatasetError, match=problem):
        open_pairs(spec.format(tmp_path))
