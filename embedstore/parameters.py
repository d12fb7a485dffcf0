"""Values of a function's parameters as a user writes them: text, brought to each one's type."""

from __future__ import annotations

import inspect
import types
from typing import Any, Literal, Union, get_args, get_origin

from embedstore.errors import EmbedStoreError, UnknownNameError

_SWITCHES = {"true": True, "false": False}


def typed(parameter: inspect.Parameter, text: str) -> Any:
    """Return the value that `text` stands for.

    Raises
    ------
    UnknownNameError
        If it is none of those that the parameter takes.
    EmbedStoreError
        If it is not of the parameter's type.
    """
    kind = parameter.annotation
    if kind is inspect.Parameter.empty:  # a user's own, known by its default alone
        kind = type(parameter.default)
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(a for a in get_args(kind) if a is not type(None))
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise UnknownNameError(parameter.name, text, get_args(kind))
        return text
    try:
        return _SWITCHES[text.lower()] if kind is bool else kind(text) if callable(kind) else text
    except (KeyError, ValueError) as error:
        wanted = "true or false" if kind is bool else f"a value of type {kind.__name__}"
        raise EmbedStoreError(f"{parameter.name}={text} cannot be; give {wanted}") from error
