"""Counts of bits beside counts of Booleans."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.kernels.bitsets import count_in_each, packed


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 5), st.integers(0, 2**32))
def test_counts_are_those_of_the_samples(n_samples, n_sets, seed):
    random = np.random.default_rng(seed)
    sets, members = random.random((n_sets, n_samples)) < 0.4, random.random(n_samples) < 0.5
    counts = count_in_each(packed(sets), packed(members))
    assert counts.tolist() == [int((s & members).sum()) for s in sets]


def test_whole_words_and_the_bit_after():
    for n_samples in (63, 64, 65, 128, 129):
        everyone = packed(np.ones(n_samples, bool))
        assert everyone.shape == (-(-n_samples // 64),)
        assert count_in_each(everyone[None], everyone).tolist() == [n_samples]
