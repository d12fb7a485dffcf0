"""Where cells lie, against the centroid of what each is made of: its gradient at the input."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import timm
import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import nn

from embedstore.models.cells import Step, layer_cells
from embedstore.models.patches import (
    PatchTower,
    hooked_tower,
    open_clip_tower,
    patch_layers,
    timm_tower,
)
from embedstore.transform import Cells

ONE_BLOCK = {"depths": (1, 1, 1, 1)}

#: Architecture, what makes it small, pixels of the input, and the last layer's stride and first.
TIMM = {
    "resnet": ("resnet18", {"layers": (1, 1, 1, 1)}, (128, 160), 32, (0, 0)),
    "convnext": ("convnext_atto", ONE_BLOCK, (96, 128), 32, (15.5, 15.5)),
    "symmetric": ("efficientnet_lite0", {}, (160, 192), 32, (0, 0)),
    "tensorflow": ("tf_efficientnet_lite0", {}, (160, 182), 32, (31, 21)),  # 91 and 23 are odd
    "vit": ("vit_tiny_patch16_224", {"depth": 2, "img_size": (32, 64)}, (32, 64), 16, (7.5, 7.5)),
    "a rest": (
        "vit_tiny_patch16_224",
        {"depth": 2, "img_size": 62, "patch_size": 14},
        (62, 62),
        14,
        (6.5, 6.5),
    ),
    "merging": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 64, "window_size": 2, "embed_dim": 16, "num_heads": (1, 2, 4, 8)} | ONE_BLOCK,
        (64, 64),
        32,
        (15.5, 15.5),
    ),
    "pooled keys": ("pvt_v2_b0", ONE_BLOCK, (96, 128), 32, (0, 0)),
}


def averaging(module: nn.Module) -> nn.Module:
    """Make a network whose cells are means of what they see, by strided kernels alone.

    Positive weights, small positive pixels: no rectifier cuts anything off. Attention and
    perceptrons add nothing; kernels that do not stride keep their middle, so that the border is far
    from small inputs' middle.
    """
    for name, part in list(module.named_modules()):
        parent = module.get_submodule(name.rpartition(".")[0])
        own = name.rpartition(".")[2]
        if isinstance(part, nn.LayerNorm):  # of equal features it would leave nothing
            setattr(parent, own, nn.Identity())
        elif isinstance(part, nn.MaxPool2d):
            mean = nn.AvgPool2d(part.kernel_size, part.stride, part.padding)
            setattr(parent, own, mean)
    with torch.no_grad():
        for name, values in module.named_parameters():
            values.fill_(1 / values[0].numel() if values.ndim > 1 else not name.endswith("bias"))
        for name, part in module.named_modules():
            if name.endswith(("attn.proj", "mlp.fc2")):
                part.weight.zero_()
            elif isinstance(part, nn.Conv2d) and part.stride == (1, 1):
                middle = part.weight[..., *(k // 2 for k in part.kernel_size)].clone()
                part.weight.zero_()
                part.weight[..., *(k // 2 for k in part.kernel_size)] = middle
    return module.eval()


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small take longer on threads that wait for each other."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def check(tower: PatchTower, module: nn.Module, size: tuple[int, int]) -> Cells:
    """Compare a cell in the middle of each layer; return where the last layer's cells lie."""
    pixels = 1e-4 * (1 + torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)))
    layers = patch_layers(tower, module, pixels)
    averaging(module)
    maps = tower(pixels.requires_grad_(), None)[1]
    for values, layer in zip(maps, layers, strict=True):
        assert values.shape[1:] == (layer.shape[2], *layer.shape[:2])
        cell = [n // 2 for n in layer.shape[:2]]
        (gradient,) = torch.autograd.grad(values[0, :, *cell].sum(), pixels, retain_graph=True)
        weight = gradient[0].sum(dim=0)
        assert (weight >= 0).all()
        for axis in (0, 1):
            along = weight.sum(dim=1 - axis)
            centroid = float((along * torch.arange(size[axis])).sum() / along.sum())
            place = layer.cells.first[axis] + cell[axis] * layer.cells.stride[axis]
            assert place == pytest.approx(centroid, abs=0.02)
    return layers[-1].cells


@pytest.mark.parametrize("name", TIMM)
def test_cells_are_the_centroids_of_what_they_see(name):
    architecture, arguments, size, stride, first = TIMM[name]
    module = timm.create_model(architecture, num_classes=3, **arguments).eval()
    assert check(timm_tower(module), module, size) == Cells((stride, stride), first)


def test_cells_of_clips_own_resnet():
    visual = ModifiedResNet((1, 1, 1, 1), 16, 4, image_size=96, width=8).eval()
    assert check(open_clip_tower(visual), visual, (96, 96)) == Cells((32, 32), (15, 15))


def test_a_users_layers_from_pools_padding_and_what_is_no_module():
    """Valid and padded convolutions, pools that round up, and slices, which join blocks."""

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.valid = nn.Conv2d(3, 2, 5)
            self.padded = nn.Conv2d(2, 2, 3, stride=2, padding="valid", dilation=2)
            self.pool = nn.AvgPool2d(3, 2, ceil_mode=True)
            self.last = nn.Identity()

        def forward(self, pixels):
            return self.last(self.pool(self.padded(self.valid(pixels)))[:, :, ::2, ::2])

    module = Steps().eval()
    parts = [module.valid, module.padded, module.pool, module.last]
    layers = patch_layers(hooked_tower(module, parts), module, torch.zeros(1, 3, 40, 41))
    assert [layer.shape for layer in layers] == [(36, 37, 2), (16, 17, 2), (8, 8, 2), (4, 4, 2)]
    assert [(layer.cells.stride, layer.cells.first) for layer in layers] == [
        ((1, 1), (2, 2)),
        ((2, 2), (4, 4)),
        ((4, 4), (6, 6)),
        ((8, 8), (8, 8)),
    ]


def test_only_steps_on_the_way_to_the_layers_count():
    """Keys that are pooled on the spot, a shortcut, and a pool below the last layer."""
    steps = [
        Step((64, 64), (32, 32), (2, 2), (0, 0)),
        Step((32, 32), (4, 4), (8, 8), (3.5, 3.5)),  # beyond the next layer
        Step((32, 32), (16, 16), (2, 2), (9, 9)),  # of keys: the next goes on at 32
        Step((32, 32), (32, 32), (1, 1), (0, 0)),
        Step((32, 32), (16, 16), (2, 2), (0, 0)),
        Step((32, 32), (16, 16), (2, 2), (0.5, 0.5)),  # a shortcut around it
        Step((16, 16), (8, 8), (2, 2), (0, 0)),
    ]
    found = layer_cells((64, 64), [(32, 32), (16, 16)], steps)
    assert found == (Cells((2, 2), (0, 0)), Cells((4, 4), (0, 0)))
    assert layer_cells((64, 64), [(32, 32)], []) == (Cells((2, 2), (0.5, 0.5)),)
    assert layer_cells((64, 64), [(128, 64)], steps) == (Cells((0.5, 1), (-0.25, 0)),)
