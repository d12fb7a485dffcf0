"""Models: one protocol, an adapter for each kind of SPEC. Light: libraries load with a model."""

from __future__ import annotations

from collections.abc import Callable

from embedstore.errors import EmbedStoreError, ModelError, UnknownNameError, require
from embedstore.models.answering import AnsweringModel
from embedstore.models.base import Model
from embedstore.models.specs import WISE_FT, ModelSpec, default_name, interpolation, parse

Loader = Callable[[ModelSpec], Model]
AnsweringLoader = Callable[[ModelSpec], AnsweringModel]

#: The loader of each kind of SPEC whose models embed pictures.
LOADERS: dict[str, Loader] = {}


def load_answering(spec: str) -> AnsweringModel:
    """Load the model that answers questions and that `spec` names: on the CPU.

    Parameters
    ----------
    spec
        ``llava:DIRECTORY`` or ``llava:ORG/NAME``.

    Raises
    ------
    ModelError
        If the model cannot be found or fetched, lacks a part, or is of another architecture.
    UnknownNameError
        If models of that kind answer no questions.
    MissingExtraError
        If the library it needs is not installed.
    """
    parsed = parse(spec)
    if parsed.kind not in ANSWERING:
        raise UnknownNameError("kind of model that answers questions", parsed.kind, ANSWERING)
    return ANSWERING[parsed.kind](parsed)


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
        ``open_clip:NAME[/TAG]?checkpoint=FILE``, ``timm:NAME?checkpoint=FILE&...``, either of them
        with ``?transform=SPEC`` to see pictures as a model of kind llava or timm does,
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
    if parsed.kind in ANSWERING:
        raise ModelError(
            f"{spec} answers questions and embeds no pictures; ask it: embedstore encode ... "
            "--protocol two-options --reference-head MODEL@HEAD"
        )
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


def _llava(spec: ModelSpec) -> AnsweringModel:
    for module, extra in (("torch", "encode"), ("transformers", "llava")):
        require(module, extra)
    from embedstore.models.llava_adapter import load_llava

    return load_llava(spec)


#: The loader of each kind of SPEC whose models answer questions about pictures.
ANSWERING: dict[str, AnsweringLoader] = {"llava": _llava}


__all__ = [
    "ANSWERING", "LOADERS", "AnsweringModel", "Model", "adapter", "default_name", "load",
    "load_answering", "parse",
]  # fmt: skip
