"""Mahalanobis scores against transcriptions of their papers, pytorch-ood, and bad references."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from embedstore.detection.distance_scores import mahalanobis, relative_mahalanobis
from embedstore.detection.score import UndefinedScoreError
from embedstore.errors import EmbedStoreError

NAMES = ("mahalanobis", "relative-mahalanobis")


def naive(queries, reference, labels, relative, shrink=False):
    """Lee et al. (2018), eq. 1 and 2; Ren et al. (2021); one sample at a time."""
    classes = np.unique(labels)
    means = {c: reference[labels == c].mean(axis=0) for c in classes}
    inside = np.stack([x - means[y] for x, y in zip(reference, labels, strict=True)])
    outside = reference - reference.mean(axis=0)

    def inverse(centred):
        covariance = sum(np.outer(x, x) for x in centred) / len(centred)
        if shrink:
            share = ledoit_wolf_shrinkage(centred, assume_centered=True)
            identity = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
            covariance = (1 - share) * covariance + share * identity
        return np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)

    within, whole = inverse(inside), inverse(outside)
    scores = []
    for q in queries:
        least = min((q - means[c]) @ within @ (q - means[c]) for c in classes)
        apart = q - reference.mean(axis=0)
        scores.append(apart @ whole @ apart - least if relative else -least)
    return np.array(scores)


@pytest.fixture
def data(embeddings):
    labels = np.arange(80) ** 2 % 5  # unequal classes, and none of 2 and 3
    return embeddings(1, 50), embeddings(2, 80), labels


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_papers_formula(make, scores, data, name, normalize):
    queries, reference, labels = data
    subject = make(queries, reference, labels.tolist())
    if normalize:
        queries, reference = (
            x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, reference)
        )
    found = scores(subject, name, normalize=normalize)
    np.testing.assert_allclose(
        found, naive(queries, reference, labels, name != NAMES[0]), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_ood_agrees(make, scores, embeddings, name):
    """It leaves the count out of the covariance, adds 1e-6 to it, and halves `Mahalanobis`."""
    import torch
    from pytorch_ood import detector

    queries, reference = embeddings(1, 50), embeddings(2, 80)
    found = scores(make(queries, reference), name)
    peer = detector.Mahalanobis(None) if name == NAMES[0] else detector.RMD(None)
    torch.set_default_dtype(torch.float64)  # of its means and covariance
    try:
        peer.fit_features(torch.tensor(reference), torch.arange(80) % 5)
        theirs = peer.predict_features(torch.tensor(queries)).numpy()
    finally:
        torch.set_default_dtype(torch.float32)
    factor = 2 * 80 if name == NAMES[0] else 80
    np.testing.assert_allclose(found, -factor * theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_rows", [1, 7, 49])
def test_blocks_of_any_size(make, scores, data, name, n_rows):
    queries, reference, labels = data
    subject = make(queries, reference, labels.tolist())
    whole = scores(subject, name)
    np.testing.assert_allclose(scores(subject, name, n_rows), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_samples_without_a_label_or_that_failed_have_no_say(make, scores, data, name):
    queries, reference, labels = data
    known = np.arange(80) % 7 != 3
    given = [int(y) if k else None for y, k in zip(labels, known, strict=True)]
    rows = np.arange(80) != 20
    failed = reference.copy()
    failed[30] = np.nan
    subject = make(queries, failed, given, rows=rows)
    known &= rows & (np.arange(80) != 30)
    expected = naive(queries, reference[known], labels[known], name != NAMES[0])
    np.testing.assert_allclose(scores(subject, name), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_dimension_counts_for_nothing(make, scores, data, name):
    queries, reference, labels = data
    reference[:, 3] = 0.1
    subject = make(queries, reference, labels.tolist())
    others = np.delete(np.arange(12), 3)
    expected = naive(queries[:, others], reference[:, others], labels, name != NAMES[0])
    np.testing.assert_allclose(scores(subject, name), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_fewer_samples_than_dimensions_are_shrunk(make, scores, embeddings, name):
    queries, reference = embeddings(1, 50), embeddings(2, 14)
    labels = np.arange(14) % 5
    subject = make(queries, reference, labels.tolist())
    expected = naive(queries, reference, labels, name != NAMES[0], shrink=True)
    np.testing.assert_allclose(scores(subject, name), expected, rtol=1e-6, atol=1e-6)
    scorer = mahalanobis(subject)
    assert 0 < scorer.shrinkage < 1
    assert mahalanobis(subject, shrinkage=0.25).shrinkage == 0.25


def test_enough_samples_are_not_shrunk(make, data):
    queries, reference, labels = data
    assert relative_mahalanobis(make(queries, reference, labels.tolist())).shrinkage == 0.0


def test_wholly_shrunk_it_is_the_distance_to_the_nearest_mean(make, scores, data):
    queries, reference, labels = data
    found = scores(make(queries, reference, labels.tolist()), NAMES[0], shrinkage=1.0)
    means = np.stack([reference[labels == c].mean(axis=0) for c in np.unique(labels)])
    squared = np.square(queries[:, None] - means).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(found / found[0], squared / squared[0], rtol=1e-9)


def test_one_class_of_one_sample_is_a_class(make, scores, data):
    queries, reference, _ = data
    labels = np.array([2] + [0] * 79)
    subject = make(queries, reference, labels.tolist())
    expected = naive(queries, reference, labels, relative=False)
    np.testing.assert_allclose(scores(subject, NAMES[0]), expected, rtol=1e-6)


def test_far_samples_are_out_of_distribution(make, scores, data):
    queries, reference, labels = data
    queries[25:] += 20
    found = scores(make(queries, reference, labels.tolist()), NAMES[0])
    assert found[:25].min() > found[25:].max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("labels", "values", "reason"),
    [
        ([None] * 5, "random", "no sample of the reference 'ref' has a label"),
        ([0, 1, 2, 3, 4], "random", "no class of the reference 'ref' has two samples"),
        ([0, 0, 1, 1, 1], "constant", "do not vary within their classes"),
    ],
)
def test_references_that_say_nothing(make, scores, embeddings, name, labels, values, reason):
    reference = embeddings(2, 5) if values == "random" else np.full((5, 12), 0.1)
    with pytest.raises(UndefinedScoreError, match=reason):
        scores(make(embeddings(1, 4), reference, labels), name)


def test_shrinkage_beyond_one_is_refused(make, scores, data):
    queries, reference, labels = data
    with pytest.raises(EmbedStoreError, match="shrinkage=1.5 is not from 0 to 1"):
        scores(make(queries, reference, labels.tolist()), NAMES[0], shrinkage=1.5)
