"""Simulated models: nameless, of the zoo's groups, or drawn by the six factors of design.

Dimensions: R models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from embedstore import zoo
from embedstore.errors import EmbedStoreError
from embedstore.store.contents import ModelRecord

F64 = npt.NDArray[np.float64]

#: Probit that each value of a factor adds: sizes of training sets .2 for ten times as many samples.
EFFECTS: Mapping[str, Mapping[Any, float]] = {
    "architecture": {"RN": 0.0, "ConvNeXt": 0.15, "ViT": 0.3},
    "training_distribution": {"WIT": 0.0, "LAION-2B": -0.1, "DataComp": 0.25},
    "training_samples": {10_000_000: 0.0, 100_000_000: 0.2, 1_000_000_000: 0.4},
    "fine_tuning": {"none": 0.0, "in1k": 0.35},
    "loss": {"softmax": 0.0, "sigmoid": -0.05},
    "prompts": {"openai-80": 0.0, "name": -0.2},
}


@dataclass(frozen=True, slots=True)
class Design:
    """What factors of design add to the probit of ID accuracy; each model draws its values."""

    effects: Mapping[str, Mapping[Any, float]] = field(default_factory=lambda: EFFECTS)
    intercept: float = 0.0  # probit of a model whose values add nothing
    noise: float = 0.05  # standard deviation of what no factor explains, probit


def nameless(n_models: int) -> list[ModelRecord]:
    """Return records of models of which nothing is known."""
    return [_record(i, f"python:model-{i:03d}", {}) for i in range(n_models)]


def of_zoo(groups: Mapping[str, int]) -> tuple[list[ModelRecord], tuple[str, ...]]:
    """Return records of the first models of the zoo's groups, and the group of each.

    Parameters
    ----------
    groups
        Group of the zoo -> how many of its models.

    Raises
    ------
    EmbedStoreError
        If there is no such group, or it has fewer models.
    """
    specs: list[str] = []
    of_model: list[str] = []
    for group, n_models in groups.items():
        known = zoo.models(group)["spec"].to_list()
        if n_models > len(known):
            raise EmbedStoreError(
                f"group {group!r} of the zoo has {len(known)} models and not {n_models}; ask for "
                "no more"
            )
        specs += known[:n_models]
        of_model += [group] * n_models
    records = [_record(i, spec, zoo.factors(spec)) for i, spec in enumerate(specs)]
    return records, tuple(of_model)


def of_design(
    design: Design, n_models: int, random: np.random.Generator
) -> tuple[list[ModelRecord], F64]:
    """Draw models by their factors: R records, (R,) expected ID accuracies."""
    values = {factor: list(effects) for factor, effects in design.effects.items()}
    drawn = [
        {factor: known[random.integers(len(known))] for factor, known in values.items()}
        for _ in range(n_models)
    ]
    explained = [sum(design.effects[f][v] for f, v in factors.items()) for factors in drawn]
    probits = design.intercept + np.array(explained) + random.normal(0, design.noise, n_models)
    records = [_record(i, f"python:model-{i:03d}", factors) for i, factors in enumerate(drawn)]
    return records, np.asarray(ndtr(probits), np.float64)


def _record(i: int, spec: str, factors: Mapping[str, Any]) -> ModelRecord:
    name = f"model-{i:03d}"
    return ModelRecord(name, spec, {"weights": name}, 0, False, True, {}, factors)
