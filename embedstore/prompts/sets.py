"""Prompt sets by their names, or from files of the user's own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.prompts.descriptions import TEMPLATES, read_descriptions
from embedstore.prompts.files import file_json, file_lines, file_text
from embedstore.prompts.templates import Prompts, PromptSet, checked_templates, shipped_templates
from embedstore.prompts.waffle import FORMS, waffle_set

#: Endings of files that a user may give in place of a prompt set's name.
PROMPT_FILES = (".txt", ".json", ".toml")


def prompt_set(name: str) -> Prompts:
    """Return a prompt set by its name, or from a file, as :func:`read_prompt_set`.

    Parameters
    ----------
    name
        `openai-80`, the 80 prompts that CLIP was evaluated with on ImageNet (Radford et al., 2021,
        sec. 3.1.4); `openai-7`, the seven chosen from them greedily; `photo`, "a photo of a {}.";
        `name`, the bare class name; `waffle-15-seed-0`, WaffleCLIP's 15 pairs of random words and
        random characters (Roth et al., 2023), of any count and seed; `random-characters-15-seed-0`,
        characters alone. Or the path of a file.

    Raises
    ------
    UnknownNameError
        If it is neither.
    EmbedStoreError
        If the file is of no use.
    """
    if name in shipped_templates():
        return PromptSet(name, shipped_templates()[name])
    generated = waffle_set(name)
    if generated is not None:
        return generated
    if Path(name).suffix.lower() in PROMPT_FILES:
        return read_prompt_set(Path(name))
    known = [*shipped_templates(), *FORMS, *(f"FILE{ending}" for ending in PROMPT_FILES)]
    raise UnknownNameError("prompt set", name, known)


def prompt_set_names() -> tuple[str, ...]:
    """Return the names of the prompt sets that come with the package."""
    return tuple(shipped_templates())


def read_prompt_set(path: Path) -> Prompts:
    """Return the templates or descriptions in a user's file, a set named after the file.

    Parameters
    ----------
    path
        `.txt`, one template a line; `.toml`, ``templates = [...]``; `.json`, a list of templates,
        or classes and what is said of each, as :func:`read_descriptions` takes it. UTF-8.

    Raises
    ------
    EmbedStoreError
        If the file cannot be read, a template has not exactly one `{}`, a description is empty, or
        the file would pass for a set that has a name of its own.
    """
    prompts = _read(path)
    same = isinstance(prompts, PromptSet) and prompts.templates == shipped_templates().get(
        path.stem
    )
    taken = path.stem in shipped_templates() or waffle_set(path.stem) is not None
    if taken and not same:
        raise EmbedStoreError(
            f"{path} would pass for the prompt set {path.stem!r}, which has other templates; "
            "rename the file"
        )
    return prompts


def _read(path: Path) -> Prompts:
    ending = path.suffix.lower()
    if ending not in PROMPT_FILES:
        raise EmbedStoreError(
            f"cannot tell what {path} holds; let its name end in one of: {', '.join(PROMPT_FILES)}"
        )
    if ending == ".txt":
        return PromptSet(path.stem, checked_templates(path, file_lines(path)))
    value = _toml(path).get(TEMPLATES) if ending == ".toml" else file_json(path)
    if isinstance(value, dict) and value.keys() != {TEMPLATES}:
        return read_descriptions(path, value)
    templates = value[TEMPLATES] if isinstance(value, dict) else value
    return PromptSet(path.stem, checked_templates(path, templates))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file_text(path))
    except tomllib.TOMLDecodeError as error:
        raise EmbedStoreError(f"{path} is no TOML: {error}; mend it there") from error
