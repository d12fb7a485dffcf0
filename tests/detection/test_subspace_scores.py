"""Residual and ViM against transcriptions of the paper, pytorch-ood, and bad references."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from embedstore.detection.score import UndefinedScoreError
from embedstore.detection.subspace_scores import principal_dim, residual, vim
from embedstore.heads.head import Head


def naive(queries, reference, weights, bias, dim):
    """Wang et al. (2022), as their code has it."""
    origin = -np.linalg.pinv(weights) @ bias
    values, vectors = np.linalg.eig((reference - origin).T @ (reference - origin) / len(reference))
    rest = vectors.T[np.argsort(-values)[dim:]].T
    lengths = np.linalg.norm((reference - origin) @ rest, axis=-1)
    alpha = (reference @ weights.T + bias).max(axis=-1).mean() / lengths.mean()
    virtual = np.linalg.norm((queries - origin) @ rest, axis=-1)
    energy = logsumexp(queries @ weights.T + bias, axis=-1)
    return -virtual, energy - alpha * virtual, np.abs(energy)


@pytest.mark.parametrize("dim", [None, 0, 4, 11])
def test_the_papers_formula(make, scores, embeddings, plain, head, dim):
    """Of seven classes the head has, the data set knows five."""
    queries, reference = embeddings(1, 50), embeddings(2, 80)
    subject = make(queries, reference)
    outside, expected, size = naive(queries, reference, *plain(head), 6 if dim is None else dim)
    np.testing.assert_allclose(scores(subject, "residual", dim=dim), outside, rtol=1e-6)
    error = scores(subject, "vim", dim=dim) - expected
    assert (np.abs(error) <= 1e-6 * np.maximum(np.abs(expected), size)).all()
    assert vim(subject, dim=dim).dim == (6 if dim is None else dim)


def test_under_a_zero_shot_head_features_are_of_unit_length(make, scores, embeddings, plain, head):
    head = replace(head, normalize=True, bias=np.zeros(7, np.float32))
    queries, reference = embeddings(1, 50), embeddings(2, 80)
    subject = make(queries, reference, under=head)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, reference)]
    outside, expected, size = naive(*unit, *plain(head), 6)
    np.testing.assert_allclose(scores(subject, "residual"), outside, rtol=1e-6)
    error = scores(subject, "vim") - expected
    assert (np.abs(error) <= 1e-6 * np.maximum(np.abs(expected), size)).all()
    assert (residual(subject).origin == 0).all()


def test_pytorch_ood_agrees(make, scores, embeddings, plain, head):
    """It computes in float32, and has no residual alone."""
    import torch
    from pytorch_ood.detector import ViM

    queries, reference = embeddings(1, 50), embeddings(2, 80)
    weights, bias = (torch.tensor(values).float() for values in plain(head))
    peer = ViM(None, d=4, w=weights, b=bias)
    peer.fit_features(torch.tensor(reference).float(), torch.zeros(80))
    theirs = peer.predict_features(torch.tensor(queries).float()).numpy()
    found = scores(make(queries, reference), "vim", dim=4)
    np.testing.assert_allclose(found, -theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["residual", "vim"])
@pytest.mark.parametrize("n_rows", [1, 7, 49])
def test_blocks_of_any_size(make, scores, embeddings, name, n_rows):
    subject = make(embeddings(1, 50), embeddings(2, 80))
    np.testing.assert_allclose(
        scores(subject, name, n_rows), scores(subject, name), rtol=1e-5, atol=1e-5
    )


def test_what_lies_in_the_principal_space_has_no_residual(make, scores, embeddings, head):
    """Without a bias the origin is zero; the reference scatters in two dimensions most."""
    random = np.random.default_rng(4)
    reference = random.normal(size=(80, 12)) * ([8.0, 4.0] + [0.25] * 10)
    queries = np.zeros((3, 12))
    queries[0, :2], queries[1, 5], queries[2, 7] = (3, -2), 1, 2
    subject = make(queries, reference, under=replace(head, bias=None))
    found = scores(subject, "residual", dim=2)
    np.testing.assert_allclose(found, [0, -1, -2], atol=0.2)


@pytest.mark.parametrize(
    ("n_dims", "dim"), [(8, 4), (512, 256), (513, 512), (768, 512), (1280, 512), (2048, 1000)]
)
def test_default_dimensions(n_dims, dim):
    assert principal_dim(n_dims) == dim


@pytest.mark.parametrize("name", ["residual", "vim"])
def test_references_that_leave_no_residual(make, scores, embeddings, name):
    few = make(embeddings(1, 9), embeddings(2, 5))
    with pytest.raises(UndefinedScoreError, match="principal space of 6 dimensions; take a larger"):
        scores(few, name)
    scores(few, name, dim=3)
    with pytest.raises(UndefinedScoreError, match="12 leaves nothing of 12 dimensions"):
        scores(few, name, dim=12)


@pytest.mark.parametrize("name", ["residual", "vim"])
def test_constant_embeddings_leave_no_residual(make, scores, embeddings, name):
    subject = make(embeddings(1, 9), np.full((30, 12), 0.1))
    with pytest.raises(UndefinedScoreError, match="does not reach beyond"):
        scores(subject, name)


def test_logits_below_zero_give_the_virtual_one_no_scale(make, scores, embeddings, head):
    """As SigLIP's: alpha would be negative, and what lies outside would count as ID."""
    shifted = replace(head, bias=np.full(7, -50, np.float32), normalize=True)
    subject = make(embeddings(1, 9), embeddings(2, 80), under=shifted)
    with pytest.raises(UndefinedScoreError, match="largest logits are not above 0 on average"):
        scores(subject, "vim")
    assert np.isfinite(scores(subject, "residual")).all()


@pytest.mark.parametrize("name", ["residual", "vim"])
def test_a_native_head_has_neither(make, scores, embeddings, name):
    native = Head(tuple(f"class-{i}" for i in range(5)), None)
    subject = make(embeddings(1, 9), embeddings(2, 30), under=native)
    with pytest.raises(UndefinedScoreError, match="head 'own' is native"):
        scores(subject, name)
