"""Matches against whole matrices in float64, planted cases, ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.correspondence import matching
from embedstore.correspondence.matching import Rules, match

RULES = [Rules(r, m, k) for r in (True, False) for m in (True, False) for k in (0, 7)]


def unit(x):
    return np.ascontiguousarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def reference(a, b, rules):
    """By definition, from all distances in float64."""
    distances = 1 - a.astype(float) @ b.astype(float).T
    order = np.argsort(distances, axis=1, kind="stable")
    found = []
    for i in range(len(a)):
        j = order[i, 0]
        d1, d2 = distances[i, order[i, :2]]
        weight = 1 - d1 / d2 if rules.ratio_test else 1 - d1
        if rules.mutual and distances[:, j].argmin() != i:
            continue
        found.append((-weight, i, j))
    found.sort()
    return found[: rules.keep or None]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("tile", [(512, 1024), (16, 13)])
def test_matches_are_those_of_the_whole_matrix(monkeypatch, rules, tile):
    monkeypatch.setattr(matching, "TILE", tile)
    random = np.random.default_rng(0)
    a, b = unit(random.normal(size=(75, 20))), unit(random.normal(size=(60, 20)))
    found, expected = match(a, b, rules), reference(a, b, rules)
    assert len(expected) >= 7
    np.testing.assert_array_equal(found.first, [i for _, i, _ in expected])
    np.testing.assert_array_equal(found.second, [j for _, _, j in expected])
    np.testing.assert_allclose(found.weights, [-w for w, _, _ in expected], atol=1e-6)


def test_the_ratio_test_keeps_what_is_distinct():
    """Near points are in a crowd and fit almost exactly; far ones have one candidate, and fit less.

    Taken the wrong way around, or by distance alone, the crowd would be kept.
    """
    random = np.random.default_rng(1)
    crowd = unit(random.normal(size=(1, 64))) + 1e-3 * random.normal(size=(30, 64))
    alone = random.normal(size=(10, 64))
    b = unit(np.concatenate([crowd, alone]))
    noise = np.repeat([4e-4, 0.02], [30, 10])[:, None]  # of the unit vectors
    a = unit(b + noise * random.normal(size=b.shape))
    kept = match(a, b, Rules(ratio_test=True, mutual=False, keep=10))
    assert sorted(kept.first) == list(range(30, 40))
    np.testing.assert_array_equal(kept.first, kept.second)
    nearest = match(a, b, Rules(ratio_test=False, mutual=False, keep=10))
    assert set(nearest.first) <= set(range(30))


def test_a_point_equally_near_to_two_is_no_match_of_the_ratio_test():
    b = unit(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float))
    a = b[[0, 2]]
    found = match(a, b, Rules(ratio_test=True, mutual=False, keep=0))
    assert (found.first.tolist(), found.second.tolist(), found.weights.tolist()) == ([1], [2], [1])
    found = match(a, b, Rules(ratio_test=False, mutual=False, keep=0))
    assert (found.first.tolist(), found.second.tolist()) == ([0, 1], [0, 2])  # the lower of equals


def test_a_twin_is_no_match_of_the_ratio_test_whatever_lies_between():
    """A third row is as near as float32 products tell, and hides one of the two that are equal."""
    b = unit(np.array([[1, 0, 0], [1, 1e-5, 0], [1, 0, 0], [0, 0, 1]]))
    twins = np.array([True, False, True, False])
    found = match(b[[1, 2, 3]], b, Rules(ratio_test=True, mutual=False, keep=0), twins)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) <= {(0, 1), (2, 3)}
    assert (2, 3) in zip(found.first, found.second, strict=True)
    found = match(b[[2]], b, Rules(ratio_test=False, mutual=False, keep=0), twins)
    assert found.second[0] in (0, 1, 2)


def test_only_what_is_nearest_both_ways_is_mutual():
    b = unit(np.array([[1, 0], [0, 1]], float))
    a = unit(np.array([[1, 0.3], [1, 0.1], [0.2, 1]]))
    found = match(a, b, Rules(ratio_test=False, mutual=True, keep=0))
    assert sorted(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(1, 0), (2, 1)]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_whatever_the_tile_and_the_ties(seed, data):
    """Vectors of whole numbers: products are exact, nearly everything ties."""
    random = np.random.default_rng(seed)
    n, m = data.draw(st.integers(1, 40)), data.draw(st.integers(2, 40))
    kinds = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [-1, 1, 1, -1], [0, 0, 0, 0]], np.float32) / 2
    a, b = kinds[random.integers(0, 4, n)], kinds[random.integers(0, 4, m)]
    rules = Rules(data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.integers(0, 9)))
    whole = match(a, b, rules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            matching, "TILE", (data.draw(st.integers(1, 9)), data.draw(st.integers(2, 9)))
        )
        tiled = match(a, b, rules)
    np.testing.assert_array_equal(tiled.first, whole.first)
    np.testing.assert_array_equal(tiled.second, whole.second)
    scores = a @ b.T
    for i, j in zip(whole.first, whole.second, strict=True):
        assert j == scores[i].argmax()
        assert not rules.mutual or i == scores[:, j].argmax()
        assert not rules.ratio_test or (scores[i] == scores[i].max()).sum() == 1
