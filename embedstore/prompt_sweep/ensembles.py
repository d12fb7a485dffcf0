"""Prompt ensembles of a text set: the whole of it, each template alone, the first t of an order.

Dimensions: C classes, D embedding, T templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedstore.prompt_sweep.texts import PromptTexts, mean_direction

F32 = npt.NDArray[np.float32]
Part = Literal["set", "template", "prefix", "greedy"]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Some texts of a text set, averaged into weights of classes."""

    texts: str  # name of the text set
    part: Part
    name: str  # `openai-80`, `openai-80[12]`, `openai-80[:12]`, `openai-80[12,0,7]`
    n_templates: int | None  # None where texts are of no template
    template: str | None  # the only one, or the one that came last
    weights: F32  # (C, D) of unit length


def whole(texts: PromptTexts) -> Ensemble:
    """Return the ensemble of all texts of each class."""
    template = texts.record.templates[0] if texts.n_templates == 1 else None
    return Ensemble(
        texts.record.name, "set", texts.name, texts.n_templates or None, template, texts.weights()
    )


def templates(texts: PromptTexts) -> Iterator[Ensemble]:
    """Yield each template alone."""
    for t in range(texts.n_templates):
        text, name = texts.record.templates[t], f"{texts.name}[{t}]"
        # normalised twice, as the mean of one
        weights = mean_direction(texts.template(t).astype(np.float64), 1)
        yield Ensemble(texts.record.name, "template", name, 1, text, weights)


def prefixes(texts: PromptTexts) -> Iterator[Ensemble]:
    """Yield the ensembles of the first 1 to T templates."""
    for t, weights in enumerate(_running(texts, range(texts.n_templates))):
        text, name = texts.record.templates[t], f"{texts.name}[:{t + 1}]"
        yield Ensemble(texts.record.name, "prefix", name, t + 1, text, weights)


def ordered(texts: PromptTexts, order: Sequence[int]) -> Iterator[Ensemble]:
    """Yield the ensembles of the first templates of an order, one more each."""
    for n, weights in enumerate(_running(texts, order), start=1):
        text = texts.record.templates[order[n - 1]]
        name = f"{texts.name}[{','.join(map(str, order[:n]))}]"
        yield Ensemble(texts.record.name, "greedy", name, n, text, weights)


def _running(texts: PromptTexts, order: Sequence[int]) -> Iterator[F32]:
    """Yield weights of the first templates of an order, from running sums: (C, D) each."""
    sums: npt.NDArray[np.float64] | None = None
    for n, template in enumerate(order, start=1):
        rows = texts.template(template)
        sums = rows.astype(np.float64) if sums is None else sums + rows
        yield mean_direction(sums, n)
