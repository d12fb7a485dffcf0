"""Hard and easy classes, chosen on one half of the samples for the other."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from embedstore.errors import EmbedStoreError
from embedstore.heads.splits import hashed
from embedstore.interaction.hardness import chosen_classes, on_classes


def judged(random, shares: np.ndarray, n_each: int) -> pl.DataFrame:
    """An encoder right with each class's share, and a model right with the same by itself."""
    labels = np.repeat(np.arange(len(shares)), n_each)
    first, second = (random.random(len(labels)) < shares[labels] for _ in range(2))
    ids = [f"{label}/{i}" for i, label in enumerate(labels)]
    return pl.DataFrame({"sample_id": ids, "label": labels, "model": first, "encoder": second})


def gain(kept: pl.DataFrame) -> float:
    return kept["model"].mean() - kept["encoder"].mean()


def test_a_null_effect_stays_null_where_the_same_half_would_show_one():
    """All classes are equally hard: 200 classes of 12 samples, .5 each."""
    frame = judged(np.random.default_rng(1), np.full(200, 0.5), 12)
    hard, easy = (on_classes(frame, "encoder", s, dataset="d") for s in ("hardest", "easiest"))
    naive = frame.join(chosen_classes(frame, "encoder", "hardest"), "label", "semi")
    error = 2 * np.sqrt(0.5 / len(hard))  # two standard errors of a difference of two halves
    assert abs(gain(hard)) < error
    assert abs(gain(easy)) < error
    assert gain(naive) > 2 * error


def test_hard_classes_are_found_where_there_are_some():
    shares = np.repeat([0.1, 0.5, 0.9, 0.95], 5)
    frame = judged(np.random.default_rng(2), shares, 60)
    hard, easy = (on_classes(frame, "encoder", s, dataset="d") for s in ("hardest", "easiest"))
    assert set(hard["label"]) == {0, 1, 2, 3, 4}
    assert hard.height == 300
    assert min(easy["label"]) >= 10


@pytest.mark.parametrize("side", ["hardest", "easiest"])
def test_as_a_loop_chooses(side):
    frame = judged(np.random.default_rng(3), np.linspace(0.2, 0.9, 12), 15)
    half = hashed(frame["sample_id"].to_list(), 7, "hard classes") < 0.5
    labels, right = frame["label"].to_numpy(), frame["encoder"].to_numpy()
    expected = set()
    for own in (False, True):
        mean = {c: right[(half != own) & (labels == c)].mean() for c in range(12)}
        ordered = sorted(mean.values(), reverse=side == "easiest")
        bound = ordered[2]  # a quarter of 12, counted from the end: positions 0 to 2.75
        chosen = {c for c in mean if (mean[c] <= bound if side == "hardest" else mean[c] >= bound)}
        rows = np.flatnonzero((half == own) & np.isin(labels, list(chosen)))
        expected |= {frame["sample_id"][int(i)] for i in rows}
    found = on_classes(frame, "encoder", side, dataset="d", seed=7)
    assert set(found["sample_id"]) == expected
    assert found.height == len(expected)


def test_classes_of_one_half_alone_are_refused():
    frame = pl.DataFrame({"sample_id": ["a"], "label": [0], "encoder": [True]})
    with pytest.raises(EmbedStoreError, match="no class of 'd' has samples in both halves"):
        on_classes(frame, "encoder", "hardest", dataset="d")
