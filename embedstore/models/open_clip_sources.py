"""Where an open_clip model comes from: a registered tag, a local directory, or a hub.

It finds configuration and weights and refuses tags under a wrong architecture; it builds nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import (
    download_pretrained,
    download_pretrained_from_hf,
    get_pretrained_cfg,
    is_pretrained_cfg,
    list_pretrained_tags_by_model,
)

from embedstore.errors import ModelError
from embedstore.models.hub import brief, cache_if_unreachable, unreachable
from embedstore.models.specs import ModelSpec, expanded, is_path, unknown

CONFIG = "open_clip_config.json"

#: Names of weights in a local directory, the first that is there taken. Others, such as
#: model.safetensors, may be those of a text tower alone.
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)

LOCAL_FORMS = f"open_clip:/path/to/directory holding {CONFIG} and {WEIGHTS[0]} or {WEIGHTS[2]}"

QUICK_GELU = "-quickgelu"

#: What a registered tag says of how pictures are prepared.
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True, slots=True)
class Source:
    """An open_clip model, found."""

    name: str  # as open_clip's factory takes it: ViT-B-32, local-dir:PATH, hf-hub:ORG/NAME
    config: Mapping[str, Any]  # architecture: model_cfg
    weights: Path
    preprocess: Mapping[str, Any]  # what the tag says of mean, std, interpolation, resize_mode
    directory: Path | None = None  # where the configuration lies, of a local model
    registered: bool = False  # whether open_clip itself lists it
    notes: tuple[str, ...] = ()  # what had to be assumed of a checkpoint, a sentence each


def find_source(spec: ModelSpec) -> Source:
    """Find configuration and weights of what a SPEC names, fetching them if need be.

    Raises
    ------
    ModelError
        If a directory is incomplete, a hub does not answer, or activations do not match.
    UnknownNameError
        If architecture or tag is unknown.
    """
    if "checkpoint" in spec.options:
        return _fine_tuned(spec)
    if is_path(spec.rest):
        return _local(expanded(spec.rest))
    if spec.rest.startswith("local-dir:"):
        return _local(expanded(spec.rest.removeprefix("local-dir:")))
    if spec.rest.startswith("hf-hub:"):
        return _hub(spec.rest)
    return _registered(*_architecture_and_tag(spec.rest))


def _fine_tuned(spec: ModelSpec) -> Source:
    """Find an architecture, and a tag's preprocessing, for weights that training code has saved."""
    weights = expanded(spec.options["checkpoint"])
    if is_path(spec.rest) or ":" in spec.rest:
        raise ModelError(
            f"model SPEC {spec.text!r} puts a checkpoint over a directory or hub; write "
            "open_clip:ARCHITECTURE?checkpoint=FILE, or copy the file into a directory"
        )
    name = spec.rest.replace("/", "-")
    if name in open_clip.list_models():
        preprocess, notes = _assumed(name)
        config = open_clip.get_model_config(name)
        return Source(name, config, weights, preprocess, notes=notes)
    architecture, tag = _architecture_and_tag(spec.rest)
    config, pretrained = _tagged(architecture, tag)
    return Source(architecture, config, weights, pretrained)


