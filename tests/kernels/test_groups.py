"""Groups of logits against their definitions, in float64."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.kernels.groups import reduce_groups

RANDOM = np.random.default_rng(0)


def naive(logits, columns, offsets, mean):
    z = logits.astype(np.float64)
    groups = [columns[a:b] for a, b in pairwise(offsets)]
    if mean:
        return np.stack([np.log(np.exp(z[:, g]).mean(1)) for g in groups], axis=1)
    return np.stack([z[:, g].max(1) for g in groups], axis=1)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=5),
    st.booleans(),
)
def test_every_group_is_reduced_to_its_largest_or_its_mean_power(groups, mean):
    logits = RANDOM.normal(0, 5, (3, 7)).astype(np.float32)
    columns = np.array([c for g in groups for c in g], np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(g) for g in groups])]).astype(np.int64)
    got = reduce_groups(logits, columns, offsets, mean=mean)
    np.testing.assert_allclose(got, naive(logits, columns, offsets, mean), rtol=1e-6, atol=1e-6)


def test_the_argmax_is_that_of_the_mean_of_probabilities():
    # Geirhos et al. (2019): softmax over all classes, then the mean over each class's members.
    logits = RANDOM.normal(0, 3, (2000, 40)).astype(np.float32)
    columns, offsets = RANDOM.permutation(40)[:30].astype(np.int64), np.array([0, 1, 5, 17, 30])
    power = np.exp(logits.astype(np.float64))
    probabilities = power / power.sum(1, keepdims=True)
    means = np.stack(
        [probabilities[:, columns[a:b]].mean(1) for a, b in pairwise(offsets)],
        axis=1,
    )
    got = reduce_groups(logits, columns, offsets, mean=True)
    np.testing.assert_array_equal(got.argmax(1), means.argmax(1))
    softmax = np.exp(got.astype(np.float64))
    np.testing.assert_allclose(
        softmax / softmax.sum(1, keepdims=True), means / means.sum(1, keepdims=True), rtol=1e-5
    )


def test_logits_far_apart_do_not_overflow():
    logits = np.float32([[1e4, -1e4, 0], [-3e4, -3e4, -3e4]])
    got = reduce_groups(logits, np.array([0, 1, 2]), np.array([0, 2, 3]), mean=True)
    np.testing.assert_allclose(got, [[1e4 - np.log(2), 0], [-3e4, -3e4]], rtol=1e-6)


@pytest.mark.parametrize(
    ("columns", "offsets", "message"),
    [
        ([0, 7], [0, 2], "columns up to 7"),
        ([0, 1], [0, 2, 2], "no member"),
        ([0], [0], "no member"),
    ],
)
def test_what_does_not_fit_is_refused_before_compiled_code_sees_it(columns, offsets, message):
    with pytest.raises(EmbedStoreError, match=message):
        reduce_groups(np.zeros((2, 7), np.float32), np.array(columns), np.array(offsets), mean=True)
