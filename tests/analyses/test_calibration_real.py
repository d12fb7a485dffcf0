"""Two real models from pictures to temperatures, over photographs, line drawings, silhouettes."""

from __future__ import annotations

import numpy as np
import pytest
import relplot
import torch
from netcal.metrics import ECE
from scipy.special import log_softmax, softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from embedstore import analysis
from embedstore.heads.splits import hashed
from embedstore.labels import class_map
from embedstore.prompts import imagenet

N_PHOTOS = 160
DRAWINGS = ("edges", "silhouettes")


def photos_of(store) -> str:
    (name,) = (d for d in store.datasets if d.startswith("photos"))
    return name


def nll_of(logits, labels, temperature):
    logp = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return -logp[np.arange(len(labels)), labels].mean()


def check_against_a_dense_grid(store, model, head):
    photos = photos_of(store)
    found = analysis.run("calibration", store, models=model, heads=head, id_dataset=photos)
    (row,) = found.filter(dataset=photos).to_dicts()
    samples = store.samples(photos)
    half = hashed(samples["sample_id"].to_list(), 0, "temperature") < 0.5
    logits = np.asarray(store.logits(model, photos, head))
    labels = samples["label"].to_numpy()
    assert len(store.dataset(photos).class_ids) == logits.shape[1]
    coarse = np.logspace(-3, 3, 601)
    near = coarse[np.argmin([nll_of(logits[half], labels[half], t) for t in coarse])]
    fine = near * np.linspace(0.98, 1.02, 1001)
    best = fine[np.argmin([nll_of(logits[half], labels[half], t) for t in fine])]
    assert row["temperature"] == pytest.approx(best, rel=1e-4)
    assert not row["at_bound"]
    fitted = [nll_of(logits[half], labels[half], t) for t in (row["temperature"], 1.0)]
    assert fitted[0] <= fitted[1]
    expected = nll_of(logits[~half], labels[~half], row["temperature"])
    assert row["nll_scaled"] == pytest.approx(expected, abs=1e-5)
    assert (row["n_samples"], row["n_scaled"]) == (N_PHOTOS, (~half).sum())


def test_the_classifiers_temperature_is_that_of_a_dense_grid(lite0):
    check_against_a_dense_grid(lite0, "lite0", "own")


def coarse(logits):
    """Log of the mean probability over each coarse class's members: (N, 1000) -> (N, 16)."""
    column = {class_id: i for i, class_id in enumerate(imagenet().ids)}
    p = softmax(logits.astype(np.float64), axis=1)
    groups = class_map("cue-conflict").members.values()
    return np.log(np.stack([p[:, [column[i] for i in ids]].mean(1) for ids in groups], axis=1))


def check_carried_to_drawings(store, model, head):
    photos = photos_of(store)
    found = analysis.run("calibration", store, models=model, heads=head, id_dataset=photos)
    (photo,) = found.filter(dataset=photos).to_dicts()
    for name in DRAWINGS:
        (row,) = found.filter(dataset=name, space="cue-conflict").to_dicts()
        assert row["temperature"] == photo["temperature"]
        assert row["n_scaled"] == row["n_samples"] == 160
        logits = coarse(np.asarray(store.logits(model, name, head)))
        labels = store.samples(name)["label"].to_numpy()
        assert row["accuracy"] == (logits.argmax(axis=1) == labels).mean()
        expected = nll_of(logits, labels, row["temperature"])
        assert row["nll_scaled"] == pytest.approx(expected, abs=1e-5)
        p = softmax(logits / row["temperature"], axis=1)
        hits = p.argmax(axis=1) == labels
        ece = ECE(15).measure(p.max(axis=1), hits.astype(int))
        assert row["ece_scaled"] == pytest.approx(ece, abs=1e-5)
    return found


def test_the_classifiers_temperature_is_carried_to_drawings(lite0):
    found = check_carried_to_drawings(lite0, "lite0", "own")
    (photo,) = found.filter(dataset=photos_of(lite0)).to_dicts()
    (edges,) = found.filter(dataset="edges", space="cue-conflict").to_dicts()
    assert edges["ece"] > photo["ece"] + 0.1  # far less accurate than sure
    bins = analysis.run("reliability", lite0, id_dataset=photos_of(lite0))
    tables = bins.group_by("dataset", "space", "scaled").len()
    after = tables.filter(space="cue-conflict").sort("dataset", "scaled")
    assert after["dataset"].to_list() == ["edges", "edges", "silhouettes", "silhouettes"]
    assert after["scaled"].to_list() == [False, True] * 2
    assert set(tables["len"]) == {15}


def test_peers_agree_on_the_classifiers_logits(lite0):
    photos = photos_of(lite0)
    (row,) = analysis.run("calibration", lite0, datasets=photos, id_dataset="none").to_dicts()
    p = softmax(np.asarray(lite0.logits("lite0", photos, "own")).astype(np.float64), axis=1)
    labels = lite0.samples(photos)["label"].to_numpy()
    given = (torch.from_numpy(p), torch.from_numpy(labels.astype(np.int64)), 1_000)
    # stored logits are float16: one sample may be all of the bin of the greatest gap
    for norm, column, rounding in (("l1", "ece", 1e-5), ("max", "max_calibration_error", 1e-4)):
        theirs = float(multiclass_calibration_error(*given, n_bins=15, norm=norm))
        assert row[column] == pytest.approx(theirs, abs=rounding)
    assert row["ece"] == pytest.approx(ECE(15).measure(p, labels), abs=1e-5)
    theirs = relplot.smECE(*relplot.multiclass_logits_to_confidences(p, labels, probs=True))
    assert row["smooth_ece"] == pytest.approx(theirs, abs=2e-3)  # see tests/kernels
    one_hot = np.eye(1_000, dtype=int)[labels]
    each = [ECE(15).measure(q, y) for q, y in zip(p.T, one_hot.T, strict=True)]
    assert row["classwise_ece"] == pytest.approx(np.mean(each), abs=1e-6)


@pytest.mark.slow
def test_the_zero_shot_temperature_is_that_of_a_dense_grid(image_text):
    check_against_a_dense_grid(image_text, "m", "photo--imagenet")
    found = analysis.run("calibration", image_text, id_dataset=photos_of(image_text))
    for name in DRAWINGS:
        own = found.filter(dataset=name, head=f"photo--{name}")
        assert own["note"].item().startswith("not scaled, since nothing of this head is stored on")


@pytest.mark.slow
def test_the_zero_shot_temperature_is_carried_to_drawings(image_text):
    check_carried_to_drawings(image_text, "m", "photo--imagenet")
