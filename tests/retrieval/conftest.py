"""Retrieval by its definitions: the score of every pair, sorted lists, Python loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pytest

Array = np.ndarray[Any, np.dtype[Any]]


class Answer(NamedTuple):
    """What one query finds."""

    recalls: list[float]
    rank: float
    reciprocal_rank: float
    average_precision: float


def unit_vectors(random: np.random.Generator, n: int, kinds: int) -> Array:
    """Vectors of four entries ±1/2: products are exact in any order, and often equal."""
    different = np.zeros((kinds, 6), np.float32)
    for row in different:
        row[random.choice(6, 4, replace=False)] = random.choice([-0.5, 0.5], 4)
    return different[random.integers(0, kinds, n)]


def answer(scores: Sequence[float], right: Sequence[bool], ks: Sequence[int], ties: str) -> Answer:
    """Average over all orders that are as likely."""
    candidates = range(len(scores))
    if ties == "pessimistic":
        orders = [sorted(candidates, key=lambda i: (-scores[i], right[i]))]
    else:
        orders = [sorted(p, key=lambda i: -scores[i]) for p in permutations(candidates)]
    lists = [[right[i] for i in order] for order in orders]
    ranks = [found.index(True) + 1 for found in lists]
    n_right = sum(right)
    precisions = [
        sum(sum(found[: i + 1]) / (i + 1) for i in range(n_right) if found[i]) / n_right
        for found in lists
    ]
    return Answer(
        [fmean(rank <= k for rank in ranks) for k in ks],
        fmean(ranks),
        fmean(1 / rank for rank in ranks),
        fmean(precisions),
    )


def answers(
    scores: Array,
    picture_of: Sequence[int],
    text_of: Sequence[object],
    direction: str,
    positives: str,
    ks: Sequence[int],
    ties: str,
) -> list[Answer]:
    """What each picture with captions finds, or each caption, from (N, M) scores."""
    n_pictures, n_captions = scores.shape
    of = [
        {t for t, i in zip(text_of, picture_of, strict=True) if i == p} for p in range(n_pictures)
    ]

    def right(p: int, c: int) -> bool:
        return text_of[c] in of[p] if positives == "same-text" else picture_of[c] == p

    table = scores.tolist()
    if direction == "image-to-text":
        return [
            answer(table[p], [right(p, c) for c in range(n_captions)], ks, ties)
            for p in range(n_pictures)
            if of[p]
        ]
    columns = list(zip(*table, strict=True))
    return [
        answer(columns[c], [right(p, c) for p in range(n_pictures)], ks, ties)
        for c in range(n_captions)
    ]


@pytest.fixture(scope="session")
def by_definition() -> Callable[..., list[Answer]]:
    """The reference."""
    return answers


@pytest.fixture(scope="session")
def exact_vectors() -> Callable[..., Array]:
    """Unit vectors that tie."""
    return unit_vectors
