"""Language models against their encoders, judged among the options that they were given."""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore import schema
from embedstore.claims.evidence import Evidence
from embedstore.claims.language import AgainstEncoder
from embedstore.heads.stored import load_head
from embedstore.store.answers import save_answers
from embedstore.testing.stores import random_store


def test_fewer_options_are_no_gain(tmp_path, say, monkeypatch):
    """A model that chooses as its encoder does among two options is no better than it."""
    store = random_store(tmp_path / "s", n_samples=200)
    labels = store.samples("data")["label"].to_list()
    logits = load_head(store, "model", "own").logits(store.embeddings("model", "data")[:])
    rows = [
        {"sample_index": i, "order": 0, "option_classes": [c, (c + 1) % 5],
         "scores_per_token": logits[i, [c, (c + 1) % 5]].tolist()}
        for i, c in enumerate(labels)
    ]  # fmt: skip
    answers = pl.DataFrame(rows, schema=dict(schema.ANSWERS))
    right = [bool(np.diff(row["scores_per_token"])[0] <= 0) for row in rows]
    say(store, "llava", right, head="two-options", prediction=labels)
    monkeypatch.setattr(
        "embedstore.claims.language.own_encoder",
        lambda _store, name: "model" if name == "llava" else None,
    )
    by_outcomes = AgainstEncoder("hardest").find(Evidence(store, False, "data", 5, 400, 0))
    save_answers(store.files, "llava", "data", "two-options", answers, {})
    by_answers = AgainstEncoder("hardest").find(Evidence(store, False, "data", 5, 400, 0))
    assert by_outcomes.value > 0.1
    assert by_outcomes.p_value < 0.01
    assert (by_answers.value, by_answers.low, by_answers.high) == (0.0, 0.0, 0.0)
    assert by_answers.p_value == 1.0
    assert (by_answers.n_models, by_answers.n_least) == (2, 1)
