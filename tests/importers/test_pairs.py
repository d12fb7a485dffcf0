"""Manifests of pairs: planted geometry, formats of files, what is left out, what is refused."""

from __future__ import annotations

import csv
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from embedstore import Store
from embedstore.correspondence.pairs import Pair
from embedstore.correspondence.stored import load_pairs, pair_sets
from embedstore.datasets.sources import describe, open_source
from embedstore.errors import DatasetError
from embedstore.importers.pair_sources import open_pairs
from embedstore.importers.pairs import import_pairs
from embedstore.store.datasets import save_dataset
from embedstore.testing.views import (
    MOVED,
    WALL,
    Views,
    motorcycle,
    perspective,
    planes,
    rotation,
    scaling,
    warped,
)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def add(store) -> Callable[..., list[Pair]]:
    """Make a data set `views` of the pictures, import their pairs, and return these."""

    def added(views: Views, **options) -> list[Pair]:
        register(store, views)
        import_pairs(store, open_pairs(str(views.pairs), **options), "views", name="pairs")
        return stored(store)

    return added


def register(store: Store, views: Views) -> None:
    source = open_source(views.source)
    save_dataset(store.files, *describe("views", source, source.listing()))


def stored(store: Store) -> list[Pair]:
    found = load_pairs(store, "views", "pairs")
    return [pair for block in found.blocks() for pair in block]


def picture(views: Views, name: str) -> np.ndarray:
    return np.asarray(Image.open(Path(views.source[len("folder:") :]) / f"{name}.png"), float)


def rows_of(views: Views) -> list[dict]:
    return [json.loads(line) for line in views.pairs.read_text().splitlines()]


def rewrite(views: Views, *rows: dict) -> Views:
    views.pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return views


def test_depth_and_pose_take_points_where_the_planes_homography_does(add, tmp_path):
    """Against the textbook: a plane n.X = d is seen by H = K (R + t n' / d) K^-1."""
    from scipy.spatial.transform import Rotation

    views = planes(tmp_path / "v", surfaces=[WALL])
    (pair,) = add(views)
    assert (pair.first.width, pair.first.height, pair.first.stride) == (160, 120, 4)
    y, x = np.mgrid[0:120:4, 0:160:4]
    points = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3).astype(float)
    rays = points @ np.linalg.inv(pair.first.intrinsics).T
    seen = (rays * pair.first.grid.reshape(-1, 1)) @ pair.pose[:3, :3].T + pair.pose[:3, 3]
    seen = seen @ pair.second.intrinsics.T
    turned = Rotation.from_rotvec(MOVED[0]).as_matrix()
    camera = np.array([[150, 0, 79.5], [0, 150, 59.5], [0, 0, 1]])
    plane = camera @ (turned + np.outer(MOVED[1], WALL.normal) / WALL.distance)
    exact = points @ (plane @ np.linalg.inv(camera)).T
    assert np.abs(seen[:, :2] / seen[:, 2:] - exact[:, :2] / exact[:, 2:]).max() < 1e-3


def test_points_look_alike_in_both_views_and_have_the_depth_that_is_said(add, tmp_path):
    from scipy.ndimage import map_coordinates

    views = planes(tmp_path / "v")
    (pair,) = add(views, stride=1)
    y, x = np.mgrid[0:120, 0:160]
    points = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3).astype(float)
    rays = points @ np.linalg.inv(pair.first.intrinsics).T
    seen = (rays * pair.first.grid.reshape(-1, 1)) @ pair.pose[:3, :3].T + pair.pose[:3, 3]
    u, v = ((seen @ pair.second.intrinsics.T)[:, :2] / seen[:, 2:]).T
    depth = map_coordinates(pair.second.grid.astype(float), [v, u], order=1, cval=np.nan)
    inside = np.isfinite(depth)
    assert inside.mean() > 0.5
    # neither hidden, nor where one plane ends: depth of a plane is nearly linear in the picture
    open_ = np.abs(depth - seen[:, 2]) < 0.005
    assert open_[inside].mean() > 0.95
    first, second = picture(views, "first").reshape(-1, 3), picture(views, "second")
    there = np.stack([map_coordinates(second[..., c], [v, u], order=1) for c in range(3)], axis=1)
    apart = np.abs(first - there)[open_]
    assert apart.mean() < 1.5  # of 255: rounding and interpolation
    assert np.abs(first - there[::-1])[open_].mean() > 50


