"""Files of depth: what is read, what is refused, and that depth lies where its picture does."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from embedstore.datasets.corrupted.depth_maps import depth_map, fitted
from embedstore.datasets.corrupted.reader import CLEAN
from embedstore.datasets.pictures import fit
from embedstore.errors import PictureError
from embedstore.transform import Transform

DEPTH = np.array([[0.5, 1.25, 8.0], [3.0, 65.535, 0.001]])
SAME = Transform(size=(2, 3), resize_to=(2, 3), resize="squash")


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        png((DEPTH * 1000).round().astype(np.uint16)),
        npy(DEPTH),
        npz(anything=DEPTH),
        npz(depth=DEPTH, confidence=DEPTH > 1),
    ],
)
def test_formats_hold_the_same_metres(data):
    np.testing.assert_allclose(depth_map(data, (2, 3)), DEPTH, rtol=1e-12)


@pytest.mark.parametrize("nothing", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_pixels_without_depth_take_that_of_the_nearest(nothing):
    gap = DEPTH.copy()
    gap[1, 2] = gap[1, 1] = nothing
    found = depth_map(npy(gap), (2, 3))
    np.testing.assert_array_equal(np.isnan(found), [[False] * 3, [False, True, True]])
    filled = fitted(found, SAME)
    assert filled[1, 2] == DEPTH[0, 2]
    assert filled[1, 1] in (DEPTH[0, 1], DEPTH[1, 0])
    np.testing.assert_array_equal(filled[0], DEPTH[0])


def test_no_depth_anywhere_is_a_failure():
    with pytest.raises(PictureError, match="transform: the depth map has no pixel with a depth"):
        fitted(depth_map(npy(np.zeros((2, 3))), (2, 3)), SAME)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy(DEPTH.T), "is 2 x 3 pixels, its picture 3 x 2"),
        (png(np.ones((4, 4), np.uint16)), "is 4 x 4 pixels, its picture 3 x 2"),
        (png(np.ones((2, 3), np.uint8)), "is a PNG of mode L, where 16-bit grey is depth"),
        (png(np.ones((2, 3, 3), np.uint8)), "is a PNG of mode RGB"),
        (npy(DEPTH[None]), r"is float64 of 3 dimensions, not \(H, W\) numbers"),
        (npy(DEPTH > 1), "is bool of 2 dimensions"),
        (npy(DEPTH.astype(object), allow_pickle=True), "cannot be read: Object arrays"),
        (npz(a=DEPTH, b=DEPTH), "holds 2 arrays, none of them named 'depth'"),
        (npy(DEPTH)[:-5], "cannot be read"),
        (png((DEPTH * 9).astype(np.uint16))[:50], "cannot be read"),
        (b"not a map", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_what_is_no_depth_map_of_the_picture_is_its_failure(data, reason):
    with pytest.raises(PictureError, match=f"^transform: the depth map {reason}") as caught:
        depth_map(data, (2, 3))
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("size", [(300, 500), (700, 301), (256, 256), (90, 131)])
def test_depth_lies_where_its_picture_does(size):
    height, width = size
    down, across = np.mgrid[0:height, 0:width]
    planted = 20 + 100 * down / height + 100 * across / width
    picture = fit(np.repeat(planted.astype(np.uint8)[..., None], 3, axis=2), CLEAN)
    found = fitted(planted, CLEAN)
    assert found.shape == (224, 224)
    # within the step from one pixel to the next, and the rounding of both
    step = 100 / height + 100 / width
    assert np.abs(found - picture[..., 0]).max() < 1.5 + step
