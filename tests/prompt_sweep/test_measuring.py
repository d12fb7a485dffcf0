"""Sums over blocks against heads, outcomes and bins; threads, order and blocks change nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedstore.errors import NonFiniteError
from embedstore.heads import Head, unit
from embedstore.kernels.bins import in_bins
from embedstore.kernels.outcomes import outcomes
from embedstore.labels import LabelSpace
from embedstore.prompt_sweep import measuring
from embedstore.prompt_sweep.images import Images, labelled_images, readable_images
from embedstore.prompt_sweep.measuring import Measurement, in_groups, measure

from .conftest import DIM, IDS, N_CLASSES, SCALE, drawn


@pytest.fixture
def images(store) -> Images:
    return labelled_images(store, "m", "id", store.samples("id")["label"].to_numpy())


@pytest.fixture
def weights() -> list[np.ndarray]:
    return [unit(drawn(N_CLASSES, seed)) for seed in range(3)]


ASKED = Measurement(SCALE, 15, "msp")


def test_against_a_heads_own_path(store, images, weights, monkeypatch):
    monkeypatch.setattr(measuring, "BLOCK_ROWS", 100)
    rows = np.delete(np.arange(600), [3, 129, 599])
    np.testing.assert_array_equal(images.rows, rows)
    labels = store.samples("id")["label"].to_numpy()[rows]
    for w, found in zip(weights, measure(weights, images, ASKED), strict=True):
        logits = Head(IDS, w, None, SCALE, normalize=True).logits(store.embeddings("m", "id")[rows])
        said = outcomes(logits, labels)
        assert (found.n_samples, found.n_correct) == (597, said.correct.sum())
        assert found.nll == pytest.approx(said.nll.mean(dtype=np.float64), abs=1e-5)
        bins = in_bins(said.confidence, said.correct, 15)
        assert found.ece == pytest.approx(bins.expected_calibration_error, abs=1e-6)
        np.testing.assert_allclose(found.scores, said.confidence, rtol=1e-5)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_any_count_of_threads_gives_the_same_bits(images, weights, monkeypatch, n_threads):
    monkeypatch.setattr(measuring, "BLOCK_ROWS", 50)
    expected = measure(weights, images, ASKED)
    monkeypatch.setattr(measuring, "n_threads", lambda: n_threads)
    for found, one in zip(measure(weights, images, ASKED), expected, strict=True):
        np.testing.assert_array_equal(found.sums, one.sums)
        np.testing.assert_array_equal(found.scores, one.scores)


def test_samples_may_come_in_any_order(images, weights):
    order = np.random.default_rng(0).permutation(len(images))
    mixed = Images("id", images.embeddings, images.rows[order], images.labels[order])
    for found, one in zip(
        measure(weights, mixed, ASKED), measure(weights, images, ASKED), strict=True
    ):
        np.testing.assert_allclose(found.sums, one.sums, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(found.scores, one.scores[order], rtol=1e-5)


@pytest.mark.parametrize("reduction", ["max", "mean"])
def test_mcm_over_classes_of_several_members_is_of_plain_cosines(images, weights, reduction):
    offsets = np.array([0, 2, 5])
    space = LabelSpace("pair", ("a", "b"), np.arange(N_CLASSES), offsets, reduction)
    images = replace(images, labels=images.labels % 2)
    asked = Measurement(SCALE, 15, "mcm", space)
    cosines = images.block(0, len(images)).astype(np.float64) @ weights[0].T
    of = {"max": np.maximum.reduceat, "mean": np.add.reduceat}[reduction]
    powers = of(np.exp(cosines), offsets[:2], axis=1)
    powers /= np.diff(offsets) if reduction == "mean" else 1
    found, unscored = (
        measure(weights[:1], images, a)[0] for a in (asked, replace(asked, score=None))
    )
    np.testing.assert_allclose(found.scores, powers.max(axis=1) / powers.sum(axis=1), atol=1e-6)
    np.testing.assert_array_equal(found.sums, unscored.sums)


def test_without_a_score_none_is_kept(images, weights):
    (found, *_) = measure(weights, images, Measurement(SCALE, 15))
    assert found.scores.shape == (0,)


def test_no_picture(store, weights):
    none = labelled_images(store, "m", "id", np.full(600, -1))
    (found, *_) = measure(weights, none, ASKED)
    assert (found.n_samples, found.n_correct) == (0, 0)
    assert np.isnan([found.nll, found.ece]).all()


def test_pictures_of_which_halves_are_chosen(store, images):
    half = np.arange(600) % 2 == 0
    assert (images.only(half).rows % 2 == 0).all()
    assert len(images.only(half)) + len(images.only(~half)) == len(images)
    assert len(readable_images(store, "m", "ood")) == 597


def test_a_picture_that_holds_infinity_is_named(store, add_images, weights):
    embeddings = drawn(80, 4)
    embeddings[70, 2] = np.inf
    add_images(store, "broken", embeddings, np.zeros(80, np.int64), IDS)
    broken = readable_images(store, "m", "broken")
    with pytest.raises(NonFiniteError, match="row 70 of data set 'broken'.*embedstore verify"):
        measure(weights, broken, ASKED)


def test_texts_that_hold_nan_are_refused(images):
    with pytest.raises(NonFiniteError, match="text embeddings"):
        measure([np.full((N_CLASSES, DIM), np.nan, np.float32)], images, ASKED)


@pytest.mark.parametrize(
    ("shape", "sizes"), [((5, 8), [16, 16, 8]), ((21_843, 768), [1] * 40), ((1000, 2048), [8] * 5)]
)
def test_groups_are_of_16_unless_weights_are_large(shape, sizes):
    assert [len(group) for group in in_groups(range(40), shape)] == sizes
