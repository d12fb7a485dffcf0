"""MCM and NegLabel against their papers' formulas, pytorch-ood, and planted pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from embedstore.detection import Subject, UndefinedScoreError
from embedstore.detection.logit_scores import msp
from embedstore.detection.subject import Block, Part
from embedstore.detection.zero_shot_scores import mcm, mined, neglabel
from embedstore.errors import EmbedStoreError
from embedstore.heads.head import Head, unit
from embedstore.heads.stored import save_head
from embedstore.kernels.log_odds import mean_share, top_log_odds
from embedstore.stats.detection import detection
from embedstore.testing.stores import random_store
from embedstore.testing.texts import add_prompts

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch's, on being imported
    from pytorch_ood.detector import MCM

DIM, N_WORDS, WORDS = 16, 41, "words--classes"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A zero-shot head over six classes, 41 words of two prompts each, and a head that is none."""
    path = tmp_path_factory.mktemp("zero-shot") / "s"
    store = random_store(path, n_samples=60, n_classes=6, dim=DIM, failed=(2,))
    random = np.random.default_rng(1)
    embeddings = random.normal(size=(2 * N_WORDS, DIM)).astype(np.float32)
    words = [f"word-{i}" for i in range(N_WORDS)]
    add_prompts(store, "model", "words", words, embeddings, np.repeat(range(N_WORDS), 2))
    classes = store.dataset("data").class_ids
    weights = random.normal(size=(6, DIM)).astype(np.float32)
    save_head(store, "model", "linear", Head(classes, 3 * weights))
    bias = np.full(6, -7, np.float32)
    save_head(store, "model", "siglip", Head(classes, unit(weights), bias, 20.0, normalize=True))
    return store


def subject_of(store, head="own", negatives=WORDS):
    return Subject(store, "model", head, "data", negatives=negatives)


def scored(scorer, subject):
    return np.concatenate([scorer(block) for block in subject.blocks(Part("data"))])


def embeddings_of(store):
    found = np.asarray(store.embeddings("model", "data"), np.float64)
    found = found[~np.isnan(found[:, 0])]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def word_embeddings(store):
    texts = np.asarray(store.text_embeddings("model", WORDS), np.float64)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    words = texts.reshape(N_WORDS, 2, DIM).mean(axis=1)
    return words / np.linalg.norm(words, axis=1, keepdims=True)


@pytest.mark.parametrize("head", ["own", "siglip"])
@pytest.mark.parametrize("temperature", [1.0, 0.01, 3.0])
def test_mcm_is_its_papers_formula_and_minus_pytorch_oods(store, head, temperature):
    subject = subject_of(store, head)
    found = scored(mcm(subject, temperature=temperature), subject)
    x, texts = embeddings_of(store), subject.weights.astype(np.float64)
    expected = softmax(x @ texts.T / temperature, axis=1).max(axis=1)
    # a cosine in float32 is off by 1e-7, and by so much more once divided by τ
    tolerance = max(1e-6, 2e-7 / temperature)
    np.testing.assert_allclose(found, expected, atol=tolerance)
    theirs = MCM(None, torch.from_numpy(texts), temperature).predict_features(torch.from_numpy(x))
    np.testing.assert_allclose(found, -theirs.numpy(), atol=tolerance)


def test_scaled_mcm_is_the_probability_that_the_head_gives(store):
    for head in ("own", "siglip"):
        subject = subject_of(store, head)
        found = scored(mcm(subject, scaled=True), subject)
        np.testing.assert_allclose(found, scored(msp(subject), subject), atol=1e-5)
        halved = scored(mcm(subject, scaled=True, temperature=subject.head.scale), subject)
        np.testing.assert_allclose(halved, scored(mcm(subject), subject), atol=1e-6)


