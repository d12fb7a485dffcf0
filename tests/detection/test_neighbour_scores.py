"""k-NN and NNGuide against transcriptions of their papers, pytorch-ood, and bad references."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from embedstore.detection import neighbour_scores
from embedstore.detection.measuring import measure
from embedstore.detection.neighbour_scores import knn, nnguide
from embedstore.detection.score import SCORES, Asked, UndefinedScoreError
from embedstore.detection.subject import Block, Part
from embedstore.errors import EmbedStoreError
from embedstore.index import library


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def naive_knn(queries, reference, k):
    """Sun et al. (2022)."""
    distances = np.linalg.norm(unit(queries)[:, None] - unit(reference), axis=2)
    return -np.sort(distances, axis=1)[:, k - 1]


def naive_nnguide(queries, reference, weights, bias, k):
    """Park et al. (2023), as their code has it."""
    energies = [logsumexp(x @ weights.T + bias, axis=1) for x in (queries, reference)]
    products = unit(queries) @ (unit(reference) * energies[1][:, None]).T
    return np.sort(products, axis=1)[:, -k:].mean(axis=1) * energies[0]


@pytest.fixture(params=["faiss", "numpy"])
def library_there(request, monkeypatch):
    monkeypatch.setattr(library, "installed", lambda: request.param == "faiss")


@pytest.mark.parametrize("k", [1, 5, 80])
def test_the_papers_knn(make, scores, embeddings, k, library_there):
    queries, reference = embeddings(1, 50), embeddings(2, 80)
    found = scores(make(queries, reference), "knn", k=k)
    np.testing.assert_allclose(found, naive_knn(queries, reference, k), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 80])
def test_the_papers_nnguide(make, scores, embeddings, plain, head, k, library_there):
    queries, reference = embeddings(1, 50), embeddings(2, 80)
    found = scores(make(queries, reference), "nnguide", k=k)
    expected = naive_nnguide(queries, reference, *plain(head), k)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_pytorch_ood_agrees(make, scores, embeddings, plain, head):
    """It computes NNGuide in float32, from logits of a head of its own."""
    import torch
    from pytorch_ood import detector

    queries, reference = embeddings(1, 50), embeddings(2, 80)
    subject = make(queries, reference)
    x, z, known = torch.tensor(queries), torch.tensor(reference), torch.zeros(80)
    peer = detector.KNN(None, k=7).fit_features(z, known)
    theirs = -peer.predict_features(x).numpy()
    np.testing.assert_allclose(scores(subject, "knn", k=7), theirs, rtol=1e-6)
    weights, bias = (torch.tensor(values).float() for values in plain(head))
    guide = detector.NNGuide(lambda v: v, lambda v: v @ weights.T + bias, k=7)
    guided = -guide.fit_features(z, known).predict_features(x.float()).numpy()
    np.testing.assert_allclose(scores(subject, "nnguide", k=7), guided, rtol=1e-5, atol=1e-5)


def test_a_near_copy_keeps_the_digits_of_its_distance(make, scores, embeddings):
    """A float32 cosine of 1 - 1e-8 would be 1, and the distance 0."""
    reference = embeddings(2, 80)
    queries = reference[:20].copy()
    queries[:, 0] += np.spacing(queries[:, 0].astype(np.float16)).astype(np.float64)
    found = scores(make(queries, reference), "knn", k=1)
    assert (found < 0).all()
    np.testing.assert_allclose(found, naive_knn(queries, reference, 1), rtol=1e-6)


@pytest.mark.parametrize("name", ["knn", "nnguide"])
@pytest.mark.parametrize("n_rows", [1, 7, 49])
def test_blocks_of_any_size(make, scores, embeddings, name, n_rows):
    subject = make(embeddings(1, 50), embeddings(2, 80))
    np.testing.assert_allclose(
        scores(subject, name, n_rows, k=5), scores(subject, name, k=5), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["knn", "nnguide"])
def test_only_the_parts_samples_that_could_be_read_are_neighbours(
    make, scores, embeddings, plain, head, name
):
    queries, reference = embeddings(1, 50), embeddings(2, 80)
    failed = reference.copy()
    failed[[0, 40]] = np.nan
    rows = np.arange(80) % 3 != 1
    found = scores(make(queries, failed, rows=rows), name, k=3)
    left = reference[rows & np.isfinite(failed[:, 0])]
    guided = naive_nnguide(queries, left, *plain(head), 3)
    expected = naive_knn(queries, left, 3) if name == "knn" else guided
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_a_row_of_zeros_is_at_distance_one(make, scores, embeddings):
    queries = embeddings(1, 3)
    queries[1] = 0
    found = scores(make(queries, embeddings(2, 80)), "knn", k=2)
    assert found[1] == pytest.approx(-1)


def test_constant_embeddings_are_all_at_one_distance(make, scores):
    subject = make(np.full((4, 12), 0.1), np.full((9, 12), 0.1))
    np.testing.assert_array_equal(scores(subject, "knn"), np.zeros(4))


@pytest.mark.parametrize(("n_samples", "k"), [(3, 1), (1499, 1), (1501, 2), (2600, 3)])
def test_neighbours_scale_with_the_reference(make, n_samples, k):
    random = np.random.default_rng(0)
    subject = make(random.normal(size=(2, 12)), random.normal(size=(n_samples, 12)))
    scorer = knn(subject)
    assert scorer.k == k
    assert Asked(SCORES["knn"]).used(scorer) == {"k": k}
    assert Asked(SCORES["knn"], {"k": 2}).used(knn(subject, k=2)) == {"k": 2}


def test_the_bank_is_a_sample(make, embeddings, monkeypatch):
    subject = make(embeddings(1, 5), embeddings(2, 80))
    whole = nnguide(subject)
    assert (len(whole.bank), whole.alpha) == (80, 1.0)
    part = nnguide(subject, alpha=0.25)
    assert (len(part.bank), part.alpha) == (20, 0.25)
    rows = {row.tobytes() for row in whole.bank}
    assert len({row.tobytes() for row in part.bank} & rows) == 20
    np.testing.assert_array_equal(nnguide(subject, alpha=0.25).bank, part.bank)
    monkeypatch.setattr(neighbour_scores, "BANK", 40)
    assert nnguide(subject).alpha == 0.5


def test_under_a_zero_shot_head(make, scores, embeddings, plain, head):
    head = replace(head, normalize=True)
    queries, reference = embeddings(1, 50), embeddings(2, 80)
    weights, bias = plain(head)
    energies = [logsumexp(unit(x) @ weights.T + bias, axis=1) for x in (queries, reference)]
    products = unit(queries) @ (unit(reference) * energies[1][:, None]).T
    expected = np.sort(products, axis=1)[:, -10:].mean(axis=1) * energies[0]
    found = scores(make(queries, reference, under=head), "nnguide")
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_energies_below_zero_guide_nothing(make, scores, embeddings, head):
    """As SigLIP's: the product of two is the larger the less a sample looks like a class."""
    shifted = replace(head, bias=np.full(7, -50, np.float32), normalize=True)
    with pytest.raises(UndefinedScoreError, match="energies are not above 0 on average"):
        scores(make(embeddings(1, 9), embeddings(2, 80), under=shifted), "nnguide")


