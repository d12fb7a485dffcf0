"""A benchmark of corruptions that make every sample harder, severity by severity.

Dimensions: R models, C corruptions, S severities, N samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from embedstore.labels import Judgement, Labels, label_space
from embedstore.testing.simulate.outcomes import judged, save_run
from embedstore.testing.simulate.samples import add_samples
from embedstore.testing.simulate.simulation import DATASET, Simulation

F64 = npt.NDArray[np.float64]


def add_corruptions(
    simulation: Simulation,
    benchmark: str,
    strengths: Mapping[str, float],
    *,
    severities: Sequence[int] = (1, 2, 3, 4, 5),
) -> F64:
    """Add the simulated samples under corruptions; return expected accuracies: (R, C, S).

    Each data set is named BENCHMARK--CORRUPTION--SEVERITY and has the ids of the clean samples.

    Parameters
    ----------
    simulation
        Whose store, models and samples.
    benchmark
        Name.
    strengths
        Corruption -> logit that a severity takes from being right.
    severities
        (S,)
    """
    store = simulation.store
    samples, classes = store.samples(DATASET), store.dataset(DATASET).class_ids
    labels = samples["label"].to_numpy().astype(np.int64)
    space = Judgement(label_space(classes, classes, benchmark), Labels(labels))
    expected = np.empty((len(simulation.skill), len(strengths), len(severities)))
    for c, (corruption, strength) in enumerate(strengths.items()):
        for s, severity in enumerate(severities):
            name = f"{benchmark}--{corruption}--{severity}"
            dataset = add_samples(store, name, samples["sample_id"].to_list(), labels, classes)
            random = np.random.default_rng((simulation.seed, *name.encode()))
            for m, (model, skill) in enumerate(zip(store.models, simulation.skill, strict=True)):
                logit = skill + simulation.ease - strength * severity
                outcomes = judged(random, logit, simulation.sharpness, labels, len(classes))
                save_run(store, model, dataset, space, outcomes)
                expected[m, c, s] = expit(logit).mean()
    return expected
