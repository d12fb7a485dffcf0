"""ReAct, ASH, SCALE and DICE against transcriptions of their papers, pytorch-ood, bad subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from embedstore.detection import activation_scores
from embedstore.detection.activation_scores import largest, react, sharpening
from embedstore.detection.score import UndefinedScoreError
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.heads.head import Cache, Head, unit

NAMES = ("react", "ash", "scale", "dice")
DEFAULTS = {"react": 90, "ash": 90, "scale": 85, "dice": 70}  # the papers', on ImageNet
CASES = [
    ("react", {}),
    ("react", {"percentile": 35.5}),
    ("ash", {}),
    ("ash", {"percentile": 65.0, "variant": "s"}),
    ("ash", {"percentile": 65.0, "variant": "p"}),
    ("ash", {"percentile": 65.0, "variant": "b"}),
    ("scale", {}),
    ("scale", {"percentile": 50.0}),
    ("dice", {}),
    ("dice", {"percentile": 30.0}),
]


def rounding(energies):
    """Of float32 logits, of which a sum may be near zero: 1e-6 of the largest."""
    return 1e-6 * np.abs(energies).max()


def naive(name, queries, reference, weights, bias, percentile=None, variant="s"):
    """The papers' definitions, one sample at a time."""
    percentile = percentile or DEFAULTS[name]
    if name == "react":
        queries = np.minimum(queries, np.percentile(reference, percentile))
    if name == "dice":
        contributions = reference.mean(axis=0) * weights
        weights = np.where(contributions > np.percentile(contributions, percentile), weights, 0)
    if name in ("ash", "scale"):
        n_kept = queries.shape[1] - round(queries.shape[1] * percentile / 100)
        queries = np.stack([shaped(x, n_kept, name, variant) for x in queries])
    return logsumexp(queries @ weights.T + bias, axis=1)


def shaped(x, n_kept, name, variant):
    order = np.argsort(-x, kind="stable")[:n_kept]
    pruned = np.zeros_like(x)
    pruned[order] = x[order]
    if name == "ash" and variant == "b":
        pruned[order] = x.sum() / n_kept
        return pruned
    if name == "ash" and variant == "p":
        return pruned
    return (x if name == "scale" else pruned) * np.exp(x.sum() / pruned.sum())


@pytest.mark.parametrize(("name", "given"), CASES)
def test_the_papers_formula(make, scores, embeddings, plain, head, name, given):
    """Of seven classes the head has, the data set knows five."""
    queries, reference = embeddings(1, 50, positive=True), embeddings(2, 80, positive=True)
    found = scores(make(queries, reference), name, **given)
    expected = naive(name, queries, reference, *plain(head), **given)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=rounding(expected))


@pytest.mark.parametrize(("name", "given"), CASES)
def test_pytorch_ood_agrees(make, scores, embeddings, plain, head, name, given):
    """It takes shares in place of percentiles, and feature maps, here of one pixel."""
    import torch
    from pytorch_ood import detector

    queries, reference = embeddings(1, 50, positive=True), embeddings(2, 80, positive=True)
    weights, bias = (torch.tensor(values) for values in plain(head))
    share = given.get("percentile", DEFAULTS[name]) / 100

    def last_layer(maps):
        return maps.flatten(1) @ weights.T + bias

    x, z = (torch.tensor(v)[:, :, None, None] for v in (queries, reference))
    if name == "react":
        peer = detector.ReAct(None, last_layer, percentile=share)
        peer.fit_feature_maps(z, torch.zeros(80))
        theirs = peer.predict_feature_maps(x)
    elif name == "dice":  # in float32
        peer = detector.DICE(None, weights, bias, share).fit_features(z.flatten(1), torch.zeros(80))
        theirs = peer.predict_features(x.flatten(1))
    elif name == "ash":
        variant = f"ash-{given.get('variant', 's')}"
        peer = detector.ASH(None, last_layer, variant=variant, percentile=share)
        theirs = peer.predict_feature_maps(x)
    else:
        theirs = detector.SCALE(None, last_layer, percentile=share).predict_feature_maps(x)
    found = scores(make(queries, reference), name, **given)
    np.testing.assert_allclose(found, -theirs.numpy(), rtol=2e-6, atol=rounding(found))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_rows", [1, 7, 49])