def test_the_motorcycles_disparity_leads_from_the_left_picture_to_the_right(add, tmp_path):
    pytest.importorskip("skimage")
    views = motorcycle(tmp_path / "v")
    (pair,) = add(views)
    whole = np.load(tmp_path / "v" / "disparity.npy")
    assert (pair.second.grid, pair.first.grid.shape) == (None, (125, 186))
    known = np.isfinite(whole[::4, ::4])
    np.testing.assert_array_equal(pair.first.grid[known], whole[::4, ::4][known])
    assert np.isnan(pair.first.grid[~known]).all()
    assert 0 < (~known).mean() < 0.1
    y, x = np.nonzero(known)
    to = np.round(x * 4 - pair.first.grid[known]).astype(int)
    y, x, to = y[to >= 0] * 4, x[to >= 0] * 4, to[to >= 0]
    left, right = picture(views, "left"), picture(views, "right")
    assert np.abs(left[y, x] - right[y, to]).mean() < 10
    assert np.abs(left[y, x] - right[y, x]).mean() > 30


def test_homographies_of_a_photograph_are_kept_exactly_and_show_it_there(add, tmp_path):
    """A smooth photograph, so that interpolation is no difference."""
    y, x = np.mgrid[0:90, 0:140]
    waves = [np.sin(x / 9 + c) + np.cos(y / 7 - c) for c in range(3)]
    photograph = (np.stack(waves, axis=-1) * 60 + 128).astype(np.uint8)
    given = {
        "perspective": perspective(140, 90, 0.3),
        "same": np.eye(3),
        "scaled": scaling(140, 90, 1.5),
        "turned": rotation(140, 90, 20),
    }
    views = warped(tmp_path / "v", photograph, given)
    pairs = add(views)
    for pair, (name, homography) in zip(pairs, given.items(), strict=True):
        np.testing.assert_array_equal(pair.homography, homography)
        middle = homography @ [69.5, 44.5, 1]
        np.testing.assert_allclose(middle[:2] / middle[2], [69.5, 44.5], atol=1e-9)
        seen = np.stack([x, y, np.ones_like(x)], axis=-1) @ homography.T
        u, v = np.moveaxis(seen[..., :2] / seen[..., 2:], -1, 0).round().astype(int)
        inside = (u > 1) & (u < 138) & (v > 1) & (v < 88)
        other = picture(views, name)[v[inside], u[inside]]
        assert np.abs(other - photograph[inside]).mean() < 4, name
    turned = rotation(140, 90, 90) @ [139, 44.5, 1]
    np.testing.assert_allclose(turned, [69.5, 114, 1], atol=1e-9)  # clockwise: right goes down


def test_a_homographys_sign_means_nothing_and_is_made_to_face_the_picture(add, tmp_path):
    photograph = np.zeros((30, 40, 3), np.uint8)
    matrix = perspective(40, 30, 0.3)
    (pair,) = add(warped(tmp_path / "v", photograph, {"other": -matrix}))
    np.testing.assert_array_equal(pair.homography, matrix)


def grid_file(folder: Path, form: str, values: np.ndarray, per_unit: float) -> str:
    path = folder / f"grid.{form}"
    if form == "npy":
        np.save(path, values)
    elif form == "npz":
        np.savez_compressed(path, depth=values, confidence=values)
    elif form == "pfm":
        header = f"Pf\n{values.shape[1]} {values.shape[0]}\n-1.0\n".encode()
        path.write_bytes(header + values[::-1].astype("<f4").tobytes())
    else:
        Image.fromarray(np.round(values * per_unit).astype(np.uint16)).save(path)
    return path.name


