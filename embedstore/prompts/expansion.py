"""Every prompt of every class. C classes, M texts: with T templates, M = C * T."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedstore.prompts.classes import ClassList
from embedstore.prompts.templates import Prompts


@dataclass(frozen=True, slots=True)
class TextSet:
    """Texts to encode, and what each was made of."""

    name: str  # PROMPTS--CLASSES
    templates: tuple[str, ...]  # (T,); () where a class has texts of its own
    texts: list[str]  # (M,)
    class_index: npt.NDArray[np.int32]  # (M,) 0 to C - 1
    template_index: npt.NDArray[np.int32]  # (M,) the text's place within its class


def expand(prompts: Prompts, classes: ClassList) -> TextSet:
    """Put the prompts to every class, all texts of a class in a row."""
    by_class = prompts.texts_for(classes)
    counts = [len(texts) for texts in by_class]
    places = [np.arange(count, dtype=np.int32) for count in counts]
    return TextSet(
        name=f"{prompts.name}--{classes.name}",
        templates=prompts.templates_for(classes),
        texts=[text for texts in by_class for text in texts],
        class_index=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        template_index=np.concatenate(places) if places else np.empty(0, np.int32),
    )