def test_blocks_of_any_size(make, scores, embeddings, name, n_rows):
    subject = make(embeddings(1, 50, positive=True), embeddings(2, 80, positive=True))
    np.testing.assert_allclose(
        scores(subject, name, n_rows), scores(subject, name), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", ["react", "dice"])
def test_only_the_parts_samples_that_could_be_read_count(
    make, scores, embeddings, plain, head, name
):
    queries, reference = embeddings(1, 50, positive=True), embeddings(2, 80, positive=True)
    failed = reference.copy()
    failed[[0, 40]] = np.nan
    rows = np.arange(80) % 3 != 1
    found = scores(make(queries, failed, rows=rows), name)
    left = reference[rows & np.isfinite(failed[:, 0])]
    expected = naive(name, queries, left, *plain(head))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=rounding(expected))


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_exactly_k_are_kept_the_first_of_equal_ones(seed, n_dims, n_kept, n_values):
    n_kept = min(n_kept, n_dims)
    x = np.random.default_rng(seed).integers(0, n_values, (6, n_dims)).astype(np.float32)
    kept = largest(x, n_kept)
    for row, marks in zip(x, kept, strict=True):
        expected = np.argsort(-row, kind="stable")[:n_kept]
        np.testing.assert_array_equal(np.flatnonzero(marks), np.sort(expected))


@given(st.integers(0, 10**6), st.floats(0, 100), st.integers(1, 40))
def test_percentiles_of_counts_are_numpys(seed, percentile, n_values):
    x = np.random.default_rng(seed).normal(size=n_values).astype(np.float16)
    counts = np.bincount(x.view(np.uint16), minlength=2**16)
    expected = np.percentile(x.astype(np.float64), percentile)
    found = activation_scores._percentile(counts, percentile)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_sample_without_activations_is_left_as_it_is(make, scores, embeddings, plain, head):
    queries = embeddings(1, 3, positive=True)
    queries[1] = 0
    subject = make(queries, embeddings(2, 80, positive=True))
    for name in NAMES:
        assert scores(subject, name)[1] == pytest.approx(logsumexp(plain(head)[1]), rel=1e-6)
    zeros = np.zeros((1, 12), np.float32)
    assert sharpening(zeros, zeros)[0] == 1


def test_constant_activations(make, scores, plain, head):
    same = np.full((20, 12), 0.5)
    subject = make(same[:4], same)
    weights, bias = plain(head)
    expected = logsumexp(0.5 * weights.sum(axis=1) + bias)
    np.testing.assert_allclose(scores(subject, "react"), expected, rtol=1e-6)
    assert react(subject).threshold == 0.5


@pytest.mark.parametrize("name", NAMES)
def test_signed_features_mean_nothing(make, scores, embeddings, name):
    reference = embeddings(2, 80, positive=True)
    reference[7, 3] = -0.5
    subject = make(embeddings(1, 5), reference)
    with pytest.raises(UndefinedScoreError, match=r"features are signed \(as low as -0.5\)"):
        scores(subject, name)


@pytest.mark.parametrize("name", NAMES)
def test_roundings_below_zero_are_no_sign(make, scores, embeddings, name):
    reference = embeddings(2, 80, positive=True)
    reference[7, 3] = -1e-6
    assert np.isfinite(scores(make(embeddings(1, 5, positive=True), reference), name)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["native", "cache", "normalize"])
def test_heads_that_are_no_last_layer(make, scores, embeddings, head, name, kind):
    keys = Cache(unit(np.ones((1, 12), np.float32)), np.zeros(1, np.int64), 1.0, 5.5)
    changed, reason = {
        "native": (Head(head.class_ids, None), "head 'own' is native"),
        "cache": (replace(head, cache=keys), r"is a cache's \(Tip-Adapter\)"),
        "normalize": (replace(head, normalize=True), "brings features to unit length"),
    }[kind]
    subject = make(embeddings(1, 5), embeddings(2, 80), under=changed)
    with pytest.raises(UndefinedScoreError, match=reason):
        scores(subject, name)


@pytest.mark.parametrize("name", NAMES)
def test_percentiles_beyond_a_hundred_are_refused(make, scores, embeddings, name):
    subject = make(embeddings(1, 5, positive=True), embeddings(2, 8, positive=True))
    with pytest.raises(EmbedStoreError, match="percentile=101 is not from 0 to 100"):
        scores(subject, name, percentile=101)


def test_an_unknown_variant_is_refused(make, scores, embeddings):
    subject = make(embeddings(1, 5, positive=True), embeddings(2, 8, positive=True))
    with pytest.raises(UnknownNameError, match="unknown variant of ASH 'x'; choose one of: b, p"):
        scores(subject, "ash", variant="x")
