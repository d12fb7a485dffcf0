"""Greedy selection of templates, as the 7 of CLIP's 80 were chosen.

Dimensions: K members of a label space, D embedding, T templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from embedstore.prompt_sweep.images import Images
from embedstore.prompt_sweep.measuring import Measurement, in_groups, measure
from embedstore.prompt_sweep.texts import PromptTexts, mean_direction

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def greedy_order(
    texts: PromptTexts, images: Images, asked: Measurement, max_templates: int
) -> list[int]:
    """Return templates in the order in which each raises accuracy on the pictures most.

    Of equal accuracy the lower NLL counts, then the earlier template. It ends where no template
    helps by these, or with `max_templates`.
    """
    chosen: list[int] = []
    best = (-1, -np.inf)
    sums: F64 | float = 0.0
    while len(chosen) < min(max_templates, texts.n_templates):
        left = [t for t in range(texts.n_templates) if t not in chosen]
        found = [
            (said.n_correct, -said.nll)
            for group in in_groups(_candidates(texts, sums, left, len(chosen) + 1), texts.shape)
            for said in measure(group, images, asked)
        ]
        top = max(range(len(left)), key=found.__getitem__)  # the first of equal ones
        if found[top] <= best:
            break
        best = found[top]
        chosen.append(left[top])
        sums = sums + texts.template(left[top]).astype(np.float64)
    return chosen


def _candidates(
    texts: PromptTexts, sums: F64 | float, left: Sequence[int], n: int
) -> Iterator[F32]:
    """Yield weights of the chosen templates, whose sums these are, and one more: (K, D) each."""
    for template in left:
        yield mean_direction(sums + texts.template(template).astype(np.float64), n)
