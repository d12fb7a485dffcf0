"""Every template filled with every class name. C classes, T templates, M = C * T texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.prompts.classes import ClassList
from embedstore.prompts.templates import GAP, PromptSet


@dataclass(frozen=True, slots=True)
class TextSet:
    """Texts to encode, and what each was made of."""

    name: str  # PROMPTS--CLASSES
    texts: list[str]  # (M,)
    class_index: npt.NDArray[np.int32]  # (M,) 0 to C - 1
    template_index: npt.NDArray[np.int32]  # (M,) 0 to T - 1


def expand(prompts: PromptSet, classes: ClassList) -> TextSet:
    """Fill every template with every class name, all templates of a class in a row."""
    C, T = len(classes.names), len(prompts.templates)
    return TextSet(
        name=f"{prompts.name}--{classes.name}",
        texts=[t.replace(GAP, name) for name in classes.names for t in prompts.templates],
        class_index=np.repeat(np.arange(C, dtype=np.int32), T),
        template_index=np.tile(np.arange(T, dtype=np.int32), C),
    )
