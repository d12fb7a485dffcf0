"""Model SPECs, ``kind:rest?key=value&...``: parsing and naming. It knows no model library.

One kind is made of two SPECs: ``wise-ft:SPEC_A+SPEC_B@ALPHA``.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedstore.errors import ModelError, UnknownNameError

#: Longest name that :func:`default_name` gives, in bytes, well under what a folder may have.
MAX_NAME = 120

#: Lists up to this length are shown whole when a name is unknown.
SHORT_LIST = 12


#: Files that make a folder a local model's: of open_clip, of transformers.
CONFIGURATIONS = ("open_clip_config.json", "config.json")

#: The option that names another model, whose transform pictures undergo.
TRANSFORM = "transform"

#: The kind whose rest is two SPECs and a weight.
WISE_FT = "wise-ft"

#: Where a second SPEC may begin: a plus sign, then a kind. File names hold plus signs too.
_SECOND = re.compile(r"\+(?=[a-z][a-z_-]*:)")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A SPEC taken apart."""

    text: str  # as the user wrote it
    kind: str  # adapter: open_clip, timm, python
    rest: str  # what the adapter calls it
    options: Mapping[str, str] = field(default_factory=dict)  # after the question mark


def parse(text: str) -> ModelSpec:
    """Take a SPEC apart.

    Raises
    ------
    ModelError
        If it has no kind, no name, or an option without ``=`` or given twice, or holds a NUL.
    """
    if "\0" in text:
        raise ModelError(f"model SPEC {text!r} holds a NUL, as no name or path does; take it out")
    kind, colon, rest = text.partition(":")
    if not (kind and colon and rest):
        raise ModelError(
            f"model SPEC {text!r} is not KIND:NAME; write for example "
            "open_clip:ViT-B-32/laion2b_s34b_b79k, timm:resnet50 or python:module:function"
        )
    if kind == WISE_FT:
        interpolation(text)  # its parts hold the options, if any does
        return ModelSpec(text, kind, rest)
    rest, _, query = rest.partition("?")
    if not rest:
        raise ModelError(f"model SPEC {text!r} names no model; write it between {kind}: and '?'")
    return ModelSpec(text, kind, rest, _options(text, query))


def _options(text: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else []:
        key, equals, value = part.partition("=")
        if not (key and equals and value) or key in options:
            raise ModelError(
                f"option {part!r} of model SPEC {text!r} is not one key=value of its own; "
                "write ?key=value&key=value"
            )
        options[key] = value
    return options


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Two models between which a third lies."""

    first: str  # SPEC of the model at alpha 0
    second: str  # SPEC of the model at alpha 1
    alpha: float  # share of the second model's weights, 0 to 1


def interpolation(text: str) -> Interpolation:
    """Take ``wise-ft:SPEC_A+SPEC_B@ALPHA`` apart: at the plus before a kind, and at the last @.

    Raises
    ------
    ModelError
        If there are not two SPECs, or alpha is no number from 0 to 1.
    """
    specs, at, number = text.partition(":")[2].rpartition("@")
    form = f"write {WISE_FT}:SPEC_A+SPEC_B@0.5"
    try:
        alpha = float(number) if at else math.nan
    except ValueError:
        alpha = math.nan
    if not 0 <= alpha <= 1:
        raise ModelError(f"model SPEC {text!r} ends in no @ALPHA from 0 to 1; {form}")
    parts = _SECOND.split(specs)
    if any(part.startswith(f"{WISE_FT}:") for part in parts):
        raise ModelError(
            f"model SPEC {text!r} interpolates what is interpolated; name two plain models"
        )
    if len(parts) != 2:
        found = "one model" if len(parts) == 1 else f"{len(parts)} models"
        raise ModelError(
            f"model SPEC {text!r} names {found}, not two: the second begins at a '+' that a kind "
            f"follows; {form}"
        )
    for part in parts:
        parse(part)
    return Interpolation(parts[0], parts[1], alpha)


def local_paths(text: str) -> list[Path]:
    """Return the local files and folders that a SPEC names, and those of its parts."""
    spec = parse(text)
    if spec.kind == WISE_FT:
        parts = interpolation(text)
        return [*local_paths(parts.first), *local_paths(parts.second)]
    named = [spec.options.get("checkpoint", ""), spec.rest if is_path(spec.rest) else ""]
    paths = [expanded(name) for name in named if name]
    return paths + (local_paths(spec.options[TRANSFORM]) if TRANSFORM in spec.options else [])


def expanded(path: str) -> Path:
    """Return a path with the user's home in place of ``~``, which stays where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~name of a user who is not here
        return Path(path)


def default_name(text: str) -> str:
    """Return the folder name a SPEC has unless the user gives one.

    ``:`` and ``/`` become ``--``; of a local path only the last folder or the file's stem stays;
    options follow as ``--key-value``. What lies between two models is ``wise-ft-ALPHA--A+B``. A
    name of more than `MAX_NAME` bytes ends in a digest.
    """
    spec = parse(text)
    if spec.kind == WISE_FT:
        two = interpolation(text)
        names = f"{default_name(two.first)}+{default_name(two.second)}"
        return _legal(f"{WISE_FT}-{two.alpha:g}--{names}")
    parts = [
        spec.kind,
        expanded(spec.rest).resolve().name if is_path(spec.rest) else spec.rest,
    ]
    for key, value in spec.options.items():
        short = {"checkpoint": lambda path: Path(path).stem, TRANSFORM: default_name}
        parts.append(f"{key}-{short.get(key, str)(value)}")
    return _legal("--".join(parts))


def _legal(name: str) -> str:
    legal = re.sub(r"[:/]+", "--", name)
    legal = re.sub(r"[^A-Za-z0-9._+-]", "-", legal)
    legal = re.sub(r"\.{2,}", ".", legal)
    if len(legal) <= MAX_NAME:
        return legal
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{legal[: MAX_NAME - 13]}-{digest}"


def is_path(rest: str) -> bool:
    """Whether the name after a kind's colon is a local directory rather than a model's name."""
    if rest.startswith(("/", "./", "../", "~")) or rest in {".", ".."}:
        return True
    try:
        return any((Path(rest) / name).is_file() for name in CONFIGURATIONS)
    except (OSError, ValueError):  # too long or odd to be a path
        return False


def checked_options(spec: ModelSpec, allowed: Iterable[str]) -> Mapping[str, str]:
    """Return the options of `spec` if the adapter knows all of them.

    Raises
    ------
    UnknownNameError
        If it does not.
    """
    choices = sorted(allowed)
    for key in spec.options:
        if key not in choices:
            raise UnknownNameError(f"option of {spec.kind} models", key, choices)
    return spec.options


def unknown(kind: str, name: str, choices: Iterable[str]) -> UnknownNameError:
    """Return the error for a name not among `choices`, listing the closest of a long list."""
    by_lower = {choice.lower(): choice for choice in choices}
    if len(by_lower) > SHORT_LIST:
        close = difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.0)
        return UnknownNameError(kind, name, [by_lower[c] for c in close])
    return UnknownNameError(kind, name, by_lower.values())
