"""Causes: what a number is made of, and which of its ingredients can have moved it.

Ingredients are ordered from the most fundamental: the data set, the model's identity, the head, the
label space, the analysis's convention, and last the provenance, which is a possibility only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

#: What can be moved: arrays, columns of outcomes, numbers of the analysis `accuracy`, any others.
Quantity = Literal[
    "embeddings", "logits", "prediction", "confidence", "correct", "nll", "accuracy", "number"
]
ALL: frozenset[Quantity] = frozenset(get_args(Quantity))
#: What a head moves, a label space, labels, a positive scale of logits, the choice of samples.
BY_HEAD = ALL - {"embeddings"}
BY_SPACE = BY_HEAD - {"logits"}
BY_LABELS: frozenset[Quantity] = frozenset({"correct", "nll", "accuracy", "number"})
BY_SCALE: frozenset[Quantity] = frozenset({"logits", "confidence", "nll", "number"})
BY_SAMPLES: frozenset[Quantity] = frozenset({"nll", "accuracy", "number"})

_MOST = 4  # causes that are said; the others are counted
_SHORT = 24  # characters of a value that is said as it is


class Level(IntEnum):
    """How fundamental an ingredient is."""

    DATASET = 0
    IDENTITY = 1
    HEAD = 2
    SPACE = 3
    CONVENTION = 4
    PROVENANCE = 5


@dataclass(frozen=True, slots=True)
class Cause:
    """An ingredient that differs."""

    level: Level
    subject: str  # the data set, model, head or label space
    text: str  # such as `transform differs`
    moves: frozenset[Quantity] = ALL
    partly: frozenset[Quantity] = frozenset()  # moved on other samples too, so not by it alone

    def accounts_for(self, quantity: Quantity) -> bool:
        """Whether it suffices."""
        return quantity in self.moves - self.partly


def explain(causes: Iterable[Cause], quantity: Quantity, *, subjects: bool = False) -> str:
    """Say what explains a difference: the first cause that suffices, then the others.

    Parameters
    ----------
    causes
        In any order; those that cannot move the quantity are passed over.
    quantity
        What differs.
    subjects
        Name what each cause concerns, where the number itself does not.
    """
    moving = sorted((c for c in causes if quantity in c.moves), key=lambda c: c.level)
    enough = [c for c in moving if c.accounts_for(quantity)]
    certain = _texts([c for c in enough if c.level < Level.PROVENANCE], subjects)
    possible = _texts([c for c in enough if c.level == Level.PROVENANCE], subjects)
    partly = _texts([c for c in moving if c not in enough], subjects)
    partly = [f"in part {text}" for text in partly if text not in certain]
    said = [*certain, *partly, *possible] if certain else [*possible, *partly]
    if not enough:
        said = ["unexplained", *partly]
    more = [f"{len(said) - _MOST} more"] if len(said) > _MOST else []
    return "; also ".join([*said[:_MOST], *more])


def _texts(causes: Collection[Cause], subjects: bool) -> list[str]:
    return list(
        dict.fromkeys(
            f"{c.subject}: {c.text}" if subjects and c.subject else c.text for c in causes
        )
    )


def against(name: str, a: object, b: object) -> str:
    """Say how a field differs: its values where they are short, and no digests."""
    texts = ["none" if value in (None, "") else str(value) for value in (a, b)]
    if any(len(text) > _SHORT for text in texts):
        return f"{name} {'differ' if name.endswith('s') else 'differs'}"
    return f"{name} {texts[0]} against {texts[1]}"


def fields_that_differ(
    a: Mapping[str, object], b: Mapping[str, object]
) -> list[tuple[str, object, object]]:
    """Return name and both values of each field that differs; None where one has no such field."""
    pairs = ((name, a.get(name), b.get(name)) for name in sorted({*a, *b}))
    return [(name, left, right) for name, left, right in pairs if left != right]
