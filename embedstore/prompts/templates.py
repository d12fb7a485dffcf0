"""Prompt templates: sentences with one gap, `{}`, for a class name. C = classes, T = templates."""

from __future__ import annotations

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from embedstore.errors import EmbedStoreError
from embedstore.prompts.classes import ClassList
from embedstore.prompts.files import checked_entries, refuse_repeats

#: Where a template takes the class name; other braces stand for themselves.
GAP = "{}"


class Prompts(ABC):
    """What is said of classes, whichever these are; made into texts by :func:`expand`."""

    __slots__ = ()

    name: str

    @abstractmethod
    def templates_for(self, classes: ClassList) -> tuple[str, ...]:
        """Return the templates that all of the classes are put into, (T,).

        Empty where a class has texts of its own.
        """

    def texts_for(self, classes: ClassList) -> list[list[str]]:
        """Return the texts of each class, (C,) lists, of which none is empty."""
        templates = self.templates_for(classes)
        return [filled(templates, name) for name in classes.names]


@dataclass(frozen=True, slots=True)
class PromptSet(Prompts):
    """Templates under one name."""

    name: str
    templates: tuple[str, ...]  # (T,) each with exactly one {}

    def templates_for(self, classes: ClassList) -> tuple[str, ...]:  # noqa: ARG002
        """Return the templates, which are the same for all classes."""
        return self.templates


def filled(templates: Sequence[str], name: str) -> list[str]:
    """Return each template with the class name in its gap."""
    return [template.replace(GAP, name) for template in templates]


@cache
def shipped_templates() -> dict[str, tuple[str, ...]]:
    """Return the templates that ship with embedstore, by the name of their set."""
    text = files("embedstore.prompts").joinpath("templates.toml").read_text("utf-8")
    return {name: tuple(table["templates"]) for name, table in tomllib.loads(text).items()}


def checked_templates(path: Path, value: Any) -> tuple[str, ...]:
    """Return what a user's file gives as its templates, if it is a list of such.

    Raises
    ------
    EmbedStoreError
        If it is no list, an entry is no text or blank, has not exactly one gap, or stands twice.
    """
    if not isinstance(value, list) or not value:
        raise EmbedStoreError(
            f"{path} holds no list of templates; write [...] in JSON, templates = [...] in TOML"
        )
    templates = tuple(checked_entries(path, value, "template"))
    for template in templates:
        if template.count(GAP) != 1:
            raise EmbedStoreError(
                f"template {template!r} in {path} needs exactly one {GAP} for the class name"
            )
    refuse_repeats(path, templates)
    return templates
