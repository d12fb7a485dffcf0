"""`resize` against Pillow's own, and its parts compiled and interpreted."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedstore.kernels.resize import bicubic, bilinear, goes_down_first, resize, taps, weigh

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
TALL_FIRST = int(PIL.__version__.split(".")[0]) >= 13
sides = st.one_of(st.integers(1, 40), st.integers(1, 400))


def picture(height, width, seed, *, extreme=False):
    rng = np.random.default_rng(seed)
    if extreme:  # black beside white: overshoots on both sides, and every clip
        return rng.choice(np.array([0, 255], np.uint8), (height, width, 3))
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow(pixels, size, interpolation):
    resized = Image.fromarray(pixels).resize(size[::-1], FILTERS[interpolation])
    return np.asarray(resized)


@settings(deadline=None, max_examples=300)
@given(
    shape=st.tuples(sides, sides),
    size=st.tuples(sides, sides),
    interpolation=st.sampled_from(sorted(FILTERS)),
    seed=st.integers(0, 99),
    extreme=st.booleans(),
    data=st.data(),
)
def test_any_window_equals_pillows(shape, size, interpolation, seed, extreme, data):
    pixels = picture(*shape, seed, extreme=extreme)
    height, width = (data.draw(st.integers(1, n)) for n in size)
    top = data.draw(st.integers(0, size[0] - height))
    left = data.draw(st.integers(0, size[1] - width))
    ours = resize(
        pixels,
        size,
        window=(top, left, height, width),
        interpolation=interpolation,
        tall_first=TALL_FIRST,
    )
    whole = pillow(pixels, size, interpolation)
    np.testing.assert_array_equal(ours, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("interpolation", sorted(FILTERS))
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 1), (224, 224)),
        ((288, 384), (224, 298)),
        ((375, 500), (224, 298)),
        ((500, 375), (298, 224)),
        ((1500, 2000), (224, 298)),
        ((9000, 3), (224, 2)),  # beyond the sides whose weights are kept
        ((2, 20_000), (2, 300)),
        ((224, 224), (224, 224)),
        ((224, 300), (224, 224)),
        ((300, 224), (224, 224)),
    ],
)
def test_whole_pictures_equal_pillows(shape, size, interpolation):
    pixels = picture(*shape, 0)
    ours = resize(pixels, size, interpolation=interpolation, tall_first=TALL_FIRST)
    np.testing.assert_array_equal(ours, pillow(pixels, size, interpolation))


def test_writes_into_out_and_reads_read_only_pictures():
    batch = np.zeros((3, 20, 30, 3), np.uint8)
    pixels = picture(50, 60, 1)
    pixels.setflags(write=False)
    ours = resize(pixels, (20, 30), out=batch[1], tall_first=TALL_FIRST)
    assert np.shares_memory(ours, batch)
    np.testing.assert_array_equal(batch[1], pillow(pixels, (20, 30), "bicubic"))
    assert not batch[[0, 2]].any()


def test_pillow_goes_down_first_only_where_much_more_height_is_lost():
    assert goes_down_first((389, 216), (21, 133))
    assert goes_down_first((225, 100), (224, 100))
    assert not goes_down_first((288, 384), (224, 298))
    assert not goes_down_first((3, 2), (1, 1))  # exactly twice is not more than twice
    assert not goes_down_first((100, 10), (100, 300))


def test_the_order_of_the_passes_shows_and_can_be_chosen():
    pixels = picture(389, 216, 0)
    turned = np.ascontiguousarray(pixels.transpose(1, 0, 2))
    across_first = resize(pixels, (21, 133), tall_first=False)
    down_first = resize(pixels, (21, 133), tall_first=True)
    other = resize(turned, (133, 21), tall_first=False).transpose(1, 0, 2)
    np.testing.assert_array_equal(down_first, other)
    assert (across_first != down_first).any()
    assert np.abs(across_first.astype(int) - down_first).max() <= 2


def test_filters_at_known_distances():
    at = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    np.testing.assert_allclose(bicubic(at), [1, 0.5625, 0, -0.0625, 0, 0])
    np.testing.assert_allclose(bilinear(at), [1, 0.5, 0, 0, 0, 0])


def test_weights_of_each_output_sum_to_one():
    for n_in, n_out in [(500, 298), (7, 100), (1, 9), (3000, 10)]:
        first, weights = taps(n_in, n_out, 0, n_out, "bicubic")
        assert np.abs(weights.sum(1) - (1 << 22)).max() <= weights.shape[1]
        assert (first >= 0).all()
        assert (first < n_in).all()


def test_compiled_sums_equal_numpys():
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 256, (40, 33), dtype=np.uint8)
    first, weights = taps(40, 17, 0, 17, "bicubic")
    ours = np.empty((17, 33), np.uint8)
    weigh(rows, first, weights, ours)
    padded = np.vstack([rows, np.zeros((weights.shape[1], 33), np.uint8)]).astype(np.int64)
    taken = padded[first[:, None] + np.arange(weights.shape[1])]
    exact = np.einsum("mk,mkl->ml", weights, taken) + (1 << 21) >> 22
    np.testing.assert_array_equal(ours, exact.clip(0, 255))


def test_interpreted_kernels_give_the_same():
    program = (
        "import numpy as np, sys; from embedstore.kernels.resize import resize;"
        "p = np.random.default_rng(5).integers(0, 256, (23, 17, 3), dtype=np.uint8);"
        "a = resize(p, (11, 13)); b = resize(p, (5, 16), window=(1, 2, 3, 9));"
        "sys.stdout.buffer.write(a.tobytes() + b.tobytes())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env={**os.environ, "NUMBA_DISABLE_JIT": flag},
            capture_output=True,
            check=True,
        ).stdout
        for flag in "01"
    ]
    assert len(outputs[0]) == 11 * 13 * 3 + 3 * 9 * 3
    assert outputs[0] == outputs[1]
