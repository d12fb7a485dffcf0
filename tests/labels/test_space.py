"""Label spaces: how a head's classes meet a data set's."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedstore.labels import label_space

LOGITS = np.arange(12, dtype=np.float32).reshape(2, 6)
IDS = tuple("abcdef")


def test_the_same_classes_change_nothing():
    space = label_space(IDS, IDS, "d")
    assert (space.name, space.labelled) == ("all", True)
    assert space.cut(LOGITS) is LOGITS


@given(st.permutations(IDS))
def test_a_permutation_permutes(order):
    space = label_space(IDS, order, "d")
    assert space.name == "all"
    np.testing.assert_array_equal(space.cut(LOGITS), LOGITS[:, [IDS.index(c) for c in order]])


def test_a_subset_is_cut_in_the_data_sets_order():
    space = label_space(IDS, ("e", "b"), "d")
    assert (space.name, space.labelled) == ("d", True)
    np.testing.assert_array_equal(space.cut(LOGITS), LOGITS[:, [4, 1]])
    assert space.class_ids == ("e", "b")


def test_classes_that_the_head_does_not_know_leave_no_label():
    for ids in ((), ("a", "zebra")):
        space = label_space(IDS, ids, "d")
        assert (space.name, space.labelled) == ("head", False)
        assert space.cut(LOGITS) is LOGITS
        assert space.class_ids == IDS
