"""Decisions on cue-conflict pictures with a known shape bias, laid out as Geirhos et al.'s.

Dimensions: R models, N = 1,280 pictures, S = 16 classes.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.heads.protocols import Protocol
from embedstore.labels import Judgement, Labels, class_map, label_space
from embedstore.store.datasets import save_annotations
from embedstore.testing.simulate.outcomes import outcome_table, save_run
from embedstore.testing.simulate.samples import add_samples
from embedstore.testing.simulate.simulation import Simulation

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: Pictures of each pair of shape and texture: 16 x 16 x 5 = 1,280, of which 80 without conflict.
N_OF_PAIR = 5


def add_cue_conflict(
    simulation: Simulation,
    *,
    shape_bias: npt.ArrayLike = 0.3,
    decided: float = 0.8,
    protocol: Protocol = "names-16",
    name: str = "cue-conflict",
) -> F64:
    """Add 1,280 pictures and what models decide of them; return each one's shape bias: (R,).

    Only decisions are stored; confidences and what comes from them are null.

    Parameters
    ----------
    simulation
        Whose store and models.
    shape_bias
        Probability of the shape's class, given that it is the shape's or the texture's; one for all
        models or (R,).
    decided
        Probability that it is one of the two; else a third class is named.
    protocol
        How classes were asked for.
    name
        Of the data set.
    """
    classes = tuple(sorted(class_map("cue-conflict").members))
    pairs = np.array(list(product(range(16), range(16), range(N_OF_PAIR))))
    shape, texture, copy = pairs.T
    store = simulation.store
    ids = [
        f"{classes[s]}/{classes[s]}{n + 1}-{classes[t]}{n + 1}"
        for s, t, n in zip(shape, texture, copy, strict=True)
    ]
    dataset = add_samples(store, name, ids, shape, classes)
    cues = pl.DataFrame({"shape": [classes[s] for s in shape]}).with_columns(
        texture=pl.Series([classes[t] for t in texture])
    )
    save_annotations(store.files, name, "cues", cues)
    space = Judgement(label_space(classes, classes, name), Labels(shape))
    random = np.random.default_rng((simulation.seed, *name.encode()))
    biases = np.broadcast_to(np.asarray(shape_bias, np.float64), simulation.skill.shape)
    for model, bias in zip(store.models, biases, strict=True):
        said = _decisions(random, shape, texture, bias, decided)
        outcomes = outcome_table({"prediction": said, "correct": said == shape})
        save_run(store, model, dataset, space, outcomes, protocol=protocol)
    return np.array(biases)


def _decisions(
    random: np.random.Generator, shape: I64, texture: I64, bias: float, decided: float
) -> I64:
    """Draw a class for each picture: (N,), (N,) -> (N,)."""
    named, by_shape = random.random(len(shape)) < decided, random.random(len(shape)) < bias
    ranks = random.random((len(shape), 16))  # the third class is the first of a random order
    rows = np.arange(len(shape))
    ranks[rows, shape] = ranks[rows, texture] = 2.0
    cue = np.where(by_shape, shape, texture)
    return np.asarray(np.where(named, cue, ranks.argmin(axis=1)), np.int64)