def _assumed(architecture: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return what all tags of an architecture say of pictures, and what its name leaves open."""
    tags = list_pretrained_tags_by_model(architecture)
    said = [get_pretrained_cfg(architecture, tag) for tag in tags]
    facts = [{k: c[k] for k in PREPROCESSING if c.get(k) is not None} for c in said]
    agreed = facts[0] if facts and all(f == facts[0] for f in facts) else {}
    notes = []
    if facts and any(f != facts[0] for f in facts):
        notes.append(
            f"the weights of {architecture} differ in mean and std, and a checkpoint says nothing "
            f"of them: CLIP's are taken; name what it was tuned from, open_clip:{architecture}/TAG"
        )
    if _twin(architecture) in open_clip.list_models():
        built = "QuickGELU" if architecture.endswith(QUICK_GELU) else "GELU"
        notes.append(
            f"a checkpoint says nothing of its activation: it is taken to be {architecture}'s, "
            f"{built}; if it was tuned from weights with the other, use {_twin(architecture)}"
        )
    return agreed, tuple(notes)


def _local(directory: Path) -> Source:
    if not directory.is_dir():
        raise ModelError(f"there is no directory {str(directory)!r}; give {LOCAL_FORMS}")
    path = directory / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
        config["vision_cfg"], config["text_cfg"], config["embed_dim"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{str(path)!r} is no open_clip configuration ({brief(error)}); give {LOCAL_FORMS}"
        ) from error
    weights = next((directory / name for name in WEIGHTS if (directory / name).is_file()), None)
    if weights is None:
        raise ModelError(
            f"directory {str(directory)!r} holds no weights; name them {' or '.join(WEIGHTS)}"
        )
    return Source(f"local-dir:{directory}", config, weights, {}, directory)


def _hub(name: str) -> Source:
    identifier = name.removeprefix("hf-hub:")
    try:
        with cache_if_unreachable():
            config = json.loads(
                Path(download_pretrained_from_hf(identifier, CONFIG)).read_text("utf-8")
            )
            weights = Path(download_pretrained_from_hf(identifier))
        return Source(name, config["model_cfg"], weights, {})
    except Exception as error:  # the client's errors differ between its versions
        raise unreachable(f"open_clip model {name!r}", error, LOCAL_FORMS) from error


def _architecture_and_tag(rest: str) -> tuple[str, str]:
    architectures = open_clip.list_models()
    if rest.replace("/", "-") in architectures:
        tags = list_pretrained_tags_by_model(rest.replace("/", "-"))
        if not tags:
            raise ModelError(f"open_clip lists no weights for {rest!r}; give {LOCAL_FORMS}")
        raise ModelError(
            f"open_clip:{rest} names no weights; write open_clip:{rest}/TAG, TAG one of: "
            + ", ".join(tags)
        )
    architecture, _, tag = rest.rpartition("/")
    architecture = architecture.replace("/", "-")
    if architecture not in architectures:
        raise unknown("open_clip architecture", architecture or rest, architectures)
    return architecture, tag


def _registered(architecture: str, tag: str) -> Source:
    config, pretrained = _tagged(architecture, tag)
    try:
        with cache_if_unreachable():
            weights = Path(download_pretrained(pretrained))
    except Exception as error:  # the client's errors differ between its versions
        raise unreachable(f"open_clip weights {architecture}/{tag}", error, LOCAL_FORMS) from error
    return Source(architecture, config, weights, pretrained, registered=True)


def _tagged(architecture: str, tag: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the configuration of an architecture and of a tag of it, their activations alike."""
    config = open_clip.get_model_config(architecture)
    if not is_pretrained_cfg(architecture, tag):
        twin = _twin(architecture)
        if is_pretrained_cfg(twin, tag):
            raise _gelu_error(architecture, tag, twin)
        choices = list_pretrained_tags_by_model(architecture)
        raise unknown(f"tag of open_clip's {architecture}", tag, choices)
    pretrained = get_pretrained_cfg(architecture, tag)
    check_quick_gelu(architecture, tag, config, pretrained)
    return config, pretrained


def check_quick_gelu(
    architecture: str, tag: str, config: Mapping[str, Any], pretrained: Mapping[str, Any]
) -> None:
    """Refuse weights trained with another activation than the architecture has.

    open_clip only warns, and the model would be some points worse. Where a tag says nothing and its
    architecture, QuickGELU by configuration, has no twin without, the configuration is believed.

    Raises
    ------
    ModelError
        Naming the architecture to use instead.
    """
    stated, built = pretrained.get("quick_gelu"), bool(config.get("quick_gelu", False))
    if bool(stated) == built:
        return
    twin = _twin(architecture)
    if stated is None and twin not in open_clip.list_models():
        return
    raise _gelu_error(architecture, tag, twin)


def _twin(architecture: str) -> str:
    if architecture.endswith(QUICK_GELU):
        return architecture.removesuffix(QUICK_GELU)
    return architecture + QUICK_GELU


def _gelu_error(architecture: str, tag: str, twin: str) -> ModelError:
    trained, built = ("QuickGELU", "GELU") if twin.endswith(QUICK_GELU) else ("GELU", "QuickGELU")
    return ModelError(
        f"weights {tag!r} were trained with {trained} but {architecture} is built with {built}; "
        f"use open_clip:{twin}/{tag}"
    )
