"""Areas and false positives of 100,000 scores beside one sort of them, and scores beside peers.

Each timing is taken in turns with its references, which sort scores of the same type (NumPy sorts
float32 faster); ratios are of the medians, and of the least of each.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from embedstore.detection.logit_scores import Matching, generalised_entropy
from embedstore.kernels.detection import auroc_variance, levels
from embedstore.kernels.log_odds import top_log_odds
from embedstore.kernels.outcomes import outcomes
from embedstore.stats.delong import delong
from embedstore.stats.detection import detection

N_ID, N_OOD, ROUNDS = 50_000, 50_000, 60
Array = np.ndarray[Any, np.dtype[Any]]


def drawn(kind: type[np.floating[Any]]) -> tuple[Array, Array, Array, Array]:
    """Scores of both sides, both together, and labels."""
    random = np.random.default_rng(0)
    id_scores = random.normal(1, 1, N_ID).astype(kind)
    ood_scores = random.normal(size=N_OOD).astype(kind)
    together = np.concatenate([id_scores, ood_scores])
    return id_scores, ood_scores, together, np.repeat([1, 0], [N_ID, N_OOD])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("convention", ["id-recall", "id-quantile", "ood-recall"])
def test_detection_beside_one_sort(
    beside: Any, kind: type[np.floating[Any]], convention: Any
) -> None:
    id_scores, ood_scores, together, labels = drawn(kind)

    def peer() -> None:
        roc_auc_score(labels, together)
        average_precision_score(labels, together)
        roc_curve(labels, together)

    beside(
        lambda: detection(id_scores, ood_scores, convention=convention, intervals=False),
        rounds=ROUNDS,
        sort=lambda: np.sort(together),
        sklearn=peer,
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_detection_with_intervals(beside: Any, kind: type[np.floating[Any]]) -> None:
    id_scores, ood_scores, together, _ = drawn(kind)
    found = levels(id_scores, ood_scores)
    beside(
        lambda: detection(id_scores, ood_scores),
        rounds=ROUNDS,
        sort=lambda: np.sort(together),
        delong_alone=lambda: delong(id_scores, ood_scores),
        auroc_variance=lambda: auroc_variance(found, 0.76),
    )


def logits() -> list[Array]:
    """Blocks as scores are given them: 20,480 samples of 1,000 classes."""
    random = np.random.default_rng(0)
    return [3 * random.standard_normal((2_048, 1_000), dtype=np.float32) for _ in range(10)]


def test_log_odds_beside_outcomes(beside: Any) -> None:
    blocks, labels = logits(), np.full(2_048, -1)
    beside(
        lambda: [top_log_odds(block) for block in blocks],
        rounds=7,
        outcomes=lambda: [outcomes(block, labels) for block in blocks],
    )


def test_gen_beside_pytorch_ood(beside: Any) -> None:
    torch = pytest.importorskip("torch")
    detector = pytest.importorskip("pytorch_ood.detector")
    blocks = logits()
    tensors = [torch.from_numpy(block) for block in blocks]
    beside(
        lambda: [generalised_entropy(block, 0.1, 100) for block in blocks],
        rounds=7,
        partition=lambda: [np.partition(block, 900, axis=1) for block in blocks],
        pytorch_ood=lambda: [detector.GEN.score(z, M=100) for z in tensors],
    )


def test_kl_matching_beside_its_product(beside: Any) -> None:
    blocks = logits()
    log_typical = np.random.default_rng(1).normal(-9, 1, (1_000, 1_000))
    narrow = log_typical.astype(np.float32)
    scorer = Matching(log_typical)
    given: list[Any] = [SimpleNamespace(logits=block) for block in blocks]
    beside(
        lambda: [scorer(block) for block in given],
        rounds=7,
        product=lambda: [block @ narrow.T for block in blocks],
    )
