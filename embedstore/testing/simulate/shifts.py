"""A shift data set whose accuracies lie on a probit line against the ID ones.

Dimensions: R models, M samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from embedstore.errors import EmbedStoreError
from embedstore.labels import Judgement, Labels, label_space
from embedstore.testing.simulate.outcomes import judged, save_run
from embedstore.testing.simulate.samples import add_samples, numbered
from embedstore.testing.simulate.simulation import DATASET, Simulation
from embedstore.testing.simulate.skills import skills_of

F64 = npt.NDArray[np.float64]
NO_GAIN: Mapping[str, float] = MappingProxyType({})


def add_shift(
    simulation: Simulation,
    name: str,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    robustness: Mapping[str, float] = NO_GAIN,
    n_samples: int = 1_000,
) -> F64:
    """Add a data set of the same classes; return each model's expected accuracy on it: (R,).

    The accuracy is Φ(intercept + slope Φ⁻¹(expected ID accuracy)), plus the effective robustness of
    the model's group. Samples are as easy as those in distribution, drawn anew; none is marked.

    Parameters
    ----------
    simulation
        Whose store and models.
    name
        Of the data set.
    slope, intercept
        Of the line, on probit axes.
    robustness
        Group -> effective robustness, a difference of accuracies; 0 for groups that are not named.
    n_samples
        M.

    Raises
    ------
    EmbedStoreError
        If an accuracy would not lie between 0 and 1.
    """
    gains = np.array([robustness.get(group, 0.0) for group in simulation.groups])
    accuracies = ndtr(intercept + slope * ndtri(simulation.accuracies)) + gains
    if ((accuracies <= 0) | (accuracies >= 1)).any():
        raise EmbedStoreError(
            f"accuracies on {name!r} would run from {accuracies.min():g} to {accuracies.max():g}; "
            "give less effective robustness, or another line"
        )
    random = np.random.default_rng((simulation.seed, *name.encode()))
    store, classes = simulation.store, simulation.store.dataset(DATASET).class_ids
    labels = random.integers(0, len(classes), n_samples)
    ease = random.choice(simulation.ease, n_samples)
    dataset = add_samples(store, name, numbered(labels), labels, classes)
    space = Judgement(label_space(classes, classes, name), Labels(labels))
    for model, skill in zip(store.models, skills_of(accuracies, ease), strict=True):
        outcomes = judged(random, skill + ease, simulation.sharpness, labels, len(classes))
        save_run(store, model, dataset, space, outcomes)
    return np.asarray(accuracies, np.float64)
