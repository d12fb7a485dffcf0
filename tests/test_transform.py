"""The geometry of a transform, against the pixels that it makes."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from embedstore.datasets.pictures import fit, prepare
from embedstore.transform import Transform, to_input

SQUARE = Transform((48, 48), (48, 48))
CROPPED = Transform((48, 48), (55, 55))
TRANSFORMS = {
    "shortest": SQUARE,
    "cropped": CROPPED,
    "oblong": Transform((40, 64), (45, 72)),
    "padded": Transform((48, 48), (48, 48), "longest", fill=127),
    "squash": Transform((40, 64), (40, 64), "squash"),
    "bilinear": Transform((48, 48), (53, 53), interpolation="bilinear"),
    "smaller": Transform((48, 48), (41, 41)),  # and black all around
    "floored": Transform((48, 48), (55, 55), crop="floored"),
}


def blob(width, height, at, sigma):
    """(height, width, 3) black with one round spot, its centre in pixels."""
    y, x = np.mgrid[:height, :width]
    squared = ((x - at[0]) / sigma[0]) ** 2 + ((y - at[1]) / sigma[1]) ** 2
    levels = np.rint(255 * np.exp(-squared / 2)).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def centre(pixels):
    """Return x and y of the middle of the light: (H, W, 3) -> two numbers."""
    light = pixels[..., 0].astype(float)
    y, x = np.indices(light.shape)
    return (x * light).sum() / light.sum(), (y * light).sum() / light.sum()


@pytest.mark.parametrize(
    ("transform", "size", "expected"),
    [
        (SQUARE, (96, 96), (0.5, 0, 0.5, 0)),
        (SQUARE, (192, 96), (0.5, -24, 0.5, 0)),
        (SQUARE, (96, 193), (0.5, 0, 96 / 193, -24)),  # 96.5 truncated
        (SQUARE, (99, 96), (49 / 99, 0, 0.5, 0)),  # half of one pixel rounds to even: none
        (SQUARE, (102, 96), (51 / 102, -2, 0.5, 0)),  # and half of three to two
        (TRANSFORMS["floored"], (110, 110), (0.5, -3, 0.5, -3)),  # half of seven to three
        (CROPPED, (110, 110), (0.5, -4, 0.5, -4)),
        (TRANSFORMS["padded"], (96, 50), (0.5, 0, 0.5, 11)),
        (TRANSFORMS["padded"], (95, 31), (48 / 95, 0, 16 / 31, 16)),  # 15.66 rounded
        (TRANSFORMS["squash"], (128, 20), (0.5, 0, 2, 0)),
        (TRANSFORMS["smaller"], (82, 82), (0.5, 3, 0.5, 3)),
    ],
)
def test_known_maps(transform, size, expected):
    assert to_input(transform, *size) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("size", [(211, 130), (97, 203), (31, 30), (64, 64)])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_spots_lie_where_the_map_says(name, size):
    transform = TRANSFORMS[name]
    scale_x, offset_x, scale_y, offset_y = to_input(transform, *size)
    at = np.stack(np.meshgrid(np.linspace(0, size[0] - 1, 9), np.linspace(0, size[1] - 1, 9)), -1)
    expected = (at + 0.5) * (scale_x, scale_y) - 0.5 + (offset_x, offset_y)
    sigma = 1.5 / np.array([scale_x, scale_y])
    edge = np.array(size) - 1
    # what the crop keeps whole
    kept = (expected > 5) & (expected < np.array(transform.size[::-1]) - 6)
    kept &= (at > 4 * sigma) & (at < edge - 4 * sigma)
    chosen = kept.all(axis=2)
    assert chosen.sum() >= 4
    for point, there in zip(at[chosen], expected[chosen], strict=True):
        file = io.BytesIO()
        Image.fromarray(blob(*size, point, sigma)).save(file, "PNG")
        found = np.asarray(prepare(file.getvalue(), transform))
        inside = np.zeros(found.shape[:2], bool)
        rows, columns = (slice(round(c) - 5, round(c) + 6) for c in there[::-1])
        inside[rows, columns] = True
        assert centre(np.where(inside[..., None], found, 0)) == pytest.approx(there, abs=0.1)


@given(
    width=st.integers(20, 256),
    height=st.integers(20, 256),
    name=st.sampled_from(sorted(TRANSFORMS)),
)
def test_every_pixel_knows_where_it_came_from(width, height, name):
    """A picture whose red is x and whose green is y shows the inverse of the map."""
    transform = TRANSFORMS[name]
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x, y, np.full_like(x, 255)], axis=2).astype(np.uint8)
    found = fit(picture, transform).astype(float)
    for channel, (scale, offset), n in (
        (0, to_input(transform, width, height)[:2], width),
        (1, to_input(transform, width, height)[2:], height),
    ):
        along = np.arange(found.shape[1 - channel])
        source = (along + 0.5 - offset) / scale - 0.5
        reach = 2 * max(1, 1 / scale) + 1
        clear = (source > reach) & (source < n - 1 - reach)  # of the filter's edge
        middle = found.shape[channel] // 2  # never in the padding
        shown = found[..., channel].take(middle, axis=channel)
        np.testing.assert_allclose(shown[clear], source[clear], atol=0.5 + 0.25 / scale)


def test_a_transform_survives_its_record():
    for transform in TRANSFORMS.values():
        assert Transform.from_record(json.loads(json.dumps(transform.record()))) == transform
