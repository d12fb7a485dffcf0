"""`normalise` against torchvision's ToTensor and Normalize."""

from __future__ import annotations

import numpy as np
import pytest
from torchvision import transforms

from embedstore.kernels.normalise import look_up, normalise, normalised_bytes

STATISTICS = [
    ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
]


@pytest.mark.parametrize(("mean", "std"), STATISTICS)
@pytest.mark.parametrize("single_thread", [False, True])
def test_every_byte_equals_torchvisions_bit_for_bit(mean, std, single_thread):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    pixels = np.concatenate([levels, levels[::-1], levels.transpose(1, 0, 2)], axis=2)
    batch = np.stack([pixels, 255 - pixels] * 20)
    theirs = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    ours = normalise(batch, mean, std, single_thread=single_thread)
    assert ours.shape == (40, 3, 16, 16)
    for one, other in zip(ours, batch, strict=True):
        np.testing.assert_array_equal(one, theirs(other).numpy())


def test_writes_into_out():
    out = np.full((3, 3, 4, 5), np.nan, np.float32)
    ours = normalise(np.zeros((2, 4, 5, 3), np.uint8), *STATISTICS[2], out=out[1:])
    assert np.shares_memory(ours, out)
    assert np.isnan(out[0]).all()
    assert (out[1:] == -1).all()


def test_compiled_lookup_equals_numpys():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 7, 3), dtype=np.uint8)
    table = normalised_bytes(*STATISTICS[0])
    ours = np.empty((2, 3, 7), np.float32)
    look_up(pixels, table, ours)
    expected = np.stack([table[c][pixels[..., c]] for c in range(3)], axis=1)
    np.testing.assert_array_equal(ours, expected)


def test_no_pictures_are_no_numbers():
    assert normalise(np.empty((0, 4, 5, 3), np.uint8), *STATISTICS[0]).shape == (0, 3, 4, 5)