@pytest.mark.parametrize("form", ["npy", "npz", "pfm", "png"])
@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_files_of_every_kind_say_the_same(add, tmp_path, form, kind):
    views = planes(tmp_path / "v", size=(20, 12), focal=20)
    exact = np.load(tmp_path / "v" / "first.npy")
    exact = np.round(exact * 256) / 256
    exact[0, 0] = exact[4, 4] = 0
    name = grid_file(tmp_path / "v", form, exact, 256)
    (row,) = rows_of(views)
    if kind == "depth":
        row |= {"depth_first": name, "depth_scale": 256}
    else:
        row = {"first": "first", "second": "second", "disparity": name, "disparity_scale": 256}
    (pair,) = add(rewrite(views, row), stride=2)
    unknown = np.zeros((6, 10), bool)
    # a disparity of 0 is a point infinitely far, but in a PNG it is none
    unknown[0, 0] = unknown[2, 2] = kind == "depth" or form == "png"
    np.testing.assert_array_equal(pair.first.grid[~unknown], exact[::2, ::2][~unknown])
    assert np.isnan(pair.first.grid[unknown]).all()
    assert pair.first.grid.dtype == np.float32


def test_depth_in_a_png_is_in_millimetres_unless_said(add, tmp_path):
    views = planes(tmp_path / "v", size=(20, 12), focal=20)
    exact = np.load(tmp_path / "v" / "second.npy")
    Image.fromarray(np.round(exact * 1000).astype(np.uint16)).save(tmp_path / "v" / "mm.png")
    (row,) = rows_of(views)
    (pair,) = add(rewrite(views, row | {"depth_second": "mm.png"}), stride=1)
    np.testing.assert_allclose(pair.second.grid, exact, atol=0.0006)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_tables_of_every_kind_say_the_same(store, tmp_path, ending):
    views = planes(tmp_path / "v", size=(20, 12), focal=20)
    register(store, views)
    (row,) = rows_of(views)
    table = tmp_path / "v" / f"table.{ending}"
    if ending == "csv":
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            said = {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            writer.writerow(said | {"first": "first.png"})  # ids may have a picture's ending
    elif ending == "parquet":
        row["pose"] = np.ravel(row["pose"]).tolist()
        row["intrinsics_first"] = [20.0, 20.0, 9.5, 5.5]
        pl.DataFrame([row]).write_parquet(table)
    else:
        table.write_text(json.dumps(row))
    report = import_pairs(store, open_pairs(str(table)), "views")
    assert (report.what, report.already) == ("views: 1 pair named 'table', by depth", False)
    found = load_pairs(store, "views", "table")
    ((pair,),) = found.blocks()
    assert (pair.first.sample_index, pair.second.sample_index) == (0, 1)
    np.testing.assert_array_equal(pair.pose, rows_of(views)[0]["pose"])
    np.testing.assert_array_equal(pair.first.intrinsics, [[20, 0, 9.5], [0, 20, 5.5], [0, 0, 1]])
    assert found.facts["origin"]["file"] == f"table.{ending}"
    assert (found.facts["preset"], found.facts["stride"]) == (None, 4)
    assert "centre of the upper left" in found.facts["conventions"]
    assert import_pairs(store, open_pairs(str(table)), "views").already


KEYPOINTS = {
    "first": "photograph",
    "second": "other",
    "keypoints_first": [[3, 4], None, [5.5, 6], None, [40, 30]],
    "keypoints_second": [[7, 8], [1, 1], [9, 2.25], [2, 2], [0, 0]],
    "box_second": [2, 3, 30, 29],
    "class_name": "cat",
}


@pytest.fixture
def photographs(tmp_path) -> Views:
    """Two pictures of 40 x 30, `photograph` and `other`."""
    return warped(tmp_path / "v", np.zeros((30, 40, 3), np.uint8), {"other": np.eye(3)})


def test_keypoints_that_both_pictures_show_are_kept(add, photographs):
    """One that counts from the corner may lie at 40 of 40: it is of the last pixel."""
    bare = {k: v for k, v in KEYPOINTS.items() if k not in ("box_second", "class_name")}
    pair, other = add(rewrite(photographs, KEYPOINTS, bare))
    kept = [[3, 4, 7, 8], [5.5, 6, 9, 2.25], [39, 29, 0, 0]]
    np.testing.assert_array_equal(pair.keypoints, kept)
    np.testing.assert_array_equal(pair.box, [2, 3, 30, 29])
    assert (pair.group, other.group, other.box) == ("cat", None, None)


def test_pairs_that_say_nothing_are_left_out_and_counted(store, tmp_path):
    views = planes(tmp_path / "v", size=(20, 12), focal=20)
    register(store, views)
    (row,) = rows_of(views)
    away = np.diag([-1.0, 1, -1, 1])  # looks the other way
    dark = np.full((12, 20), np.inf)
    dark[0, 0] = np.nan
    np.save(tmp_path / "v" / "dark.npy", dark)
    rewrite(views, row, row | {"pose": away.tolist()}, row | {"depth_second": "dark.npy"})
    report = import_pairs(store, open_pairs(str(views.pairs)), "views")
    excluded = {"without overlap": 1, "without known depth or disparity": 1}
    found = load_pairs(store, "views", "pairs")
    assert (found.n_pairs, found.facts["n_excluded"]) == (1, excluded)
    assert report.notices == ["left out: 1 without overlap, 1 without known depth or disparity"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"homography": [1, 0, 40, 0, 1, 0, 0, 0, 1]}, "1 without overlap"),
        ({"disparity": "d.npy"}, "1 without overlap"),
        (
            {"keypoints_first": [None, [1, 2]], "keypoints_second": [[1, 2], None]},
            "1 without common keypoints",
        ),
    ],
)
def test_a_manifest_of_which_nothing_is_left_is_refused(store, photographs, row, reason):
    register(store, photographs)
    np.save(photographs.pairs.parent / "d.npy", np.full((30, 40), 40.0))
    rewrite(photographs, {"first": "photograph", "second": "other"} | row)
    with pytest.raises(DatasetError, match=rf"pairs has no pair that can be used \({reason}\); "):
        import_pairs(store, open_pairs(str(photographs.pairs)), "views")
    assert pair_sets(store, "views") == []


