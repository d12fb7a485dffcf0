"""Names of corruptions, and the seeds that they give samples."""

from __future__ import annotations

import pytest

from embedstore.datasets.corrupted.corruption import Corruption
from embedstore.datasets.corrupted.kinds import corruptions, kinds
from embedstore.errors import EmbedStoreError, UnknownNameError


def test_kinds_are_all_of_the_library_and_those_of_depth():
    library = pytest.importorskip("imagecorruptions")
    assert kinds() == (*library.get_corruption_names("all"), "near_focus", "far_focus", "fog_3d")


@pytest.mark.parametrize(
    ("text", "severities"),
    [("fog:3", [3]), ("fog:2-4", [2, 3, 4]), ("fog:5-5", [5]), ("fog:all", [1, 2, 3, 4, 5])],
)
def test_one_severity_or_several(text, severities):
    assert corruptions(text) == [Corruption("fog", s) for s in severities]


@pytest.mark.parametrize("severity", ["0", "6", "4-2", "1-6", "1,2", "", "3.0", "\u0663", "three"])
def test_severities_that_there_are_not(severity):
    wanted = r"severity of fog .*; write one of 1, 2, 3, 4, 5, a range such as .*1-5.*, or fog:all"
    with pytest.raises(EmbedStoreError, match=wanted):
        corruptions(f"fog:{severity}")


def test_a_kind_that_there_is_not_lists_the_kinds():
    with pytest.raises(UnknownNameError, match="unknown corruption 'mist'; choose .*fog, fog_3d"):
        corruptions("mist:3")


def test_a_severity_must_be_named():
    with pytest.raises(EmbedStoreError, match="'fog' names no severity; write KIND:SEVERITY"):
        corruptions("fog")


def test_seeds_are_the_samples_own():
    found = {
        Corruption(kind, severity).seed(sample)
        for kind in ("fog", "snow")
        for severity in (1, 2)
        for sample in ("a", "b", "1", "ü", "\udcff")
    }
    assert len(found) == 20
    assert max(found) < 2**32
    # printf 'fog\\0003\\000n01440764/a' | sha256sum | cut -c1-8
    assert Corruption("fog", 3).seed("n01440764/a") == 3216657130