@pytest.mark.parametrize("head", ["own", "siglip"])
def test_cosines_are_found_in_logits_where_no_embedding_is_stored(store, head):
    subject = subject_of(store, head)
    (block,) = subject.blocks(Part("data", np.arange(60) < 16))
    without = Block(subject, block.labels, None, block.logits)
    np.testing.assert_allclose(mcm(subject)(without), mcm(subject)(block), atol=1e-6)


def test_mcm_tells_samples_apart_whose_probabilities_float32_rounds_to_1():
    cosines = np.array([[0.5, 0.3, 0.2], [0.5, 0.29, 0.2]], np.float32)
    subject = SimpleNamespace(zero_shot=True, head=SimpleNamespace(scale=100.0), head_name="h")
    found = mcm(subject, scaled=True)(SimpleNamespace(cosines=cosines))
    assert np.float32(found[0]) == np.float32(found[1]) == 1
    assert found[0] < found[1] < 1


def as_the_authors_group(positive, negative, groups, temperature):
    """Their `grouping`: softmax of the classes and one group at a time, summed over the classes."""
    shares = []
    for group in groups:
        full = np.concatenate([positive, negative[:, group]], axis=1) / temperature
        shares.append(softmax(full, axis=1)[:, : positive.shape[1]].sum(axis=1))
    return np.mean(shares, axis=0)


@pytest.mark.parametrize("temperature", [0.01, 0.2])
@pytest.mark.parametrize(("n_negatives", "n_groups"), [(10_000, 1), (10_000, 7), (23, 4), (1, 1)])
def test_neglabel_is_what_the_authors_compute(store, temperature, n_negatives, n_groups):
    subject = subject_of(store)
    words, classes = word_embeddings(store), subject.weights.astype(np.float64)
    nearness = torch.quantile(torch.from_numpy(words @ classes.T), q=0.95, dim=-1)
    chosen = torch.argsort(nearness).numpy()[:n_negatives]
    chosen = chosen[: len(chosen) - len(chosen) % n_groups]
    # which words share a group is chance: ours, as theirs, comes from a seeded permutation
    shuffled = np.random.default_rng(3).permutation(chosen)
    x = embeddings_of(store)
    groups = shuffled.reshape(n_groups, -1)
    expected = as_the_authors_group(x @ classes.T, x @ words.T, groups, temperature)
    scorer = neglabel(
        subject, temperature=temperature, n_negatives=n_negatives, n_groups=n_groups, seed=3
    )
    tolerance = max(1e-6, 2e-7 / temperature)
    np.testing.assert_allclose(scored(scorer, subject), expected, atol=tolerance)