def test_a_shift_that_leaves_one_column_overlaps(add, photographs):
    row = {"first": "photograph", "second": "other", "homography": [1, 0, 39, 0, 1, 0, 0, 0, 1]}
    assert len(add(rewrite(photographs, row))) == 1


def refused(store: Store, views: Views, *rows: dict) -> str:
    """Return the error of a manifest, once it is sure that it is one line and wrote nothing."""
    before = list(store.files.walk())
    rewrite(views, *rows)
    with pytest.raises(DatasetError) as error:
        import_pairs(store, open_pairs(str(views.pairs)), "views")
    assert list(store.files.walk()) == before
    assert "\n" not in str(error.value)
    return str(error.value)


SQUARE = np.eye(4).tolist()


def changed(matrix: list, row: int, column: int, value: float) -> list:
    found = np.array(matrix)
    found[row, column] = value
    return found.tolist()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"depth_first": "none.npy"}, r"there is no file .*none\.npy; paths of depth count from"),
        ({"depth_first": "small.npy"}, r"small\.npy is 19 x 12 where its picture is 20 x 12 pix"),
        ({"depth_first": "deep.npy"}, r"deep\.npy is 3 x 20 x 12 where its picture is 20 x 12"),
        ({"depth_first": "minus.npy"}, r"minus\.npy holds a depth of -2; .* 0 where it is not"),
        ({"depth_first": "colour.png"}, r"colour\.png is a picture in colour .* one channel"),
        ({"depth_first": "cut.png"}, r"cut\.png is a damaged PNG .*; get it again"),
        ({"depth_first": "cut.pfm"}, r"cut\.pfm is no whole PFM of one channel; write 20 x 12"),
        ({"depth_first": "two.npz"}, r"two\.npz has several arrays \(a, b\); name one of them"),
        ({"depth_first": "text.npy"}, r"text\.npy holds <U1; depth and disparity are numbers"),
        ({"depth_first": None}, "row 1 of pairs.jsonl has nothing in column 'depth_first'; fill"),
        ({"depth_scale": 0}, "depth_scale of row 1 of pairs.jsonl is 0; write a number above 0"),
        ({"pose": changed(SQUARE, 0, 0, -1)}, "no rigid motion: it mirrors: .* determinant -1"),
        ({"pose": changed(SQUARE, 0, 0, 1.002)}, "it scales or shears: .* not orthonormal"),
        ({"pose": changed(SQUARE, 3, 0, 0.01)}, "it ends in 0.01, 0, 0, 1 where 0, 0, 0, 1 bel"),
        ({"pose": json.dumps(changed(SQUARE, 0, 3, np.nan))}, "it holds NaN or infinity; write"),
        ({"pose": [1, 2, 3]}, r"pose of row 1 .* is '\[1.*3\S*\]', where 16 numbers belong"),
        ({"intrinsics_first": [0, 20, 9, 5]}, "intrinsics_first of row 1 .* are 0, 0, 9, .*fx, fy"),
        ({"intrinsics_second": [1, 2]}, r"'\[1.*\]', where 4 or 9 numbers belong; write them as"),
        ({"first": "frist"}, "'frist' are no samples of .*'views' .*row 1.*close .*'first'"),
        ({"width_first": 19, "height_first": 12}, "is 20 x 12 pixels, and 19 x 12 in row 1"),
    ],
)  # fmt: skip
def test_bad_depth_is_one_line_and_nothing_is_written(store, tmp_path, change, problem):
    views = planes(folder := tmp_path / "v", size=(20, 12), focal=20)
    register(store, views)
    np.save(folder / "small.npy", np.ones((12, 19)))
    np.save(folder / "deep.npy", np.ones((12, 20, 3)))
    np.save(folder / "minus.npy", np.full((12, 20), -2.0))
    np.save(folder / "text.npy", np.full((12, 20), "x"))
    np.savez(folder / "two.npz", a=np.ones((12, 20)), b=np.ones((12, 20)))
    Image.new("RGB", (20, 12)).save(folder / "colour.png")
    (folder / "cut.png").write_bytes((folder / "colour.png").read_bytes()[:50])
    (folder / "cut.pfm").write_bytes(b"Pf\n20 12\n-1.0\n" + struct.pack("<f", 1.0))
    (row,) = rows_of(views)
    assert re.search(problem, refused(store, views, row | change))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"homography": [1, 0, 0, 2, 0, 0, 0, 0, 1]}, "homography of row 1 .* is singular: it tak"),
        ({"homography": "1 0 0 0 1 0 0 0 inf"}, "singular: .* or is not finite"),
        ({"homography": "1 2"}, "homography of row 1 .* is '1 2', where 9 numbers belong"),
        ({"homography": "one"}, "homography of row 1 .* is 'one', where 9 numbers belong"),
        ({"disparity": "left.npy"}, "holds a disparity of -3; x of the second picture is x of"),
        ({"disparity": "d.png"}, "d.png holds whole numbers; .* in a column disparity_scale"),
        ({**KEYPOINTS, "keypoints_first": [[1, 2]]}, "has 1 keypoints of the first .* 5 of the"),
        (
            {**KEYPOINTS, "keypoints_first": [[1, 2], None, [41, 3], None, None]},
            "keypoint 3 of the first picture in row 1 .* lies at x = 41, y = 3, outside its 40",
        ),
        (
            {**KEYPOINTS, "keypoints_second": [[1, 2], None, [4, 31.5], None, None]},
            "keypoint 3 of the second picture in row 1 .* lies at x = 4, y = 31.5, outside its 40",
        ),
        ({**KEYPOINTS, "keypoints_first": [1, 2]}, r"are no points; write \[\[x, y\], null"),
        ({**KEYPOINTS, "box_second": [9, 9, 3, 12]}, "is 9, 9, 3, 12, and ends .*top, right"),
        ({**KEYPOINTS, "box_second": [3, 9, 3, 12]}, "is 3, 9, 3, 12, and ends before it begins; "),
        ({**KEYPOINTS, "box_second": [0, 0, 42, 12]}, "box_second of row 1 .* outside .* 40 x 30"),
        ({**KEYPOINTS, "box_second": [0, -2, 40, 12]}, "is 0, -2, 40, 12, and reaches outside the"),
        (
            {**KEYPOINTS, "keypoints_first": [[1, 2], None, [-1, -1], None, None]},
            "keypoint 3 of the first picture in row 1 .* lies at x = -1, y = -1, .* write null",
        ),
        ({"homography": [1] * 9, "disparity": "d.npy"}, "has homography and disparity; a manifest"),
        ({}, "has no truth; a manifest of pairs has the columns of one truth: homography; or disp"),
        ({"pose": SQUARE}, "has pose and lacks depth_first, .*, intrinsics_second; add them"),
        ({"homography": [1] * 9, "hue": 1}, "column 'hue' .* means nothing for pairs by homo"),
        ({"homography": [1] * 9, "second": ""}, "row 1 .* has nothing in column 'second'; fill"),
        ({"homography": [1] * 9, "second": "x"}, r"'x' are no samples of .* \(row 1 of pairs"),
    ],
)  # fmt: skip
def test_bad_truths_are_one_line_and_nothing_is_written(store, photographs, change, problem):
    register(store, photographs)
    np.save(photographs.pairs.parent / "left.npy", np.full((30, 40), -3.0))
    Image.fromarray(np.ones((30, 40), np.uint16)).save(photographs.pairs.parent / "d.png")
    row = {"first": "photograph", "second": "other"} | change
    assert re.search(problem, refused(store, photographs, row))


