"""Two real models from photographs to drawings: drops on the same 16 classes, counted naively."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy.special import softmax

from cli import main
from embedstore import Store
from embedstore.labels import class_map
from embedstore.prompts import imagenet
from embedstore.schema.runs import SHIFT
from embedstore.stats.intervals import newcombe


def shift(store: Store, *words: str) -> pl.DataFrame:
    line = ["analyze", "shift", str(store.files.root), *words, "--format", "json"]
    done = CliRunner().invoke(main, line, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return pl.DataFrame(json.loads(done.stdout), schema=dict(SHIFT))


def hits(store: Store, model: str, dataset: str, head: str) -> np.ndarray:
    """Whether each sample of the 16 classes is judged rightly, class by class, from the logits."""
    record, labels = store.dataset(dataset), store.samples(dataset)["label"]
    column = {class_id: i for i, class_id in enumerate(imagenet().ids)}
    members = class_map("cue-conflict").members
    coarse = {wnid: name for name, wnids in members.items() for wnid in (*wnids, name)}
    p = softmax(np.asarray(store.logits(model, dataset, head)).astype(np.float64), axis=1)
    judged = []
    for row, label in zip(p, labels, strict=True):
        right = coarse.get(record.class_ids[label])
        if right is not None:
            means = {
                name: row[[column[w] for w in wnids]].mean() for name, wnids in members.items()
            }
            judged.append(max(means, key=means.__getitem__) == right)
    return np.array(judged)


def check_against_naive_counts(store: Store, model: str, head: str) -> pl.DataFrame:
    (photos,) = (d for d in store.datasets if d.startswith("photos"))
    found = shift(store, "--id-dataset", photos, "--heads", head).filter(space="cue-conflict")
    assert found["dataset"].to_list() == ["edges", "silhouettes"]
    clean = hits(store, model, photos, head)
    for row in found.to_dicts():
        shifted = hits(store, model, row["dataset"], head)
        assert (row["n_samples"], row["n_id"]) == (160, len(clean))
        assert row["accuracy"] == pytest.approx(shifted.mean())
        assert row["id_accuracy"] == pytest.approx(clean.mean())
        low, high = newcombe([clean.sum()], [len(clean)], [shifted.sum()], [160])
        assert (row["drop_low"], row["drop_high"]) == pytest.approx((low[0], high[0]))
        assert row["note"].startswith("baselines: 0 models have both values")
    assert 20 < len(clean) < 160  # many photographs are of none of the 16 classes
    return found


def test_the_classifier(lite0):
    found = check_against_naive_counts(lite0, "lite0", "own")
    assert (found["id_accuracy"] > 0.85).all()
    assert (found["drop"] > 0.1).all()


@pytest.mark.slow
def test_the_image_text_model(image_text):
    check_against_naive_counts(image_text, "m", "photo--imagenet")
