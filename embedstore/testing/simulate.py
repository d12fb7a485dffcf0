"""Simulated stores: outcomes of many models whose truth is planted, for tests and benchmarks.

There are no embeddings and no logits. Each sample is marked by some factors; a model gets it right
with the probability sigmoid(skill + the sum of its marks' effects), and says so with a confidence
of sigmoid(sharpness x that), calibrated where the sharpness is 1.

Dimensions: R models, N samples, F factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore import schema
from embedstore.heads.outcomes import save_outcomes
from embedstore.labels import ALL, Judgement, Labels, label_space
from embedstore.store import Store
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.datasets import DatasetRecord, fingerprint, save_annotations, save_dataset
from embedstore.store.outcomes import OutcomeRun
from embedstore.store.pointers import write_pointer
from embedstore.store.tables import table

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
DATASET, HEAD = "simulated", "own"


@dataclass(frozen=True, slots=True)
class Simulation:
    """A store, and what was planted in it."""

    store: Store
    skill: F64  # (R,) logit of being right without any factor
    effects: F64  # (F,) what a factor adds to that logit
    marks: Bool  # (N, F)
    sharpness: float

    @property
    def probabilities(self) -> F64:
        """Of being right: (R, N)."""
        return _sigmoid(self.skill[:, None] + self.marks @ self.effects)


def simulate_store(
    path: Path,
    *,
    n_models: int = 3,
    n_samples: int = 1_000,
    n_factors: int = 4,
    share: float = 0.2,
    sharpness: float = 1.0,
    n_classes: int = 10,
    seed: int = 0,
) -> Simulation:
    """Make a store of outcomes whose truth is known.

    Parameters
    ----------
    path
        Where to.
    n_models, n_samples, n_factors
        R, N and F; models are named `model-000`, factors `factor-00`.
    share
        Of the samples that each factor marks, by chance.
    sharpness
        Of the confidences: above 1 they say too much.
    n_classes
        Of the data set.
    seed
        Of all numbers: the same arguments make the same store.
    """
    random = np.random.default_rng(seed)
    store = Store.open(path, create=True)
    marks = random.random((n_samples, n_factors)) < share
    effects = np.linspace(-2.0, 0.5, n_factors)
    skill = np.linspace(0.0, 3.0, n_models)
    simulation = Simulation(store, skill, effects, marks, sharpness)
    record, labels = _add_dataset(store, random, marks, n_classes)
    ease = marks @ effects
    for i in range(n_models):
        model = f"model-{i:03d}"
        save_model(
            store.files,
            ModelRecord(model, f"python:{model}", {"weights": model}, 0, False, True, {}),
        )
        outcomes = _outcomes(random, skill[i] + ease, sharpness, labels, n_classes)
        space = Judgement(label_space(record.class_ids, record.class_ids, DATASET), Labels(labels))
        run = OutcomeRun(model, DATASET, HEAD, ALL)
        facts = {"n_rows": n_samples, "inputs": {"fingerprint": record.fingerprint}}
        save_outcomes(store, run, outcomes, space.record(), facts)
        write_pointer(store.files, model, DATASET)
    return simulation


def _add_dataset(
    store: Store, random: np.random.Generator, marks: Bool, n_classes: int
) -> tuple[DatasetRecord, npt.NDArray[np.int64]]:
    labels = random.integers(0, n_classes, len(marks))
    ids = [f"class-{label}/{i:06d}" for i, label in enumerate(labels)]
    columns = {"sample_id": ids, "path": ids, "label": labels, "digest": ids}
    samples = table(schema.SAMPLES, columns)
    classes = tuple(f"class-{i}" for i in range(n_classes))
    digest = fingerprint(samples, classes)
    record = DatasetRecord(DATASET, "folder:simulated", DATASET, classes, classes, len(ids), digest)
    save_dataset(store.files, record, samples)
    names = [f"factor-{i:02d}" for i in range(marks.shape[1])]
    if names:
        frame = pl.DataFrame({name: marks[:, i] for i, name in enumerate(names)})
        save_annotations(store.files, DATASET, "factors", frame)
    return record, labels


def _outcomes(
    random: np.random.Generator,
    logit: F64,
    sharpness: float,
    labels: npt.NDArray[np.int64],
    n_classes: int,
) -> pl.DataFrame:
    """Draw who is right; all else follows as if two classes shared the probability: N rows."""
    right = random.random(len(logit)) < _sigmoid(logit)
    confidence = _sigmoid(sharpness * logit)
    other = 1 - confidence
    entropy = -confidence * np.log(confidence) - other * np.log(other)
    missed = np.where(right, other, confidence)
    values = {
        "prediction": np.where(right, labels, (labels + 1) % n_classes),
        "correct": right,
        "label_rank": (~right).astype(np.int64),
        "confidence": confidence,
        "max_logit": sharpness * logit,
        "energy": sharpness * logit - np.log(confidence),
        "entropy": entropy,
        "margin": np.abs(confidence - other),
        "nll": -np.log(1 - missed),
        "brier": 2 * missed**2,
    }
    return pl.DataFrame(
        {name: pl.Series(values[name]).cast(dtype) for name, dtype in schema.OUTCOMES.items()}
    )


def _sigmoid(logit: F64) -> F64:
    return np.asarray(1 / (1 + np.exp(-logit)), np.float64)