def test_a_pose_may_be_rounded_to_three_digits(add, tmp_path):
    views = planes(tmp_path / "v", size=(20, 12), focal=20)
    (row,) = rows_of(views)
    rounded = np.round(row["pose"], 4)
    (pair,) = add(rewrite(views, row | {"pose": rounded.tolist()}))
    np.testing.assert_array_equal(pair.pose, rounded)


def test_several_unknown_ids_are_named_before_any_file_is_read(store, photographs):
    register(store, photographs)
    row = {"first": "photograph", "disparity": "none.npy"}
    said = refused(store, photographs, *(row | {"second": f"x{i}"} for i in range(5)))
    assert said.startswith("'x0', 'x1', 'x2' and 2 more are no samples of data set 'views'")


def test_pictures_that_are_gone_need_their_sizes_in_the_manifest(store, photographs):
    register(store, photographs)
    for path in Path(photographs.source[len("folder:") :]).iterdir():
        path.unlink()
    row = {"first": "photograph", "second": "other", "homography": np.eye(3).tolist()}
    said = refused(store, photographs, row)
    assert "the picture of 'photograph' is not at hand" in said
    assert said.endswith("add columns width_first, height_first, width_second, height_second")
    sizes = {"width_first": 40, "height_first": 30, "width_second": 40, "height_second": 30}
    rewrite(photographs, row | sizes)
    import_pairs(store, open_pairs(str(photographs.pairs)), "views", name="pairs")
    (pair,) = stored(store)
    assert (pair.first.width, pair.second.height) == (40, 30)


def test_an_unknown_data_set_says_what_there_is(store, photographs):
    register(store, photographs)
    with pytest.raises(DatasetError, match=r"no data set 'x' \(there: views\)"):
        import_pairs(store, open_pairs(str(photographs.pairs)), "x")
