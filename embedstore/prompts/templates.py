"""Prompt templates: sentences with one gap, `{}`, for a class name. T = templates."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.prompts.files import (
    checked_entries,
    file_json,
    file_lines,
    file_text,
    refuse_repeats,
)

#: Where a template takes the class name; other braces stand for themselves.
GAP = "{}"
#: Endings of files that a user may give in place of a prompt set's name.
TEMPLATE_FILES = (".txt", ".json", ".toml")


@dataclass(frozen=True, slots=True)
class PromptSet:
    """Templates under one name."""

    name: str
    templates: tuple[str, ...]  # (T,) each with exactly one {}


def prompt_set(name: str) -> PromptSet:
    """Return a prompt set by its name, or from a file of the user's own.

    Parameters
    ----------
    name
        `openai-80`, the 80 prompts that CLIP was evaluated with on ImageNet (Radford et al., 2021,
        sec. 3.1.4); `openai-7`, the seven chosen from them greedily; `photo`, "a photo of a {}.";
        `name`, the bare class name. Or the path of a file: `.txt`, one template a line; `.json`, a
        list; `.toml`, ``templates = [...]``. The set is then named after the file.

    Raises
    ------
    UnknownNameError
        If it is neither.
    EmbedStoreError
        If the file cannot be read, a template has not exactly one `{}`, or the file would pass for
        one of the sets above.
    """
    own = _own_sets()
    if name in own:
        return PromptSet(name, own[name])
    if Path(name).suffix.lower() in TEMPLATE_FILES:
        return _read_prompt_set(Path(name))
    raise UnknownNameError("prompt set", name, [*own, "FILE.txt", "FILE.json", "FILE.toml"])


def prompt_set_names() -> tuple[str, ...]:
    """Return the names of the prompt sets that come with the package."""
    return tuple(_own_sets())


@cache
def _own_sets() -> dict[str, tuple[str, ...]]:
    text = files("embedstore.prompts").joinpath("templates.toml").read_text("utf-8")
    return {name: tuple(table["templates"]) for name, table in tomllib.loads(text).items()}


def _read_prompt_set(path: Path) -> PromptSet:
    templates = tuple(_entries(path))
    for template in templates:
        if template.count(GAP) != 1:
            raise EmbedStoreError(
                f"template {template!r} in {path} needs exactly one {GAP} for the class name"
            )
    refuse_repeats(path, templates)
    if _own_sets().get(path.stem, templates) != templates:
        raise EmbedStoreError(
            f"{path} would pass for the prompt set {path.stem!r}, which has other templates; "
            "rename the file"
        )
    return PromptSet(path.stem, templates)


def _entries(path: Path) -> list[str]:
    if path.suffix.lower() == ".txt":
        return file_lines(path)
    value = file_json(path) if path.suffix.lower() == ".json" else _toml(path).get("templates")
    if not isinstance(value, list) or not value:
        raise EmbedStoreError(
            f"{path} holds no list of templates; write [...] in JSON, templates = [...] in TOML"
        )
    return checked_entries(path, value, "template")


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file_text(path))
    except tomllib.TOMLDecodeError as error:
        raise EmbedStoreError(f"{path} is no TOML: {error}; mend it there") from error
