"""Hard and easy classes, chosen on one half of the samples for the other."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from embedstore.errors import EmbedStoreError
from embedstore.heads.splits import hashed
from embedstore.interaction.hardness import SIDES, Side, chosen_classes, on_classes
from embedstore.store.datasets import DatasetRecord


def judged(random, shares: np.ndarray, n_each: int) -> pl.DataFrame:
    """An encoder right with each class's share, and a model right with the same by itself."""
    labels = np.repeat(np.arange(len(shares)), n_each)
    first, second = (random.random(len(labels)) < shares[labels] for _ in range(2))
    ids = [f"{label}/{i}" for i, label in enumerate(labels)]
    return pl.DataFrame({"sample_id": ids, "label": labels, "model": first, "encoder": second})


def record(n_classes: int) -> DatasetRecord:
    ids = tuple(f"n{i}" for i in range(n_classes))
    return DatasetRecord("d", "folder:d", "d", ids, ids, 0, "")


def sides(frame: pl.DataFrame, n_classes: int) -> list[pl.DataFrame]:
    """Samples of hard and of easy classes."""
    return [on_classes(frame, "encoder", side, record(n_classes)).samples for side in SIDES]


def gain(kept: pl.DataFrame) -> float:
    return kept["model"].mean() - kept["encoder"].mean()


def test_a_null_effect_stays_null_where_the_same_half_would_show_one():
    """All classes are equally hard: 200 classes of 12 samples, .5 each."""
    frame = judged(np.random.default_rng(1), np.full(200, 0.5), 12)
    hard, easy = sides(frame, 200)
    chosen, _ = chosen_classes(frame, "encoder", "hardest", record(200))
    naive = frame.join(chosen, "label", "semi")
    error = 2 * np.sqrt(0.5 / len(hard))  # two standard errors of a difference of two halves
    assert abs(gain(hard)) < error
    assert abs(gain(easy)) < error
    assert gain(naive) > 2 * error


def test_hard_classes_are_found_where_there_are_some():
    shares = np.repeat([0.1, 0.5, 0.9, 0.95], 5)
    frame = judged(np.random.default_rng(2), shares, 60)
    hard, easy = sides(frame, 20)
    assert set(hard["label"]) == {0, 1, 2, 3, 4}
    assert hard.height == 300
    assert min(easy["label"]) >= 10


def whole_classes(frame: pl.DataFrame, side: Side, n_classes: int) -> list[int]:
    """The hard or easy classes where no half is parted off."""
    chosen, _ = chosen_classes(frame, "encoder", side, record(n_classes))
    return sorted(chosen["label"].to_list())


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5, 16, 17, 1000])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_as_many_are_hard_as_easy_and_none_is_both(n_classes, share):
    frame = judged(np.random.default_rng(4), np.full(n_classes, share), 3)
    hard, easy = (whole_classes(frame, side, n_classes) for side in SIDES)
    assert len(hard) == len(easy) == -(-n_classes // 4)
    assert not set(hard) & set(easy)


def test_of_equal_classes_a_hash_of_ids_chooses_fairly():
    """The encoder errs in classes 0 and 1 only; 4 of 16 are hard."""
    frame = judged(np.random.default_rng(5), np.where(np.arange(16) < 2, 0.0, 1.0), 20)
    hard, easy = (on_classes(frame, "encoder", side, record(16)) for side in SIDES)
    assert {0, 1} < set(hard.samples["label"])
    assert hard.samples["label"].n_unique() == easy.samples["label"].n_unique() == 4
    assert not set(hard.samples["sample_id"]) & set(easy.samples["sample_id"])
    assert hard.note == (
        "the hardest classes end among 14 of equal accuracy, of which a hash of class ids chooses"
    )
    frame = judged(np.random.default_rng(5), np.ones(100), 2)
    counts = np.zeros(100)
    for seed in range(200):
        chosen, n_tied = chosen_classes(frame, "encoder", "easiest", record(100), seed=seed)
        counts[chosen["label"].to_numpy()] += 1
        assert n_tied == 100
    assert 25 < counts.min() <= counts.max() < 75  # binomial: 50 and four standard deviations


def test_no_tie_at_the_cut_is_no_note():
    frame = judged(np.random.default_rng(2), np.repeat([0.0, 0.5, 1.0, 1.0], 5), 60)
    assert on_classes(frame, "encoder", "hardest", record(20)).note is None
    assert "among 10 of" in str(on_classes(frame, "encoder", "easiest", record(20)).note)


@pytest.mark.parametrize("side", SIDES)
def test_as_a_loop_chooses(side):
    """Class 11 has no samples in one half, so that 11 classes are left: three of them are hard."""
    frame = judged(np.random.default_rng(3), np.linspace(0.2, 0.9, 12), 15)
    ids = frame["sample_id"].to_list()
    there = (frame["label"] < 11) | pl.Series(hashed(ids, 7, "hard classes") < 0.5)
    frame = frame.filter(there)
    half = hashed(frame["sample_id"].to_list(), 7, "hard classes") < 0.5
    chance = hashed(record(12).class_ids, 7, "classes of equal accuracy")
    labels, right = frame["label"].to_numpy(), frame["encoder"].to_numpy()
    expected = set()
    for own in (False, True):
        mean = {c: right[(half != own) & (labels == c)].mean() for c in range(11)}
        ordered = sorted(mean, key=lambda c: (mean[c], chance[c]), reverse=side == "easiest")
        rows = np.flatnonzero((half == own) & np.isin(labels, ordered[:3]))
        expected |= {frame["sample_id"][int(i)] for i in rows}
    found = on_classes(frame, "encoder", side, record(12), seed=7).samples
    assert set(found["sample_id"]) == expected
    assert found.height == len(expected)


def test_classes_of_one_half_alone_are_refused():
    for n_each in (1, 20):
        frame = judged(np.random.default_rng(0), np.ones(1), n_each)
        with pytest.raises(
            EmbedStoreError, match="fewer than two classes of 'd' have samples in both halves"
        ):
            on_classes(frame, "encoder", "hardest", record(1))
