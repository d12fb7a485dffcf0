"""Features between cells, against torch."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.correspondence.sampling import twins, unit_features
from embedstore.kernels import blend as kernels

torch = pytest.importorskip("torch")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def patches():
    return np.random.default_rng(0).normal(size=(5, 7, 16)).astype(np.float32)


@pytest.fixture
def places():
    """Inside, on centres, on the border and at the corners: x before y."""
    random = np.random.default_rng(1)
    inside = random.uniform(-0.5, [6.5, 4.5], (300, 2))
    edges = [[-0.5, -0.5], [6.499, 4.499], [0, 0], [6, 4], [-0.5, 2], [3.25, 4.4], [2, 3]]
    return np.concatenate([inside, edges])


def of_torch(patches, places, mode, padding):
    size = np.array([patches.shape[1], patches.shape[0]])
    grid = torch.from_numpy(2 * (places + 0.5) / size - 1).float()
    sampled = torch.nn.functional.grid_sample(
        torch.from_numpy(patches).permute(2, 0, 1)[None], grid[None, None], mode=mode,
        padding_mode=padding, align_corners=False,
    )  # fmt: skip
    return unit(sampled[0, :, 0].T.numpy())


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_any_place_is_as_torch_samples_it(patches, places, mode):
    found = unit_features(patches, places, mode)
    np.testing.assert_allclose(found, of_torch(patches, places, mode, "border"), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_padding_with_zeros_as_probe3d_has_it_is_the_same_direction(patches, places):
    outer = unit_features(patches, places, "bilinear")
    zeros = of_torch(patches, places[:-7], "bilinear", "zeros")
    np.testing.assert_allclose(outer[:-7], zeros, atol=2e-5)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 28), (13, 9)])
def test_a_grid_is_as_torch_resizes_it(patches, mode, size):
    """At the centres of the pixels of the larger map."""
    x, y = ((np.arange(n) + 0.5) * of / n - 0.5 for n, of in zip(size[::-1], (7, 5), strict=True))
    found = unit_features(patches, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), mode)
    whole = torch.from_numpy(patches).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(whole, size, mode=mode, align_corners=False)
    expected = unit(resized[0].permute(1, 2, 0).numpy()).reshape(-1, 16)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_centres_are_the_cells_themselves(patches):
    grid = np.stack(np.meshgrid(np.arange(7.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    for mode in ("bilinear", "bicubic"):
        found = unit_features(patches, grid, mode)
        np.testing.assert_allclose(found, unit(patches.reshape(35, 16)), atol=1e-7)


def test_places_beyond_the_outermost_centres_are_equal_to_the_last_bit(patches):
    left = np.stack([np.linspace(-0.5, 0, 9), np.full(9, 1.3)], axis=1)
    found = unit_features(patches, left, "bilinear")
    np.testing.assert_array_equal(found, found[:1].repeat(9, axis=0))


def test_twins_are_the_places_of_equal_features(patches, places):
    grid = np.stack(np.meshgrid(np.arange(-0.4, 6.5, 0.3), np.arange(-0.4, 4.5, 0.3)), axis=-1)
    grid = grid.reshape(-1, 2)
    for sampling in ("bilinear", "bicubic"):
        features = unit_features(patches, grid, sampling)
        equal = (features[:, None] == features[None]).all(axis=2).sum(axis=1) > 1
        assert equal.any() == (sampling == "bilinear")
        np.testing.assert_array_equal(twins(grid, (5, 7), sampling), equal)


def test_a_map_of_one_cell_and_a_map_of_zeros():
    one = np.full((1, 1, 4), 3, np.float32)
    np.testing.assert_array_equal(
        unit_features(one, np.zeros((2, 2)), "bicubic"), np.full((2, 4), 0.5)
    )
    np.testing.assert_array_equal(
        unit_features(0 * one, np.zeros((2, 2)), "bilinear"), np.zeros((2, 4))
    )


def test_the_kernel_without_the_compiler():
    """Which checks bounds."""
    random = np.random.default_rng(2)
    cells = random.normal(size=(6, 5)).astype(np.float32)
    taps = random.integers(0, 6, (4, 3)).astype(np.int32)
    weights = random.normal(size=(4, 3)).astype(np.float32)
    out = np.full((4, 5), 9, np.float32)
    kernels.blend.py_func(cells, taps, weights, out, 1, 4)
    expected = unit(np.einsum("nt,ntd->nd", weights, cells[taps]))
    np.testing.assert_allclose(out[1:], expected[1:], rtol=1e-5)
    assert (out[0] == 9).all()
