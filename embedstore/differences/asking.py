"""How a user names an analysis with its parameters: `calibration?id_dataset=imagenet&n_bins=10`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin
from urllib.parse import parse_qsl

from embedstore import analysis
from embedstore.errors import EmbedStoreError, UnknownNameError

_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """An analysis, and what it is to be run with."""

    words: str  # the user's own
    name: str
    parameters: Mapping[str, Any]


def asked(words: str, globs: Mapping[str, str]) -> Asked:
    """Read an analysis's name and its parameters.

    Parameters
    ----------
    words
        Its name or a Python file, a question mark, and ``parameter=value`` parted by ``&``.
    globs
        Parameters that are given if the analysis has them.

    Raises
    ------
    UnknownNameError
        If there is no such analysis, it has no such parameter, or no such choice.
    EmbedStoreError
        If a value is no number or truth, or a parameter without a default is not given.
    """
    name, _, options = words.partition("?")
    parameters = analysis.find(name).parameters
    given: dict[str, Any] = {n: glob for n, glob in globs.items() if n in parameters}
    for parameter, value in parse_qsl(options, keep_blank_values=True):
        if parameter not in parameters:
            raise UnknownNameError(f"parameter of analysis {name!r}", parameter, parameters)
        given[parameter] = _value(parameter, value, parameters[parameter].annotation)
    empty = inspect.Parameter.empty
    missing = [n for n, p in parameters.items() if p.default is empty and n not in given]
    if missing:
        example = "&".join(f"{parameter}=VALUE" for parameter in missing)
        raise EmbedStoreError(
            f"analysis {name!r} needs {', '.join(missing)}; give them as: "
            f"--analysis '{name}?{example}'"
        )
    return Asked(words, name, given)


def _value(parameter: str, value: str, kind: Any) -> Any:
    """Return a value as the parameter's annotation has it."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(a for a in get_args(kind) if a is not type(None))
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise UnknownNameError(parameter, value, get_args(kind))
    if kind is bool and value in _TRUTHS:
        return _TRUTHS[value]
    if kind not in (int, float, bool):
        return value
    try:
        return {int: int, float: float}[kind](value)
    except (KeyError, ValueError) as error:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise EmbedStoreError(f"{parameter}={value} is wrong; give {wanted}") from error
