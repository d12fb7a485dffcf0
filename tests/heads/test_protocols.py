"""Protocols of heads, from what their records say."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.heads.applying import apply_head
from embedstore.heads.head import Head
from embedstore.heads.protocols import protocol_of
from embedstore.heads.stored import save_head
from embedstore.testing.stores import random_store


@pytest.mark.parametrize(
    ("n_classes", "kind", "protocol"),
    [
        (16, "zero-shot", "names-16"),
        (16, "linear-probe", None),  # fitted to the classes: nobody asked by name
        (5, "zero-shot", None),
    ],
)
def test_a_head_over_the_classes_themselves(tmp_path, n_classes, kind, protocol):
    store = random_store(tmp_path / "s", n_classes=n_classes)
    ids = store.dataset("data").class_ids
    head = Head(ids, np.ones((n_classes, 8), np.float32), scale=1.0, normalize=True)
    save_head(store, "model", "other", head, {"kind": kind})
    apply_head(store, "model", "data", "other")
    (run,) = store.outcome_runs(heads="other")
    assert protocol_of(store, run) == protocol
