"""Descriptions: sentences or visual features of each class, as language models write them.

Whole sentences are CuPL's (Pratt et al., 2023), features after the class's name DCLIP's (Menon &
Vondrick, 2023). C = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedstore.errors import EmbedStoreError
from embedstore.prompts.classes import ClassList, spoken_name
from embedstore.prompts.files import checked_entries
from embedstore.prompts.templates import GAP, Prompts, checked_templates, filled

#: Entries of a file that hold a mapping from classes: to sentences, and to features.
SENTENCES, FEATURES = "descriptions", "descriptors"
TEMPLATES = "templates"
_BARE_VERBS = ("has", "often", "typically", "may", "can")


@dataclass(frozen=True, slots=True)
class DescriptionSet(Prompts):
    """Descriptions of classes under one name; classes may have different counts."""

    name: str
    descriptions: Mapping[str, tuple[str, ...]]  # class id or name -> sentences or features
    templates: tuple[str, ...] = ()  # (T,) said of every class too, before its descriptions
    features: bool = False  # whether descriptions are features, put as NAME, which has ...

    def templates_for(self, classes: ClassList) -> tuple[str, ...]:  # noqa: ARG002
        """Return none: texts are a class's own, also where templates stand among them."""
        return ()

    def texts_for(self, classes: ClassList) -> list[list[str]]:
        """Return each class's templates, filled, then its descriptions: (C,) lists.

        A key is a class's id or its name, however spelt (case, `_`, `-`); a name that several
        classes share is said of all of them but those that have a key of their own id.

        Raises
        ------
        EmbedStoreError
            If a class has no description, or two, or a description has no class.
        """
        key_of = self._keys(classes)
        return [
            filled(self.templates, name) + [self._text(name, d) for d in self.descriptions[key]]
            for name, key in zip(classes.names, key_of, strict=True)
        ]

    def _text(self, name: str, description: str) -> str:
        return f"{name}, {clause(description)}" if self.features else description

    def _keys(self, classes: ClassList) -> list[str]:
        """Return the key that describes each class, (C,)."""
        exact, spoken = _rows(classes.names), _rows([spoken_name(n) for n in classes.names])
        by_id = {class_id: row for row, class_id in enumerate(classes.ids)}
        found = {by_id[key]: key for key in self.descriptions if key in by_id}
        unknown, named = [], dict[int, str]()
        for key in (k for k in self.descriptions if k not in by_id):
            meant = exact.get(key) or spoken.get(spoken_name(key), [])
            unknown += [] if meant else [key]
            free = [row for row in meant if row not in found]
            twice = next((row for row in meant if row in named), None)
            if twice is not None or (meant and not free):
                row = meant[0] if twice is None else twice
                self._refuse_twice(classes, row, named.get(row) or found[row], key)
            named |= dict.fromkeys(free, key)
        found |= named
        self._refuse_unknown(classes, unknown)
        self._refuse_missing(classes, [r for r in range(len(classes.ids)) if r not in found])
        return [found[row] for row in range(len(classes.ids))]

    def _refuse_twice(self, classes: ClassList, row: int, first: str, second: str) -> None:
        raise EmbedStoreError(
            f"prompt set {self.name!r} describes class {classes.ids[row]!r} of {classes.name!r} "
            f"under {first!r} and under {second!r}; keep one of the two"
        )

    def _refuse_unknown(self, classes: ClassList, keys: Sequence[str]) -> None:
        if keys:
            raise EmbedStoreError(
                f"prompt set {self.name!r} describes classes that the list {classes.name!r} lacks "
                f"({len(keys):,}, first {keys[0]!r}); take them out, write them as the list does, "
                "or choose another list with --classes"
            )

    def _refuse_missing(self, classes: ClassList, rows: Sequence[int]) -> None:
        if rows:
            first = classes.ids[rows[0]], classes.names[rows[0]]
            shown = repr(first[0]) if first[0] == first[1] else f"{first[0]!r} ({first[1]})"
            raise EmbedStoreError(
                f"prompt set {self.name!r} has no description of {len(rows):,} of the "
                f"{len(classes.ids):,} classes of {classes.name!r}, first {shown}; add them, or "
                "choose another list with --classes"
            )


def _rows(names: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return rows


def clause(feature: str) -> str:
    """Return the relative clause that DCLIP makes of a feature: which is, has or can ..."""
    if feature.startswith(_BARE_VERBS):
        return f"which {feature}"
    return f"which is {feature}" if feature.startswith(("a", "used")) else f"which has {feature}"


def read_descriptions(path: Path, value: Mapping[str, Any]) -> DescriptionSet:
    """Return the descriptions in a user's JSON file, of which `value` is the content.

    Parameters
    ----------
    path
        The set is named after it.
    value
        Classes, each with its list of sentences, and perhaps an entry `templates`; or an entry
        `descriptions` (sentences) or `descriptors` (features) that holds the classes.

    Raises
    ------
    EmbedStoreError
        If it is of another form, or a class has no description or an empty one.
    """
    rest = {key: entry for key, entry in value.items() if key != TEMPLATES}
    templates = checked_templates(path, value[TEMPLATES]) if TEMPLATES in value else ()
    nested = [key for key in (SENTENCES, FEATURES) if isinstance(rest.get(key), dict)]
    if nested and len(rest) > 1:
        other = next(key for key in rest if key != nested[0])
        raise EmbedStoreError(
            f"{path} holds {other!r} beside {nested[0]!r}; keep one of them, besides {TEMPLATES!r}"
        )
    by_class = rest[nested[0]] if nested else rest
    if not by_class:
        raise EmbedStoreError(f"{path} describes no class; write {{class: [sentence, ...], ...}}")
    descriptions = {key: _checked(path, key, entry) for key, entry in by_class.items()}
    return DescriptionSet(path.stem, descriptions, templates, features=nested == [FEATURES])


def _checked(path: Path, key: str, entry: Any) -> tuple[str, ...]:
    if not isinstance(entry, list):
        raise EmbedStoreError(
            f"what {path} says of class {key!r} is no list; write {{class: [sentence, ...], ...}}"
        )
    if not entry:
        raise EmbedStoreError(
            f"class {key!r} has no description in {path}; give every class at least one"
        )
    # Tokenizers drop the spaces and line ends that language models put around a sentence.
    texts = tuple(t.strip() for t in checked_entries(path, entry, f"description of {key!r}"))
    template = next((text for text in texts if GAP in text), None)
    if template is not None:
        raise EmbedStoreError(
            f"description {template!r} of class {key!r} in {path} holds {GAP}, which only "
            f"templates fill; write the class's name, or move it to {TEMPLATES!r}"
        )
    return texts
