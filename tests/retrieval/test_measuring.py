"""Recall, ranks and precision of both directions, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.retrieval.captioned import CaptionRun, Counted
from embedstore.retrieval.measuring import DIRECTIONS, ask, summary
from embedstore.retrieval.streaming import count_pairs


def captioned(random, n_pictures, n_captions, vectors, kinds, n_texts):
    """Pictures and captions, equal texts alike, perhaps pictures without and texts of several."""
    text_of = np.unique(random.integers(0, n_texts, n_captions), return_inverse=True)[1]
    embeddings = vectors(random, n_texts, kinds)
    picture_of = np.sort(random.integers(0, n_pictures, n_captions))
    pictures = vectors(random, n_pictures, kinds)
    return all_of(pictures, embeddings[text_of], picture_of, text_of)


def all_of(pictures, captions, picture_of, text_of):
    """What counts where all does; arrays stand for stored ones."""
    every = np.arange(len(pictures)), np.arange(len(captions)), np.arange(len(captions))
    run = CaptionRun("m", "d", "captions--d")
    return Counted(run, pictures, captions, *every, picture_of, text_of, 0, 0)


def assert_answers(given, by_definition, ks, ties):
    counts = count_pairs(given.pictures(), given.captions(), given.picture_of)
    scores = given.pictures() @ given.captions().T
    for direction in DIRECTIONS:
        if max(ks) > scores.shape[direction == "image-to-text"]:
            continue
        for positives in ("same-text", "own"):
            found = ask(given, counts, direction, positives, ks, ties).found
            expected = by_definition(
                scores, given.picture_of, given.text_of, direction, positives, ks, ties
            )
            name = f"{direction}, {positives}"
            for i, column in enumerate((found.recalls.T, found.rank, found.reciprocal_rank)):
                wanted = [answer[i] for answer in expected]
                np.testing.assert_allclose(column, wanted, rtol=1e-12, err_msg=name)
            wanted = [answer.average_precision for answer in expected]
            np.testing.assert_allclose(found.average_precision, wanted, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("seed", range(200))
def test_pessimistic_ties(exact_vectors, by_definition, seed):
    random = np.random.default_rng(seed)
    n_pictures, n_captions = random.integers(1, 16), random.integers(1, 40)
    kinds, n_texts = random.integers(1, 20), random.integers(1, 30)
    given = captioned(random, n_pictures, n_captions, exact_vectors, kinds, n_texts)
    ks = tuple(sorted({1, *random.integers(1, min(n_pictures, n_captions) + 1, 2).tolist()}))
    assert_answers(given, by_definition, ks, "pessimistic")


@pytest.mark.parametrize("seed", range(40))
def test_expected_ties_are_the_mean_over_all_orders(exact_vectors, by_definition, seed):
    random = np.random.default_rng(seed)
    n_pictures, n_captions = random.integers(1, 6, 2)
    kinds, n_texts = random.integers(1, 4), random.integers(1, 5)
    given = captioned(random, n_pictures, n_captions, exact_vectors, kinds, n_texts)
    ks = tuple(range(1, min(n_pictures, n_captions) + 1))
    assert_answers(given, by_definition, ks, "expected")


def test_captions_of_a_picture_in_another_order_find_the_same(exact_vectors):
    random = np.random.default_rng(7)
    given = captioned(random, 12, 60, exact_vectors, 9, 25)
    order = np.lexsort((random.random(60), given.picture_of))
    other = all_of(
        given.pictures(), given.captions()[order], given.picture_of, given.text_of[order]
    )
    tables = []
    for pairs in (given, other):
        counts = count_pairs(pairs.pictures(), pairs.captions(), pairs.picture_of)
        asked = [ask(pairs, counts, way, "same-text", (1, 3), "expected") for way in DIRECTIONS]
        tables.append([summary(queries, (1, 3), 0) for queries in asked])
    for first, second in zip(*tables, strict=True):
        for a, b in zip(first, second, strict=True):
            assert a == pytest.approx(b, rel=1e-12)


def test_perfect_and_hopeless_retrieval():
    eye = np.eye(4, dtype=np.float32)
    rows = np.repeat(np.arange(4), 2)
    for captions, expected in ((eye[rows], 1.0), (np.roll(eye, 1, axis=0)[rows], 0.0)):
        given = all_of(eye, captions, rows, np.arange(8))
        counts = count_pairs(eye, captions, rows)
        for way in DIRECTIONS:
            queries = ask(given, counts, way, "same-text", (1,), "pessimistic")
            (row,) = summary(queries, (1,), 0)
            assert (row["recall"], row["map"]) == (expected, expected)
            assert row["recall_low"] <= expected <= row["recall_high"]


def test_equal_embeddings_everywhere():
    """All scores alike: the positive comes last, or anywhere."""
    rows = np.arange(10)
    same = np.tile(np.eye(1, 5, dtype=np.float32), (10, 1))
    given = all_of(same, same, rows, rows)
    counts = count_pairs(same, same, rows)
    for way in DIRECTIONS:
        (last,) = summary(ask(given, counts, way, "own", (9,), "pessimistic"), (9,), 0)
        assert (last["recall"], last["median_rank"], last["mrr"]) == (0, 10, 0.1)
        (anywhere,) = summary(ask(given, counts, way, "own", (9,), "expected"), (9,), 0)
        assert anywhere["recall"] == pytest.approx(0.9, abs=1e-14)
        assert anywhere["median_rank"] == pytest.approx(5.5)
        assert anywhere["mrr"] == pytest.approx((1 / np.arange(1, 11)).mean())
        assert anywhere["map"] == pytest.approx(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("n_captions", [1, 5])
def test_bounds_hold_the_truth_as_often_as_they_say(n_captions):
    """Captions of a picture are alike: bounds that took them as independent would be too narrow."""
    held = 0
    n = 60
    for seed in range(120):
        random = np.random.default_rng(seed)
        hit = random.random(n) < 0.4  # a picture whose captions find it first, all or none
        rows = np.repeat(np.arange(n), n_captions)
        pictures = np.eye(n, dtype=np.float32)
        captions = np.where(hit[rows, None], pictures[rows], pictures[(rows + 1) % n])
        given = all_of(pictures, captions, rows, np.arange(len(rows)))
        counts = count_pairs(pictures, captions, rows)
        queries = ask(given, counts, "text-to-image", "own", (1,), "pessimistic")
        (row,) = summary(queries, (1,), seed)
        held += row["recall_low"] <= 0.4 <= row["recall_high"]
    assert held / 120 > 0.9


@pytest.mark.parametrize(("direction", "n"), [("image-to-text", 6), ("text-to-image", 3)])
def test_all_that_there_are_can_be_asked_for(direction, n):
    eye, rows = np.eye(3, dtype=np.float32), np.repeat(np.arange(3), 2)
    given = all_of(eye, eye[rows], rows, np.arange(6))
    counts = count_pairs(eye, eye[rows], rows)
    (row,) = summary(ask(given, counts, direction, "own", (n,), "pessimistic"), (n,), 0)
    assert row["recall"] == 1
