"""WaffleCLIP: random words and characters where others put descriptions (Roth et al., 2023).

All classes share them. As in the authors' code, "A photo of a NAME, which has ...", as long as the
class names are on average, words cut to the names' mean word length. Theirs draws words from a list
of its own and characters from DCLIP's descriptions; here both come from open_clip's names of
ImageNet's classes and from the 80 templates, so that the same name gives the same texts everywhere.
Theirs averages cosines, its `--merge_predictions` averages texts as all heads do here.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from embedstore.prompts.classes import ClassList, imagenet
from embedstore.prompts.descriptions import clause
from embedstore.prompts.templates import GAP, Prompts, shipped_templates

WAFFLE, CHARACTERS = "waffle", "random-characters"
#: How the sets are called, for lists of names on offer.
FORMS = (f"{WAFFLE}-PAIRS-seed-SEED", f"{CHARACTERS}-COUNT-seed-SEED")
#: The authors' count, of pairs or of character sequences, and the first seed of theirs.
COUNT, SEED = 15, 0
_NAME = re.compile(rf"({WAFFLE}|{CHARACTERS})(?:-([1-9]\d*))?(?:-seed-(\d+))?")


@dataclass(frozen=True, slots=True)
class WaffleSet(Prompts):
    """Random descriptions: `count` of characters, each after one of words in the kind `waffle`."""

    name: str  # tells all parameters
    kind: str  # waffle or random-characters
    count: int
    seed: int

    def templates_for(self, classes: ClassList) -> tuple[str, ...]:
        """Return the templates, (T,), as long as these classes' names suggest."""
        lengths = _lengths(classes.names)
        draw = random.Random(self.seed)  # noqa: S311  its random() is the same in every version
        found = []
        for _ in range(self.count):
            if self.kind == WAFFLE:
                found.append(_random_words(draw, lengths))
            found.append(_random_characters(draw, lengths))
        return tuple(f"A photo of a {GAP}, {clause(text)}." for text in found)


def waffle_set(name: str) -> WaffleSet | None:
    """Return the set of that name, or None if it is none of `FORMS`.

    Count and seed may be left out, and are then in the set's name all the same.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind, count, seed = match[1], int(match[2] or COUNT), int(match[3] or SEED)
    return WaffleSet(f"{kind}-{count}-seed-{seed}", kind, count, seed)


@dataclass(frozen=True, slots=True)
class _Lengths:
    """How long random descriptions are, by the class names: the authors' rules."""

    words: int  # of a sequence of words
    letters: int  # that a word is cut to
    groups: int  # of a sequence of characters
    characters: int  # of a group


def _lengths(names: Sequence[str]) -> _Lengths:
    words = [name.replace("_", " ").split(" ") for name in names]
    letters = float(np.mean([np.mean([len(word) for word in name]) for name in words]))
    n_words = float(np.mean([len(name) for name in words]))
    groups = round(n_words - 1) + 1
    longest = math.ceil(np.mean([max(len(word) for word in name) for name in words]))
    return _Lengths(max(round(n_words), 1), max(round(letters), 1), groups, longest // groups + 1)


def _random_words(draw: random.Random, lengths: _Lengths) -> str:
    return " ".join(_one(draw, _words())[: lengths.letters] for _ in range(lengths.words))


def _random_characters(draw: random.Random, lengths: _Lengths) -> str:
    groups = (
        "".join(_one(draw, _characters()) for _ in range(lengths.characters))
        for _ in range(lengths.groups)
    )
    return ", ".join(groups)


def _one(draw: random.Random, choices: Sequence[str]) -> str:
    return choices[int(draw.random() * len(choices))]


@cache
def _words() -> tuple[str, ...]:
    texts = (*imagenet().names, *shipped_templates()["openai-80"])
    return tuple(sorted({word.lower() for text in texts for word in re.findall("[A-Za-z]+", text)}))


@cache
def _characters() -> tuple[str, ...]:
    return tuple(sorted(set("".join(imagenet().names)) - set(" ,.")))