@pytest.mark.parametrize("name", ["knn", "nnguide"])
@pytest.mark.parametrize("k", [0, 81])
def test_more_neighbours_than_samples_are_refused(make, scores, embeddings, name, k):
    subject = make(embeddings(1, 5), embeddings(2, 80))
    with pytest.raises(EmbedStoreError, match="choose a k from 1 (on|to 80)"):
        scores(subject, name, k=k)


def test_an_empty_reference_and_an_empty_bank(make, scores, embeddings):
    subject = make(embeddings(1, 5), embeddings(2, 8), rows=np.zeros(8, np.bool_))
    with pytest.raises(UndefinedScoreError, match="no sample of 'ref' could be read"):
        scores(subject, "knn")
    with pytest.raises(EmbedStoreError, match="alpha=0 is not above 0"):
        scores(subject, "nnguide", alpha=0)


def test_a_data_set_of_logits_alone_has_no_neighbours(make, embeddings):
    subject = make(embeddings(1, 5), embeddings(2, 80))
    block = Block(subject, np.zeros(2, np.int64), None, np.zeros((2, 7), np.float32))
    for name in ("knn", "nnguide"):
        with pytest.raises(UndefinedScoreError, match="the score needs embeddings"):
            SCORES[name].function(subject)(block)


def test_measured_beside_scores_of_other_blocks(make, scores, embeddings):
    subject = make(embeddings(1, 50), embeddings(2, 80))
    asked = [Asked(SCORES["nnguide"]), Asked(SCORES["knn"], {"k": 3})]
    measured = measure(subject, asked, [Part("id")])
    for place, (name, given) in enumerate([("nnguide", {}), ("knn", {"k": 3})]):
        found = measured.scores[place, "id"]
        np.testing.assert_array_equal(found.values, scores(subject, name, **given))
        assert len(found.labels) == 50
