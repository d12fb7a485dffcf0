"""Focus and fog from depth: known answers, and what more severity must do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from embedstore.datasets.corrupted.corruption import DEPTH_KINDS
from embedstore.datasets.corrupted.depth_maps import fitted
from embedstore.datasets.corrupted.from_depth import (
    BLURS,
    OPTICAL_DEPTHS,
    circle_of_confusion,
    defocused,
    fogged,
    rendered,
)
from embedstore.datasets.corrupted.reader import CLEAN
from embedstore.datasets.pictures import fit

SEVERITIES = range(1, 6)


@pytest.fixture(scope="module")
def photographs(imagenet_sample):
    """The middles of real photographs: (N, 112, 112, 3)."""
    pictures = []
    for path in sorted(imagenet_sample.glob("*/*"))[::170]:
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB").resize((160, 160)))[24:-24, 24:-24])
    return np.array(pictures)


@pytest.fixture(scope="module")
def motorcycle():
    """A photograph and its true depth in metres, NaN where none was measured."""
    data = pytest.importorskip("skimage.data")
    picture, _, disparity = data.stereo_motorcycle()
    measured = np.where(np.isfinite(disparity), disparity, np.nan).astype(float)
    # focal length in pixels, baseline in metres, and offset of the principal points, in its file
    depth = 994.978 * 0.193001 / (measured + 31.086)
    return fit(np.ascontiguousarray(picture), CLEAN), fitted(depth, CLEAN)


def errors(picture, depth, kind):
    """Mean squared error against the clean picture, by severity."""
    corrupted = [rendered(picture, depth, kind, s).astype(float) for s in SEVERITIES]
    return [((c - picture) ** 2).mean() for c in corrupted]


@pytest.mark.parametrize("kind", DEPTH_KINDS)
@pytest.mark.parametrize("metres", [1e-3, 3.7, 80.0])
def test_one_depth_alone_leaves_the_picture_as_it_was(photographs, kind, metres):
    depth = np.full(photographs.shape[1:3], metres)
    for severity in SEVERITIES:
        found = rendered(photographs[0], depth, kind, severity)
        np.testing.assert_array_equal(found, photographs[0])


@pytest.mark.parametrize("kind", DEPTH_KINDS)
def test_more_severity_is_less_similar_on_photographs_with_ramps(photographs, kind):
    ramp = np.repeat(np.linspace(6, 1, 112)[:, None], 112, axis=1)
    for picture in photographs:
        for depth in (ramp, ramp.T**2):
            found = errors(picture, depth, kind)
            assert found[0] > 1
            assert (np.diff(found) > 0).all(), found


@pytest.mark.parametrize("kind", DEPTH_KINDS)
def test_more_severity_is_less_similar_on_the_motorcycle(motorcycle, kind):
    found = errors(*motorcycle, kind)
    assert found[0] > 100
    assert (np.diff(found) > 0).all(), found


def test_focus_keeps_its_part_of_the_motorcycle_sharp(motorcycle):
    picture, depth = motorcycle
    near, far = depth < np.quantile(depth, 0.2), depth > np.quantile(depth, 0.8)
    change = {
        kind: np.abs(rendered(picture, depth, kind, 3).astype(int) - picture).mean(axis=2)
        for kind in ("near_focus", "far_focus")
    }
    assert change["near_focus"][far].mean() > 3 * change["near_focus"][near].mean()
    assert change["far_focus"][near].mean() > 3 * change["far_focus"][far].mean()


@pytest.mark.parametrize(("kind", "in_focus"), [("near_focus", 0), ("far_focus", 1)])
def test_of_two_planes_one_stays_as_it_was(photographs, kind, in_focus):
    depth = np.repeat([[1.0, 5.0]], 56, axis=1).repeat(112, axis=0)
    for severity in SEVERITIES:
        found = rendered(photographs[1], depth, kind, severity)
        halves = np.split(found, 2, axis=1)
        clean = np.split(photographs[1], 2, axis=1)
        np.testing.assert_array_equal(halves[in_focus], clean[in_focus])
        # the other is blurred as if the whole picture were, by the published standard deviation
        sigma = severity + 2.0
        assert BLURS[severity - 1] == sigma
        whole = gaussian_filter(photographs[1].astype(float), (sigma, sigma, 0), mode="nearest")
        blurred = np.split(whole, 2, axis=1)[1 - in_focus]
        np.testing.assert_allclose(halves[1 - in_focus], blurred, atol=0.51)


def test_circles_of_confusion_are_those_of_a_thin_lens():
    depth = np.array([[1.0, 2.0, 4.0]])
    np.testing.assert_allclose(circle_of_confusion(depth, 1.0), [[0, 2 / 3, 1]])
    np.testing.assert_allclose(circle_of_confusion(depth, 4.0), [[1, 1 / 3, 0]])


def test_blurs_between_two_layers_are_interpolated(photographs):
    picture = photographs[2]
    found = defocused(picture, np.full((112, 112), 2.25 / 8), widest=8.0)
    two, three = (
        gaussian_filter(picture.astype(float), (s, s, 0), mode="nearest") for s in (2.0, 3.0)
    )
    np.testing.assert_allclose(found, 0.75 * two + 0.25 * three, atol=0.51)


def test_fog_by_hand():
    picture = np.array([[[0, 100, 200], [10, 10, 40], [250, 90, 200]]], np.uint8)
    found = fogged(picture, np.array([[2.0, 3.0, 4.0]]), 2.0)
    light = 100  # 900 / 9
    for column, relative in enumerate((0.0, 0.5, 1.0)):
        t = math.exp(-2 * relative)
        expected = [round(t * int(v) + (1 - t) * light) for v in picture[0, column]]
        assert found[0, column].tolist() == expected
    assert OPTICAL_DEPTHS == (2, 4, 6, 8, 10)


@pytest.mark.parametrize("kind", DEPTH_KINDS)
def test_units_of_depth_do_not_matter(photographs, kind):
    depth = np.random.default_rng(1).uniform(1, 9, (112, 112))
    metres, millimetres = (rendered(photographs[0], d, kind, 4) for d in (depth, depth * 1000))
    assert np.abs(metres.astype(int) - millimetres).max() <= 1  # a half may round either way
