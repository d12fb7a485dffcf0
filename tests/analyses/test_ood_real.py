"""OOD detection on real pictures, end to end: photographs against cloth, drawings and stamps."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from embedstore import analysis
from embedstore.heads.head import unit


def run(store, **parameters):
    chosen = {"id_dataset": "sample", "ood": "textiles,stamps,edges,silhouettes"}
    return analysis.run("ood", store, **chosen, **parameters)


def test_the_classifier_tells_cloth_from_photographs(real_store):
    found = run(real_store, models="lite0", scores="msp")
    area = dict(found.select("ood", "auroc").rows())
    assert area["textiles"] > 0.8
    for dataset in area:
        z = [np.asarray(real_store.logits("lite0", d, "own")) for d in ("sample", dataset)]
        p = [np.exp(x - x.max(1, keepdims=True)) for x in z]
        msp = [1 / x.sum(1) for x in p]
        y = np.repeat([1, 0], [len(x) for x in msp])
        assert area[dataset] == pytest.approx(roc_auc_score(y, np.concatenate(msp)), abs=1e-3)


def test_every_score_says_something_of_the_classifiers_features_or_why_not(real_store):
    found = run(real_store, models="lite0", scores="all,vim?dim=16,residual?dim=16")
    reasons = dict(found.filter(found["auroc"].is_null()).select("score", "note").unique().rows())
    assert reasons.keys() == {
        "mcm", "neglabel",  # no text
        "mahalanobis", "relative-mahalanobis",  # one photograph a class
        "residual", "vim",  # half of the photographs span no 512 dimensions
    }  # fmt: skip
    assert "no class of the reference" in reasons["mahalanobis"]
    best = dict(found.filter(ood="textiles").drop_nulls("auroc").select("score", "auroc").rows())
    assert min(best[s] for s in ("energy", "react", "vim", "ash", "nnguide")) > 0.8
    assert best["knn"] > 0.7  # of 487 photographs, one a class


def test_the_zero_shot_model_tells_cloth_from_photographs(real_store):
    found = run(real_store, models="image-text", scores="mcm", heads="photo--imagenet")
    area = dict(found.select("ood", "auroc").rows())
    texts = unit(np.asarray(real_store.text_embeddings("image-text", "photo--imagenet")))
    for dataset in area:
        scores = []
        for d in ("sample", dataset):
            x = np.asarray(real_store.embeddings("image-text", d), np.float32)
            cosines = (unit(x) @ texts.T).astype(np.float64)
            p = np.exp(cosines - cosines.max(1, keepdims=True))
            scores.append(1 / p.sum(1))
        y = np.repeat([1, 0], [len(x) for x in scores])
        expected = roc_auc_score(y, np.concatenate(scores))
        assert area[dataset] == pytest.approx(expected, abs=1e-5)
    assert area["textiles"] > 0.8


def test_signed_features_leave_some_scores_undefined(real_store):
    found = run(
        real_store, models="image-text", scores="react,ash,scale,dice", heads="photo--imagenet"
    )
    assert found["auroc"].null_count() == found.height
    assert all(note for note in found["note"])
