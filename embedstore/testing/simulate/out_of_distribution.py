"""A data set of none of the head's classes, whose scores overlap the ID ones by a known AUROC.

Dimensions: R models, N samples in distribution, M out of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from embedstore.errors import EmbedStoreError
from embedstore.labels import Judgement, Labels, label_space
from embedstore.testing.simulate.outcomes import save_run, unlabelled
from embedstore.testing.simulate.samples import add_samples
from embedstore.testing.simulate.simulation import DATASET, Simulation

F64 = npt.NDArray[np.float64]


def add_out_of_distribution(
    simulation: Simulation,
    *,
    separation: npt.ArrayLike = 1.0,
    n_samples: int = 1_000,
    name: str = "out-of-distribution",
) -> F64:
    """Add a data set without labels; return the AUROC of ID against OOD scores: (R,).

    A sample is as easy as the ID sample at the quantile Φ(z - separation), z of a standard normal
    distribution: the binormal curve, of area Φ(separation / √2) (Green & Swets, 1966). Every score
    that grows with the logit has this AUROC: max_logit, energy and confidence.

    Parameters
    ----------
    simulation
        Whose store and models.
    separation
        d', one for all models or (R,).
    n_samples
        M.
    name
        Of the data set.

    Raises
    ------
    EmbedStoreError
        If ID samples tie in ease.
    """
    if len(np.unique(simulation.ease)) < len(simulation.ease):
        raise EmbedStoreError(
            "samples of equal ease tie, and their AUROC is not the planted one; simulate the store "
            "with a spread above 0"
        )
    random = np.random.default_rng((simulation.seed, *name.encode()))
    distances = np.broadcast_to(np.asarray(separation, np.float64), simulation.skill.shape)
    store, head_ids = simulation.store, simulation.store.dataset(DATASET).class_ids
    dataset = add_samples(store, name, [f"{i:06d}" for i in range(n_samples)])
    space = Judgement(label_space(head_ids, (), name), Labels.none(n_samples))
    ordered = np.sort(simulation.ease)
    for model, skill, distance in zip(store.models, simulation.skill, distances, strict=True):
        places = ndtr(random.standard_normal(n_samples) - distance)
        logit = skill + np.quantile(ordered, places)
        outcomes = unlabelled(random, logit, simulation.sharpness, len(head_ids))
        save_run(store, model, dataset, space, outcomes)
    return np.asarray(ndtr(distances / np.sqrt(2)), np.float64)
