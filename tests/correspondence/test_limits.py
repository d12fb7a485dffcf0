"""What is measured of a set of pairs, by preset, truth and what is asked for."""

from __future__ import annotations

import pytest

from embedstore.correspondence.limits import protocol_of, thresholds_in
from embedstore.errors import EmbedStoreError

METRES, PIXELS = [0.01, 0.02, 0.05], [5, 25, 50]
ROTATIONS = (0, 30, 60, 90, 120)


@pytest.mark.parametrize(
    ("truth", "preset", "thresholds", "bins", "sampling"),
    [
        ("depth", "navi", {"m": METRES, "px": PIXELS}, ROTATIONS, "bicubic"),
        ("depth", "scannet-pairs", {"px": [5, 10, 20]}, (0, 15, 30, 60, 180), "bilinear"),
        ("depth", None, {"m": METRES, "px": PIXELS}, ROTATIONS, "bilinear"),
        ("homography", None, {"px": PIXELS}, (), "bilinear"),
        ("disparity", "unknown", {"px": PIXELS}, (), "bilinear"),
        ("keypoints", "spair-71k", {"box": [0.1]}, (), "bilinear"),
    ],
)
def test_what_is_usual(truth, preset, thresholds, bins, sampling):
    protocol = protocol_of(truth, preset)
    assert protocol.thresholds == thresholds
    assert (protocol.bins, protocol.sampling) == (bins, sampling)


def test_what_is_asked_for():
    assert protocol_of("depth", "scannet-pairs", unit="m").thresholds == {"m": METRES}
    assert protocol_of("keypoints", None, unit="image").thresholds == {"image": [0.1]}
    asked = protocol_of("depth", "navi", unit="px", thresholds=[3], sampling="bilinear")
    assert (asked.thresholds, asked.sampling, asked.across) == ({"px": [3]}, "bilinear", 512)
    assert protocol_of("homography", None, thresholds=[2]).thresholds == {"px": [2]}
    assert protocol_of("homography", None, unit="box") is None
    with pytest.raises(
        EmbedStoreError, match="know m, px; give one with --unit, such as --unit px"
    ):
        protocol_of("depth", "navi", thresholds=[1])


@pytest.mark.parametrize("text", ["", ",", "1,", "0.5, 0.1,0.5", "nan", "inf", "-1", "1;2"])
def test_thresholds_as_a_user_writes_them(text):
    known = {"1,": [1], "0.5, 0.1,0.5": [0.1, 0.5]}
    if text in known:
        assert thresholds_in(text) == known[text]
        return
    with pytest.raises(EmbedStoreError, match="give numbers above 0 parted by commas"):
        thresholds_in(text)
