"""Interpolated weights against the formula; both ends are the models themselves."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from embedstore.errors import ModelError
from embedstore.models import load
from embedstore.models.hub import quiet_root_logger
from embedstore.models.torch_model import probe_pixels
from embedstore.testing.model_contract import ModelContract
from embedstore.testing.models import save_random_open_clip, save_random_timm, tiny_config

MODULES = """
import torch
from torch import nn
from embedstore.models.python_adapter import ModuleModel
from embedstore.transform import Transform

def made(seed, classes=("cat", "dog"), inner=6):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, inner))
    return ModuleModel(module, Transform((8, 8), (8, 8)), nn.Linear(inner, 2), list(classes))

def a(): return made(0)
def b(): return made(1)
def other_classes(): return made(1, ("cat", "bird"))
def wider(): return made(1, inner=7)
"""


@pytest.fixture(scope="class")
def clips(tmp_path_factory) -> list[str]:
    """SPECs of three CLIPs of one architecture, in folders whose names mislead."""
    folder = tmp_path_factory.mktemp("models")
    names = ("zero+shot@2", "fine+tuned", "third")
    return [
        f"open_clip:{save_random_open_clip(folder / name, tiny_config('clip'), seed)}"
        for seed, name in enumerate(names)
    ]


@pytest.fixture(scope="module")
def resnets(tmp_path_factory) -> list[str]:
    """SPECs of two ResNets whose batch norms have counted differently."""
    folder = tmp_path_factory.mktemp("timm")
    specs = []
    for seed in (0, 1):
        path = save_random_timm(folder / f"{seed}.pth", "resnet18", seed, num_classes=7)
        state = torch.load(path, weights_only=True)
        for name in state:
            if name.endswith("num_batches_tracked"):
                state[name] += seed
            elif name.endswith("running_mean"):
                state[name] += seed / 8
        torch.save(state, path)
        specs.append(f"timm:resnet18?checkpoint={path}&num_classes=7")
    return specs


class TestInterpolated(ModelContract):
    """Half way between two CLIPs, against open_clip's own model of those weights."""

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, clips):
        return f"wise-ft:{clips[0]}+{clips[1]}@0.5"

    @pytest.fixture(scope="class")
    @classmethod
    def other_spec(cls, clips):
        return f"wise-ft:{clips[0]}+{clips[2]}@0.5"

    @pytest.fixture(scope="class")
    @classmethod
    def reference(cls, clips) -> Any:
        folders = [spec.removeprefix("open_clip:") for spec in clips[:2]]
        with quiet_root_logger():
            module = open_clip.create_model(f"local-dir:{folders[0]}").eval()
        a, b = (load_file(f"{folder}/open_clip_model.safetensors") for folder in folders)
        module.load_state_dict({name: (a[name] + b[name]) / 2 for name in a})
        return module

    def own_images(self, reference, pixels):
        return reference.encode_image(pixels, normalize=False)

    def own_logits(self, reference, pixels):
        return None

    def own_texts(self, reference, tokens):
        return reference.encode_text(tokens, normalize=False)

    def patch_modules(self, model):
        return list(model.module.visual.transformer.resblocks)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.75])
def test_every_tensor_lies_between_the_two(resnets, alpha):
    a, b = (load(spec).module.state_dict() for spec in resnets)
    mixed = load(f"wise-ft:{resnets[0]}+{resnets[1]}@{alpha}").module.state_dict()
    assert set(mixed) == set(a)
    for name, tensor in mixed.items():
        if name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, a[name])
            continue
        x, y = a[name].numpy(), b[name].numpy()
        expected = np.float32(1 - alpha) * x + np.float32(alpha) * y
        np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_are_the_models_themselves(resnets, end):
    pixels = probe_pixels(load(resnets[0]).transform)
    ours = load(f"wise-ft:{resnets[0]}+{resnets[1]}@{end}")
    alone = load(resnets[end])
    assert ours.identity == alone.identity
    states = ours.module.state_dict(), alone.module.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    assert torch.equal(ours.embed_images(pixels)[0], alone.embed_images(pixels)[0])
    np.testing.assert_array_equal(ours.own_head.weights, alone.own_head.weights)
    np.testing.assert_array_equal(ours.own_head.bias, alone.own_head.bias)


