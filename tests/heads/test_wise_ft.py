"""Heads between heads: both ends, the middle, classes in any order, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.heads import Head, interpolate
from embedstore.heads.tip_adapter import build_cache

IDS = tuple("abcde")


def random_head(seed: int, order=range(5), *, scale=1.0, bias=True, normalize=False) -> Head:
    random = np.random.default_rng(seed)
    weights = random.normal(size=(5, 7)).astype(np.float32)
    b = random.normal(size=5).astype(np.float32) if bias else None
    ids = tuple(IDS[i] for i in order)
    return Head(ids, weights, b, scale, normalize)


@settings(deadline=None)
@given(
    st.permutations(range(5)),
    st.floats(0.1, 100),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_alpha_0_and_1_are_the_ends_and_the_middle_is_the_mean(order, scale, bias, unit, seed):
    start = random_head(seed, scale=scale, bias=bias, normalize=unit)
    end = random_head(seed + 1, order, normalize=unit)
    x = np.random.default_rng(seed).normal(size=(6, 7)).astype(np.float16)
    columns = [order.index(i) for i in range(5)]
    near, far = start.logits(x), end.logits(x)[:, columns]
    np.testing.assert_array_equal(interpolate(start, end, 0.0).logits(x), near)
    np.testing.assert_allclose(interpolate(start, end, 1.0).logits(x), far, rtol=1e-5, atol=1e-5)
    for alpha in (0.25, 0.5):
        expected = (1 - alpha) * near + alpha * far  # linear in the weights, so in the logits
        found = interpolate(start, end, alpha)
        assert found.class_ids == IDS
        np.testing.assert_allclose(found.logits(x), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": None, "bias": None}, "the head of --to is native"),
        ({"cache": build_cache(np.ones((1, 7)), np.zeros(1), 1, 1)}, "--to has a cache"),
        ({"class_ids": tuple("abcdf")}, "differ in 2 classes, such as 'e'"),
        ({"normalize": True}, r"unit length \(normalize\).*head fit --normalize"),
        ({"weights": np.ones((5, 6), np.float32)}, "of 7 and 6 dimensions"),
    ],
)
def test_what_does_not_go_together_is_named(change, message):
    with pytest.raises(EmbedStoreError, match=message):
        interpolate(random_head(0), replace(random_head(1), **change), 0.5)


def test_alpha_beyond_the_ends_is_refused():
    with pytest.raises(EmbedStoreError, match=r"--alpha 1.5 is not in \[0, 1\]"):
        interpolate(random_head(0), random_head(1), 1.5)
