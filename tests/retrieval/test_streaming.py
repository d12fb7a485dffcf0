"""Counts of what comes before each pair, against a dense matrix."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore import accelerate
from embedstore.retrieval import streaming
from embedstore.retrieval.streaming import count_pairs

COUNTS = ("captions_above", "captions_reaching", "pictures_above", "pictures_reaching")


def dense(scores, picture_of):
    """(N, M) scores -> the four counts of each caption and its picture."""
    own = scores[picture_of, np.arange(len(picture_of))]
    rows = scores[picture_of]
    return {
        "captions_above": (rows > own[:, None]).sum(1),
        "captions_reaching": (rows >= own[:, None]).sum(1),
        "pictures_above": (scores > own).sum(0),
        "pictures_reaching": (scores >= own).sum(0),
    }


def assert_counted(counts, scores, picture_of):
    for name, expected in dense(scores, picture_of).items():
        np.testing.assert_array_equal(getattr(counts, name), expected, err_msg=name)


def unit_normal(random, n, dim):
    rows = random.standard_normal((n, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(150))
def test_heavy_ties_over_many_tiles(monkeypatch, exact_vectors, seed):
    random = np.random.default_rng(seed)
    monkeypatch.setattr(streaming, "TILE", tuple(random.integers(1, 9, 2).tolist()))
    n_pictures, n_captions, kinds = random.integers(1, 30, 3)
    pictures = exact_vectors(random, n_pictures, kinds)
    captions = exact_vectors(random, n_captions, kinds)
    picture_of = np.sort(random.integers(0, n_pictures, n_captions))
    assert_counted(count_pairs(pictures, captions, picture_of), pictures @ captions.T, picture_of)


@pytest.mark.parametrize(
    ("n_pictures", "n_captions"), [(512, 1024), (513, 1023), (1030, 2051), (1, 1)]
)
def test_real_numbers_at_the_edges_of_tiles(n_pictures, n_captions):
    random = np.random.default_rng(1)
    picture_of = np.sort(random.integers(0, n_pictures, n_captions))
    captions = unit_normal(random, n_captions, 64)
    pictures = unit_normal(random, n_pictures, 64) + captions.mean(axis=0)
    counts = count_pairs(pictures, captions, picture_of)
    assert_counted(counts, pictures @ captions.T, picture_of)
    np.testing.assert_allclose(counts.scores, (pictures[picture_of] * captions).sum(1), atol=1e-6)


@pytest.mark.parametrize("dim", [77, 384, 512, 1024])
def test_equal_embeddings_tie_wherever_they_stand(dim):
    random = np.random.default_rng(dim)
    kinds_of_pictures, kinds_of_captions = random.integers(0, 40, 1100), np.arange(2300) % 60
    pictures = unit_normal(random, 40, dim)[kinds_of_pictures]
    captions = unit_normal(random, 60, dim)[kinds_of_captions]
    picture_of = np.sort(random.integers(0, 1100, 2300))
    counts = count_pairs(pictures, captions, picture_of)
    tied = counts.captions_reaching - counts.captions_above
    np.testing.assert_array_equal(tied, np.bincount(kinds_of_captions)[kinds_of_captions])
    tied = counts.pictures_reaching - counts.pictures_above
    alike = np.bincount(kinds_of_pictures)[kinds_of_pictures[picture_of]]
    np.testing.assert_array_equal(tied, alike)


def test_counts_are_the_same_on_any_number_of_threads(monkeypatch):
    random = np.random.default_rng(2)
    pictures, captions = unit_normal(random, 300, 32), unit_normal(random, 700, 32)
    picture_of = np.sort(random.integers(0, 300, 700))
    monkeypatch.setattr(streaming, "TILE", (64, 128))
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(accelerate, "n_threads", lambda threads=threads: threads)
        found.append(count_pairs(pictures, captions, picture_of))
    for name in ("scores", *COUNTS):
        for other in found[1:]:
            np.testing.assert_array_equal(getattr(other, name), getattr(found[0], name))


def test_a_picture_without_captions_is_a_candidate_and_nothing_else():
    pictures = np.eye(3, dtype=np.float32)
    counts = count_pairs(pictures, pictures[[0, 1]], np.array([0, 2]))
    assert counts.scores.tolist() == [1, 0]
    assert counts.pictures_above.tolist() == [0, 1]
    assert counts.pictures_reaching.tolist() == [1, 3]
    assert counts.captions_reaching.tolist() == [1, 2]