@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_clips_keep_scale_and_texts(clips, end):
    ours, alone = load(f"wise-ft:{clips[0]}+{clips[1]}@{end}.0"), load(clips[end])
    assert ours.identity == alone.identity
    assert ours.logit_scale == alone.logit_scale
    tokens = ours.tokenize(["a photo of a dog."])
    assert torch.equal(ours.embed_texts(tokens), alone.embed_texts(tokens))


def test_a_classifier_is_interpolated_with_the_rest(resnets):
    a, b, mixed = (
        load(spec).own_head for spec in (*resnets, f"wise-ft:{resnets[0]}+{resnets[1]}@0.25")
    )
    np.testing.assert_allclose(mixed.weights, 0.75 * a.weights + 0.25 * b.weights, rtol=1e-6)
    assert mixed.class_ids == a.class_ids


@pytest.fixture
def users(tmp_path, monkeypatch) -> str:
    (tmp_path / "wise_ft_users.py").write_text(MODULES)
    monkeypatch.chdir(tmp_path)
    yield "python:wise_ft_users"
    sys.modules.pop("wise_ft_users", None)


def test_a_classifier_beside_a_users_module_is_interpolated_too(users):
    a, b = load(f"{users}:a"), load(f"{users}:b")
    mixed = load(f"wise-ft:{users}:a+{users}:b@0.5")
    expected = (a.own_head.weights + b.own_head.weights) / 2
    np.testing.assert_allclose(mixed.own_head.weights, expected, rtol=1e-6)
    pixels = probe_pixels(mixed.transform)
    middle = (a.embed_images(pixels)[0] + b.embed_images(pixels)[0]) / 2  # the module is linear
    torch.testing.assert_close(mixed.embed_images(pixels)[0], middle)
    with pytest.raises(ModelError, match="other classes"):
        load(f"wise-ft:{users}:a+{users}:other_classes@0.5")


def test_another_architecture_names_its_first_tensor(users, clips, tmp_path):
    with pytest.raises(
        ModelError, match=r"'1.weight' is \(7, 192\) where the model has \(6, 192\)"
    ):
        load(f"wise-ft:{users}:a+{users}:wider@0.5")
    config = tiny_config("clip") | {"quick_gelu": True}
    same_tensors = save_random_open_clip(tmp_path / "quick", config)
    with pytest.raises(ModelError, match="the architecture is another"):
        load(f"wise-ft:{clips[0]}+open_clip:{same_tensors}@0.5")


def test_other_whole_numbers_are_refused(clips, monkeypatch):
    def with_buffer(spec: str, value: int) -> Any:
        model = load(spec)
        model.module.register_buffer("position_ids", torch.tensor([value]))
        return model

    from embedstore.models import wise_ft
    from embedstore.models.specs import Interpolation

    parts = Interpolation(clips[0], clips[1], 0.5)
    with pytest.raises(ModelError, match="'position_ids' holds other whole numbers"):
        wise_ft.interpolated(with_buffer(clips[0], 0), with_buffer(clips[1], 1), parts)
    assert wise_ft.interpolated(with_buffer(clips[0], 3), with_buffer(clips[1], 3), parts)


def test_pictures_prepared_otherwise_are_refused(clips, tmp_path):
    other = save_random_open_clip(tmp_path / "half", tiny_config("clip"), 1, {"mean": 0.5})
    assert json.loads((other / "open_clip_config.json").read_text())["preprocess_cfg"]
    with pytest.raises(ModelError, match="the transform is another"):
        load(f"wise-ft:{clips[0]}+open_clip:{other}@0.5")
