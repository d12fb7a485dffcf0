"""Models: one protocol, an adapter for each kind of SPEC. Light: libraries load with a model."""

from __future__ import annotations

from collections.abc import Callable

from embedstore.errors import EmbedStoreError, UnknownNameError, require
from embedstore.models.base import Model
from embedstore.models.specs import WISE_FT, ModelSpec, default_name, interpolation, parse

Loader = Callable[[ModelSpec], Model]

#: The loader of each kind of SPEC.
LOADERS: dict[str, Loader] = {}


def adapter(kind: str) -> Callable[[Loader], Loader]:
    """Register a function that loads the model a SPEC of this `kind` names; each kind once."""

    def register(loader: Loader) -> Loader:
        if kind in LOADERS:
            raise EmbedStoreError(
                f"model kind {kind!r} is taken; choose another name for the adapter"
            )
        LOADERS[kind] = loader
        return loader

    return register


def load(spec: str) -> Model:
    """Load the model that `spec` names: on the CPU, in float32, in evaluation mode.

    Parameters
    ----------
    spec
        ``open_clip:NAME/TAG``, ``open_clip:DIRECTORY``, ``open_clip:hf-hub:ORG/NAME``,
        ``open_clip:NAME[/TAG]?checkpoint=FILE``, ``timm:NAME?checkpoint=FILE&...``,
        ``python:module:function`` or ``wise-ft:SPEC_A+SPEC_B@ALPHA``.

    Raises
    ------
    ModelError
        If the model cannot be found, fetched, or does not fit its weights.
    UnknownNameError
        If kind, architecture, tag or option is unknown.
    MissingExtraError
        If the library it needs is not installed.
    """
    parsed = parse(spec)
    if parsed.kind not in LOADERS:
        raise UnknownNameError("model kind", parsed.kind, LOADERS)
    return LOADERS[parsed.kind](parsed)


@adapter("open_clip")
def _open_clip(spec: ModelSpec) -> Model:
    for module in ("torch", "open_clip"):
        require(module, "encode")
    from embedstore.models.open_clip_adapter import load_open_clip

    return load_open_clip(spec)


@adapter("timm")
def _timm(spec: ModelSpec) -> Model:
    for module in ("torch", "timm"):
        require(module, "encode")
    from embedstore.models.timm_adapter import load_timm

    return load_timm(spec)


@adapter("python")
def _python(spec: ModelSpec) -> Model:
    require("torch", "encode")
    from embedstore.models.python_adapter import load_python

    return load_python(spec)


@adapter(WISE_FT)
def _wise_ft(spec: ModelSpec) -> Model:
    require("torch", "encode")
    from embedstore.models.wise_ft import interpolated

    parts = interpolation(spec.text)
    return interpolated(load(parts.first), load(parts.second), parts)


__all__ = ["LOADERS", "Model", "adapter", "default_name", "load", "parse"]
