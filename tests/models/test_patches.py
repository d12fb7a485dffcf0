"""Patch features of towers that the adapters' own tests leave out."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from embedstore.errors import ModelError
from embedstore.models import load
from embedstore.models.python_adapter import ModuleModel
from embedstore.models.timm_adapter import TimmModel, timm_transform
from embedstore.models.torch_model import probe_pixels
from embedstore.testing.models import save_random_open_clip, tiny_config
from embedstore.transform import Transform

SMALL = Transform(size=(8, 8), resize_to=(8, 8))

#: Small models, and the shapes of their layers.
TIMM = {
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 64, "window_size": 2, "embed_dim": 16, "depths": (1, 1, 1, 1)}
        | {"num_heads": (1, 2, 4, 8)},
        [(16, 16, 16), (8, 8, 32), (4, 4, 64), (2, 2, 128)],
    ),
    "registers": (
        "vit_small_patch14_reg4_dinov2",
        {"img_size": 56, "embed_dim": 32, "depth": 3, "num_heads": 2},
        [(4, 4, 32)] * 3,
    ),
    "oblong": (
        "vit_tiny_patch16_224",
        {"img_size": (32, 64), "embed_dim": 32, "depth": 2, "num_heads": 2},
        [(2, 4, 32)] * 2,
    ),
    "efficientnet": (
        "efficientnet_lite0",
        {},
        [(112, 112, 16), (56, 56, 24), (28, 28, 40), (14, 14, 112), (7, 7, 320)],
    ),
}


@pytest.mark.parametrize("name", TIMM)
def test_layers_of_timms_kinds(name):
    architecture, arguments, shapes = TIMM[name]
    module = timm.create_model(architecture, num_classes=3, **arguments).eval()
    size = {"input_size": "64"} if name == "swin" else {}
    transform = timm_transform(module, size)
    height, width = module.patch_embed.img_size if hasattr(module, "patch_embed") else (224, 224)
    transform = Transform((height, width), (height, width), mean=transform.mean, std=transform.std)
    model = TimmModel(module, transform, name)
    assert model.patch_shapes == tuple(shapes)
    pixels = probe_pixels(model.transform, 3)
    layers = list(range(len(shapes)))
    embeddings, _, patches = model.embed_with_patches(pixels, layers)
    assert torch.equal(embeddings, model.embed_images(pixels)[0])
    with torch.inference_mode():
        for layer, info in enumerate(module.feature_info):
            seen = []
            part = module.get_submodule(info["module"])
            hook = part.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
            module.forward_features(pixels)
            hook.remove()
            h, w, d = shapes[layer]
            if seen[0].ndim == 3:
                expected = seen[0][:, -h * w :].reshape(3, h, w, d)
            else:
                expected = seen[0] if seen[0].shape[1:] == (h, w, d) else seen[0].movedim(1, 3)
            assert torch.equal(patches[layer], expected)


def test_an_eva_tower_of_open_clip_drops_its_class_token(tmp_path):
    config = tiny_config("clip")
    config["vision_cfg"] = {
        "timm_model_name": "eva02_tiny_patch14_224",
        "timm_pool": "token",
        "timm_proj": None,
        "image_size": 224,
    }
    model = load(f"open_clip:{save_random_open_clip(tmp_path, config)}")
    assert model.patch_shapes == ((16, 16, 192),) * 12
    pixels = probe_pixels(model.transform, 2)
    seen = []
    hook = model.module.visual.trunk.blocks[5].register_forward_hook(lambda *a: seen.append(a[2]))
    embeddings, _ = model.embed_images(pixels)
    hook.remove()
    ours, _, (patches,) = model.embed_with_patches(pixels, [5])
    assert torch.equal(ours, embeddings)
    assert torch.equal(patches, seen[0][:, 1:].reshape(2, 16, 16, 192))


def test_a_tower_whose_two_passes_differ_is_run_twice_and_keeps_its_embeddings():
    class Odd(nn.Module):
        """Its pass that keeps layers ends in other features than its plain one."""

        num_classes = 0
        feature_info = ()

        def forward_features(self, x):
            return x.mean(dim=(2, 3))

        def forward_intermediates(self, x, indices, output_fmt):
            assert output_fmt == "NCHW"
            return self.forward_features(x) + 1e-6, [x]

        def forward_head(self, x, pre_logits):
            return x

        def forward(self, x):
            return self.forward_features(x)

    model = TimmModel(Odd(), SMALL, "odd")
    pixels = probe_pixels(SMALL, 3)
    embeddings, _, (patches,) = model.embed_with_patches(pixels, [0])
    assert torch.equal(embeddings, pixels.mean(dim=(2, 3)))
    assert torch.equal(patches, pixels.permute(0, 2, 3, 1))


def test_a_tower_without_maps_has_none():
    class Flat(nn.Module):
        num_classes = 0

        def forward_features(self, x):
            return x.mean(dim=(2, 3))

        def forward_head(self, x, pre_logits):
            return x

        def forward(self, x):
            return self.forward_features(x)

    model = TimmModel(Flat(), SMALL, "flat")
    assert model.patch_shapes == ()
    with pytest.raises(ModelError, match="no patch features; leave out --patches"):
        model.embed_with_patches(probe_pixels(SMALL), [0])


def test_a_users_layer_that_is_no_map_is_refused():
    tower = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    model = ModuleModel(tower, SMALL, layers=[tower[1]])
    with pytest.raises(ModelError, match=r"layer 0 gives no map .*name another part"):
        _ = model.patch_shapes


def test_half_precision_points_the_same_way(tmp_path):
    spec = f"open_clip:{save_random_open_clip(tmp_path, tiny_config('clip'))}"
    exact, low = load(spec), load(spec)
    low.to(torch.device("cpu"), torch.bfloat16)
    pixels = probe_pixels(exact.transform, 3)
    a = exact.embed_with_patches(pixels, [1])[2][0]
    b = low.embed_with_patches(pixels.bfloat16(), [1])[2][0]
    assert b.dtype == torch.bfloat16
    assert nn.functional.cosine_similarity(a, b.float(), dim=-1).min() > 0.99
