"""Simulated stores: outcomes of many models whose truth is planted, for tests and benchmarks.

There are no embeddings and no logits, only outcomes. :func:`simulate_store` makes a store of one
data set; the functions ``add_...`` put a further data set into it and return what they plant.
Everything is seeded: the same calls make the same store.
"""

from embedstore.testing.simulate.corruptions import add_corruptions
from embedstore.testing.simulate.cue_conflict import add_cue_conflict
from embedstore.testing.simulate.models import EFFECTS, Design
from embedstore.testing.simulate.out_of_distribution import add_out_of_distribution
from embedstore.testing.simulate.outcomes import HEAD
from embedstore.testing.simulate.shifts import add_shift
from embedstore.testing.simulate.simulation import DATASET, Simulation, simulate_store

__all__ = [
    "DATASET", "EFFECTS", "HEAD", "Design", "Simulation", "add_corruptions",
    "add_cue_conflict", "add_out_of_distribution", "add_shift", "simulate_store",
]  # fmt: skip