def test_the_farthest_words_are_mined_and_ties_go_to_the_earlier():
    classes = np.eye(4, dtype=np.float32)[:2]
    words = np.array([[0.6, 0, 0.8, 0], [0, 0, 1, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    assert mined(words, classes, 9, quantile=1.0).tolist() == [1, 2, 3, 0]
    assert mined(words, classes, 1, quantile=0.0).tolist() == [2]
    assert mined(words, classes, 2, quantile=0.5).tolist() == [2, 1]


def test_many_words_are_mined_in_pieces():
    random = np.random.default_rng(0)
    words = unit(random.normal(size=(2_345, 8)).astype(np.float32))
    classes = unit(random.normal(size=(30, 8)).astype(np.float32))
    at_once = np.argsort(np.quantile(words @ classes.T, 0.95, axis=1), kind="stable")
    assert mined(words, classes, 700, 0.95).tolist() == at_once[:700].tolist()


@pytest.mark.parametrize("beta", [1.0, 100.0, 5_000.0])
def test_shares_neither_overflow_nor_vanish(beta):
    random = np.random.default_rng(0)
    ours = random.uniform(-1, 1, (300, 5)).astype(np.float32)
    others = random.uniform(-1, 1, (300, 12)).astype(np.float32)
    groups = np.arange(12).reshape(4, 3)
    expected = as_the_authors_group(
        ours.astype(np.float64), others.astype(np.float64), groups, 1 / beta
    )
    found = mean_share(ours, others, 4, inverse_temperature=beta)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-12)


UNCOMPILED = """
import sys
import numpy as np
from embedstore.kernels.log_odds import mean_share, top_log_odds
given = np.load(sys.argv[1])
print(*mean_share(given["ours"], given["others"], 3, inverse_temperature=900.0))
print(*top_log_odds(given["ours"], inverse_temperature=900.0))
"""


def test_uncompiled_kernels_say_the_same(tmp_path):
    random = np.random.default_rng(0)
    ours = random.uniform(-1, 1, (20, 5)).astype(np.float32)
    others = random.uniform(-1, 1, (20, 6)).astype(np.float32)
    np.savez(tmp_path / "given.npz", ours=ours, others=others)
    printed = subprocess.run(
        [sys.executable, "-c", UNCOMPILED, tmp_path / "given.npz"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    expected = [
        mean_share(ours, others, 3, inverse_temperature=900.0),
        top_log_odds(ours, inverse_temperature=900.0),
    ]
    np.testing.assert_allclose(
        np.array(printed.stdout.split(), float), np.ravel(expected), rtol=1e-5, atol=1e-300
    )


def test_pictures_of_negative_words_are_out_of_distribution(store):
    """Pictures near one class are ID, near one word OOD; neglabel tells them where MCM is worse."""
    subject, random = subject_of(store), np.random.default_rng(2)
    near = [subject.weights, word_embeddings(store)]
    blocks = []
    for centres in near:
        drawn = centres[random.integers(0, len(centres), 500)]
        noise = 0.2 * random.normal(size=drawn.shape)
        labels = np.full(500, -1)
        blocks.append(Block(subject, labels, (drawn + noise).astype(np.float32), None))
    found = {
        name: detection(*map(scorer, blocks)).auroc.value
        for name, scorer in (
            ("neglabel", neglabel(subject, n_groups=4, temperature=0.1)),
            ("mcm", mcm(subject)),
        )
    }
    assert found["neglabel"] > 0.95
    assert found["neglabel"] > found["mcm"] > 0.5


def test_where_they_mean_nothing(store):
    for score in (mcm, neglabel):
        with pytest.raises(UndefinedScoreError, match="'linear' is not zero-shot: its logits are"):
            score(subject_of(store, "linear"))
    with pytest.raises(UndefinedScoreError, match="is named; give --negatives"):
        neglabel(subject_of(store, negatives=""))
    with pytest.raises(UndefinedScoreError, match="no text set 'nouns' is encoded with 'model'"):
        neglabel(subject_of(store, negatives="nouns"))


def test_captions_are_no_words():
    kept = SimpleNamespace(
        text_sets=lambda model: ["captions--data"],
        texts=lambda name: (SimpleNamespace(class_ids=()), None),
    )
    given = SimpleNamespace(store=kept, model="model", negatives="captions--data", zero_shot=True)
    with pytest.raises(EmbedStoreError, match="'captions--data' holds captions; give --negatives"):
        neglabel(given)


def test_bad_hyperparameters(store):
    subject = subject_of(store)
    with pytest.raises(UndefinedScoreError, match="41 negative labels make no 100 groups"):
        neglabel(subject)
    with pytest.raises(UndefinedScoreError, match="3 negative labels make no 4 groups"):
        neglabel(subject, n_negatives=3, n_groups=4)
    for given, message in (
        ({"quantile": 1.1}, "quantile is 1.1; give a number from 0 to 1"),
        ({"n_negatives": 0}, "n_negatives is 0; give a number above 0"),
        ({"n_groups": 0}, "n_groups is 0; give a number above 0"),
        ({"temperature": 0}, "temperature is 0; give a number above 0"),
    ):
        with pytest.raises(EmbedStoreError, match=message):
            neglabel(subject, **{"n_groups": 4, **given})
    with pytest.raises(EmbedStoreError, match="temperature is inf"):
        mcm(subject, temperature=np.inf)
