"""The transform of another model, found without its weights: SPECs with `transform=SPEC`."""

from __future__ import annotations

from collections.abc import Callable

from embedstore.errors import ModelError, UnknownNameError
from embedstore.models.specs import TRANSFORM, ModelSpec, parse
from embedstore.transform import Transform


def borrowed(spec: ModelSpec, own: Transform) -> Transform:
    """Return the transform of the model that the option `transform` names, or without it `own`.

    Raises
    ------
    ModelError
        If that model looks at pictures of another size, or as :func:`transform_of`.
    UnknownNameError
        As :func:`transform_of`.
    """
    if TRANSFORM not in spec.options:
        return own
    found = transform_of(spec.options[TRANSFORM])
    if found.size != own.size:
        theirs, ours = (f"{width} x {height}" for height, width in (found.size, own.size))
        raise ModelError(
            f"{spec.options[TRANSFORM]} looks at pictures of {theirs} pixels, and "
            f"{spec.kind}:{spec.rest} at {ours}; choose a transform of that size"
        )
    return found


def transform_of(text: str) -> Transform:
    """Return what the model that a SPEC names does to pictures; its weights are not read.

    Raises
    ------
    ModelError
        If the model is not found, or what it does to pictures cannot be said.
    UnknownNameError
        If no transform can be had of its kind.
    """
    spec = parse(text)
    if spec.kind not in _SOURCES:
        raise UnknownNameError("kind of model to take the transform of", spec.kind, _SOURCES)
    return _SOURCES[spec.kind](spec)


def _of_llava(spec: ModelSpec) -> Transform:
    from embedstore.models.llava_pictures import transform_of

    return transform_of(spec.rest)


def _of_timm(spec: ModelSpec) -> Transform:
    from embedstore.models.timm_adapter import published_transform

    return published_transform(spec)


_SOURCES: dict[str, Callable[[ModelSpec], Transform]] = {"llava": _of_llava, "timm": _of_timm}
