"""Outcomes drawn by chance, and their commit. It knows logits of being right, not who has them.

A sample's logits are z = sharpness x logit and 0, as if two classes shared the probability.

Dimensions: N samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import expit

from embedstore import schema
from embedstore.heads.outcomes import save_outcomes
from embedstore.labels import Judgement
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.pointers import write_pointer

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

HEAD = "own"


def judged(
    random: np.random.Generator, logit: F64, sharpness: float, labels: I64, n_classes: int
) -> pl.DataFrame:
    """Draw who is right, with probability sigmoid(logit): (N,), (N,) -> N rows."""
    right = random.random(len(logit)) < expit(logit)
    z = sharpness * logit
    scores = _scores(z)
    missed = np.where(right, 1 - scores["confidence"], scores["confidence"])
    return outcome_table(
        scores
        | {
            "prediction": np.where(right, labels, (labels + 1) % n_classes),
            "correct": right,
            "label_rank": (~right).astype(np.int64),
            "nll": scores["energy"] - z * right,
            "brier": 2 * missed**2,
        }
    )


def unlabelled(
    random: np.random.Generator, logit: F64, sharpness: float, n_classes: int
) -> pl.DataFrame:
    """Return outcomes of samples whose label is none of the head's: (N,) -> N rows."""
    predictions = random.integers(0, n_classes, len(logit))
    return outcome_table({"prediction": predictions, **_scores(sharpness * logit)})


def outcome_table(columns: Mapping[str, npt.NDArray[Any]]) -> pl.DataFrame:
    """Return a table of outcomes whose other columns are null: (N,) each -> N rows."""
    n_samples = len(columns["prediction"])
    unknown = pl.repeat(None, n_samples, eager=True)
    return pl.DataFrame(
        {
            name: (pl.Series(columns[name]) if name in columns else unknown).cast(dtype)
            for name, dtype in schema.OUTCOMES.items()
        }
    )


def save_run(
    store: Store,
    model: str,
    dataset: DatasetRecord,
    space: Judgement,
    outcomes: pl.DataFrame,
    *,
    protocol: str = "",
) -> None:
    """Commit a model's outcomes on a data set in one label space."""
    facts: dict[str, Any] = {
        "n_rows": dataset.n_samples,
        "inputs": {"fingerprint": dataset.fingerprint},
    }
    facts |= {"protocol": protocol} if protocol else {}
    run = OutcomeRun(model, dataset.name, HEAD, space.space.name)
    save_outcomes(store, run, outcomes, space.record(), facts)
    write_pointer(store.files, model, dataset.name)


def _scores(z: F64) -> dict[str, npt.NDArray[Any]]:
    """Return what logits z and 0 say without a label: (N,) -> (N,) each."""
    confidence = expit(z)
    energy = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))  # twice as fast as logaddexp
    return {
        "confidence": confidence,
        "max_logit": z,
        "energy": energy,
        "entropy": np.maximum(energy - z * confidence, 0),
        "margin": np.abs(2 * confidence - 1),
    }
