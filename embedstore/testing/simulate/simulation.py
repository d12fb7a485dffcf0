"""A store of one data set that marks some samples by factors, and models of known skill.

A model gets a sample right with the probability sigmoid(skill + ease), where a sample's ease is the
sum of its marks' effects and of a part of its own, and says so with a confidence of
sigmoid(sharpness x that logit), calibrated where the sharpness is 1.

Dimensions: R models, N samples, F factors, B bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import expit

from embedstore.errors import EmbedStoreError
from embedstore.labels import Judgement, Labels, label_space
from embedstore.store import Store
from embedstore.store.contents import ModelRecord, save_model
from embedstore.store.datasets import DatasetRecord, save_annotations
from embedstore.testing.simulate.models import Design, nameless, of_design, of_zoo
from embedstore.testing.simulate.outcomes import judged, save_run
from embedstore.testing.simulate.samples import add_samples, numbered
from embedstore.testing.simulate.skills import skills_of

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

DATASET = "simulated"


@dataclass(frozen=True, slots=True)
class Simulation:
    """A store, and what was planted in it."""

    store: Store
    skill: F64  # (R,) logit of being right on a sample of ease 0
    effects: F64  # (F,) what a factor adds to that logit
    marks: Bool  # (N, F)
    sharpness: float
    ease: F64  # (N,) logit that a sample adds: its marks' effects, and its own
    groups: tuple[str, ...]  # (R,) of the zoo; empty texts where none were asked for
    seed: int

    @property
    def probabilities(self) -> F64:
        """Of being right: (R, N)."""
        return np.asarray(expit(self.skill[:, None] + self.ease), np.float64)

    @property
    def accuracies(self) -> F64:
        """Expected accuracy of each model: (R,)."""
        return np.array([expit(skill + self.ease).mean() for skill in self.skill])

    def calibration_errors(self, n_bins: int = 15) -> F64:
        """Return the expected calibration error of each model, had every sample many labels: (R,).

        Within bins of equal width the gaps of probability and confidence add up; no label is drawn,
        so that there is no bias by chance.
        """
        errors = []
        for skill in self.skill:
            logit = skill + self.ease
            confidence = expit(self.sharpness * logit)
            gaps, _ = np.histogram(confidence, n_bins, (0, 1), weights=expit(logit) - confidence)
            errors.append(np.abs(gaps).sum() / len(logit))
        return np.array(errors)


def simulate_store(
    path: Path,
    *,
    n_models: int = 3,
    n_samples: int = 1_000,
    n_factors: int = 4,
    share: float = 0.2,
    sharpness: float = 1.0,
    n_classes: int = 10,
    spread: float = 0.0,
    groups: Mapping[str, int] | None = None,
    design: Design | None = None,
    seed: int = 0,
) -> Simulation:
    """Make a store of outcomes whose truth is known.

    Parameters
    ----------
    path
        Where to.
    n_models, n_samples, n_factors
        R, N and F; models are named `model-000`, factors `factor-00`. Skills run from 0 to 3.
    share
        Of the samples that each factor marks, by chance.
    sharpness
        Of the confidences: above 1 they say too much.
    n_classes
        Of the data set.
    spread
        Standard deviation of samples' own ease, a logit.
    groups
        Models of the zoo instead, with their SPECs and factors: group -> how many. Skills run from
        0 to 3 within each.
    design
        What models' factors of design make of their accuracy, in place of even skills.
    seed
        Of all numbers: the same arguments make the same store.

    Raises
    ------
    EmbedStoreError
        If both `groups` and `design` are given, or the zoo has fewer models of a group.
    """
    random = np.random.default_rng(seed)
    store = Store.open(path, create=True)
    marks = random.random((n_samples, n_factors)) < share
    effects = np.linspace(-2.0, 0.5, n_factors)
    labels = random.integers(0, n_classes, n_samples)
    ease = marks @ effects + spread * np.random.default_rng((seed, 1)).standard_normal(n_samples)
    records, of_model, skill = _models(n_models, groups, design, ease, seed)
    simulation = Simulation(store, skill, effects, marks, sharpness, ease, of_model, seed)
    dataset = _add_dataset(store, marks, labels, n_classes)
    space = Judgement(label_space(dataset.class_ids, dataset.class_ids, DATASET), Labels(labels))
    for record, logit in zip(records, skill, strict=True):
        save_model(store.files, record)
        outcomes = judged(random, logit + ease, sharpness, labels, n_classes)
        save_run(store, record.name, dataset, space, outcomes)
    return simulation


def _models(
    n_models: int,
    groups: Mapping[str, int] | None,
    design: Design | None,
    ease: F64,
    seed: int,
) -> tuple[list[ModelRecord], tuple[str, ...], F64]:
    """Return records, groups and skills: R each."""
    if groups is not None and design is not None:
        raise EmbedStoreError("models of the zoo have a design; give either groups or design")
    if groups is not None:
        records, of_model = of_zoo(groups)
        return records, of_model, np.concatenate([np.linspace(0, 3, n) for n in groups.values()])
    of_none = ("",) * n_models
    if design is None:
        return nameless(n_models), of_none, np.linspace(0.0, 3.0, n_models)
    records, accuracies = of_design(design, n_models, np.random.default_rng((seed, 2)))
    return records, of_none, skills_of(accuracies, ease)


def _add_dataset(store: Store, marks: Bool, labels: I64, n_classes: int) -> DatasetRecord:
    classes = tuple(f"class-{i}" for i in range(n_classes))
    record = add_samples(store, DATASET, numbered(labels), labels, classes)
    names = [f"factor-{i:02d}" for i in range(marks.shape[1])]
    if names:
        frame = pl.DataFrame({name: marks[:, i] for i, name in enumerate(names)})
        save_annotations(store.files, DATASET, "factors", frame)
    return record
