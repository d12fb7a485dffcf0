"""Where a LLaVA model comes from, a local directory or a hub, and which of the families it is.

It reads configurations and builds no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedstore.errors import ModelError, require
from embedstore.models.hub import brief, cache_if_unreachable, unreachable
from embedstore.models.specs import expanded, is_path

#: `model_type` of a configuration -> what the family is called.
FAMILIES = {
    "llava": "LLaVA 1.5",
    "llava_next": "LLaVA 1.6/NeXT",
    "llava_onevision": "LLaVA OneVision",
}

CONFIG = "config.json"

LOCAL_FORMS = "llava:/path/to/directory holding config.json, weights, processor and tokenizer"

#: Either holds the processor's configuration of pictures.
PROCESSORS = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True, slots=True)
class LlavaSource:
    """A LLaVA model, found."""

    name: str  # directory or hub id, as transformers takes it
    config: Mapping[str, Any]
    directory: Path | None  # None: on a hub

    @property
    def family(self) -> str:
        """One of `FAMILIES`."""
        return str(self.config["model_type"])


def find_llava(rest: str) -> LlavaSource:
    """Read the configuration of a local directory or a hub id.

    Raises
    ------
    ModelError
        If it cannot be had, or is of another architecture than `FAMILIES`.
    MissingExtraError
        If transformers is not installed.
    """
    require("transformers", "llava")
    from transformers import PreTrainedConfig

    directory = expanded(rest) if is_path(rest) else None
    if directory is not None and not (directory / CONFIG).is_file():
        raise ModelError(f"{str(directory)!r} holds no {CONFIG}; give {LOCAL_FORMS}")
    name = str(directory or rest)
    with reading(name, directory, "its configuration"):
        config, _ = PreTrainedConfig.get_config_dict(name)
    source = LlavaSource(name, config, directory)
    if config.get("model_type") not in FAMILIES:
        raise ModelError(
            f"{name!r} is of the architecture {config.get('model_type')!r}; choose a model of "
            f"{', '.join(FAMILIES.values())}, converted for transformers (model_type "
            f"{', '.join(FAMILIES)})"
        )
    return source


@contextmanager
def reading(name: str, directory: Path | None, what: str) -> Iterator[None]:
    """Turn what transformers raises within into one line; a hub out of reach gives its cache."""
    try:
        with cache_if_unreachable(needed=directory is None):
            yield
    except ModelError:
        raise
    except Exception as error:  # whatever transformers or a hub's client raise
        if directory is None:
            raise unreachable(f"LLaVA model {name!r}", error, LOCAL_FORMS) from error
        raise ModelError(
            f"{what} in {name!r} cannot be used ({brief(error)}); copy the directory again from "
            "where the model is from"
        ) from error


def found_file(source: LlavaSource, name: str) -> Path | None:
    """Return a file of the model, fetched from its hub if need be; None where it has none."""
    if source.directory is not None:
        path = source.directory / name
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(source.name, name))
    except EntryNotFoundError:
        return None
