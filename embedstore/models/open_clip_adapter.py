"""open_clip's models: any registered name and tag, local directories, hub names.

Dimensions: B pictures or texts, H, W pixels, L tokens, D embedding.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.hf_configs import arch_dict
from open_clip.model import (
    convert_to_custom_text_state_dict,
    resize_pos_embed,
    resize_text_pos_embed,
)
from torch import Tensor, nn

from embedstore.errors import ModelError, require
from embedstore.models import text_towers
from embedstore.models.checkpoints import mismatch, read_state_dict
from embedstore.models.hub import brief, cache_if_unreachable, quiet_root_logger, unreachable
from embedstore.models.open_clip_sources import LOCAL_FORMS, Source, find_source
from embedstore.models.patches import open_clip_tower
from embedstore.models.specs import TRANSFORM, ModelSpec, checked_options
from embedstore.models.torch_model import TorchModel, probe_pixels
from embedstore.models.transforms import borrowed
from embedstore.transform import Transform

#: Keys of a text tower's configuration that say who wrote it, not what it computes.
NOT_ARCHITECTURE = ("transformers_version", "_name_or_path", "torch_dtype", "dtype")


class OpenClipModel(TorchModel):
    """An image tower and a text tower in one space."""

    has_text = True

    def __init__(
        self, module: nn.Module, tokenizer: Any, architecture: object, transform: Transform
    ) -> None:
        super().__init__(module, transform, architecture)
        self._tokenizer = tokenizer
        self._pad_id = _pad_id(self.module, tokenizer)
        self._tower = open_clip_tower(self.module.visual)
        self._settle()

    def _derive(self) -> None:
        self.logit_scale = float(self.module.logit_scale.exp())
        bias = getattr(self.module, "logit_bias", None)
        self.logit_bias = 0.0 if bias is None else float(bias)
        probe = self.tokenize(list(text_towers.PROBE_TEXTS))
        self.cuts_texts = text_towers.cuts_exactly(self.module, probe, self.token_lengths(probe))
        self.embedding_dim = self.embed_images(probe_pixels(self.transform, 1))[0].shape[1]

    def _forward_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.module.encode_image(pixels, normalize=False), None

    def tokenize(self, texts: list[str]) -> Tensor:
        """Texts -> (B, L) token ids on the CPU, padded to the model's context length."""
        tokens: Tensor = self._tokenizer(texts)
        return tokens

    def token_lengths(self, tokens: Tensor) -> Tensor:
        """(B, L) -> (B,) tokens up to the end-of-text mark, or to the last not padded."""
        return text_towers.token_lengths(self.module, tokens, self._pad_id)

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """(B, L') -> (B, D) not normalised; L' < L only if `cuts_texts`."""
        tokens = tokens.to(self.device)
        with torch.inference_mode():
            if self.cuts_texts:
                return text_towers.encode_cut(self.module, tokens)
            embeddings: Tensor = self.module.encode_text(tokens, normalize=False)
            return embeddings


def load_open_clip(spec: ModelSpec) -> OpenClipModel:
    """Find, build and fill the model that a SPEC names.

    Raises
    ------
    ModelError
        If weights and architecture do not match, or a part cannot be read or fetched.
    """
    checked_options(spec, ("checkpoint", TRANSFORM))
    source = find_source(spec)
    if source.config["text_cfg"].keys() & {"hf_model_name", "hf_tokenizer_name"}:
        require("transformers", "demo")
    module, tokenizer = _built(source)
    transform = borrowed(spec, clip_transform(module))
    note = _fill(module, source)
    model = OpenClipModel(module, tokenizer, _architecture(source), transform)
    model.notes = (*source.notes, *((note,) if note else ()))
    return model


def _built(source: Source) -> tuple[nn.Module, Any]:
    """Build the module, still empty, and its tokenizer with open_clip's factory."""
    text_cfg, tower = source.config["text_cfg"], _local_text_tower(source)
    local_tower = {"hf_model_name": str(tower), "hf_model_pretrained": False}
    overrides = {"text_cfg": {**text_cfg, **local_tower}} if tower else {}
    try:
        with (
            cache_if_unreachable(needed=_needs_hub(source)),
            quiet_root_logger(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # deprecations between the libraries, not the user's
            module = open_clip.create_model(
                source.name,
                load_weights=False,
                pretrained_text=False,
                force_preprocess_cfg=dict(source.preprocess),
                **overrides,
            )
            return module, open_clip.get_tokenizer(source.name)
    except Exception as error:  # whatever open_clip, timm, transformers or a hub's client raise
        what = f"open_clip model {source.name!r}"
        if _needs_hub(source):
            raise unreachable(f"a part of {what}", error, LOCAL_FORMS) from error
        raise ModelError(f"{what} cannot be built ({brief(error)}); mend its files") from error


def _needs_hub(source: Source) -> bool:
    """Whether the text tower's configuration or the tokenizer come from a hub."""
    text_cfg = source.config["text_cfg"]
    name = text_cfg.get("hf_model_name")
    if source.directory is not None:  # open_clip then takes the tokenizer from the directory
        return bool(name) and _local_text_tower(source) is None
    return bool(name or text_cfg.get("hf_tokenizer_name") or source.name.startswith("hf-hub:"))


def _local_text_tower(source: Source) -> Path | None:
    """Return where a local model's Hugging Face text tower lies: where it says, or beside it."""
    name = source.config["text_cfg"].get("hf_model_name")
    if not name or source.directory is None:
        return None
    for folder in (source.directory / name, source.directory):  # an absolute name stays itself
        if _tower_config(folder).get("model_type") in arch_dict:
            return folder
    return None


def _tower_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    config: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return {key: value for key, value in config.items() if key not in NOT_ARCHITECTURE}


def _fill(module: Any, source: Source) -> str | None:
    """Load the weights, every name and shape checked; return a note if positions were resized."""
    state = _adapted(module, read_state_dict(source.weights))
    note = None
    expected = module.state_dict()
    if source.registered and mismatch(state, expected):
        # open_clip's own step for its registered weights; a local directory has no excuse
        resize_pos_embed(state, module)
        resize_text_pos_embed(state, module)
        note = f"{source.name}: position embeddings were resized as open_clip does"
    problem = mismatch(state, expected)
    if problem:
        raise ModelError(
            f"weights {str(source.weights)!r} do not match the architecture: {problem}; "
            "use the configuration they were trained with"
        )
    module.load_state_dict(state, strict=False)
    return note


def _adapted(module: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename what other programs and older versions of open_clip name differently."""
    state = convert_state_dict(module, state)
    if "positional_embedding" in state and not hasattr(module, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        parameter = getattr(module, name, None)
        if name in state and parameter is not None:
            state[name] = state[name].reshape(parameter.shape)
    state.pop("text.transformer.embeddings.position_ids", None)
    return state


def _architecture(source: Source) -> object:
    """Return what the module computes, apart from its weights, as JSON values."""
    config = json.loads(json.dumps(source.config))
    for part in ("vision_cfg", "text_cfg"):
        for key in ("timm_model_pretrained", "hf_model_pretrained"):
            config[part].pop(key, None)
    folder = _local_text_tower(source)
    if folder is not None:  # where a tower lies does not matter
        config["text_cfg"]["hf_model_name"] = _tower_config(folder)
        config["text_cfg"].pop("hf_tokenizer_name", None)
    return config


def clip_transform(module: Any) -> Transform:
    """Return what open_clip's own evaluation transform does to a picture."""
    config = module.visual.preprocess_cfg
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else (int(size[-2]), int(size[-1]))
    bilinear = config["interpolation"] == "bilinear"  # else bicubic, as open_clip takes it
    return Transform(
        size=(height, width),
        resize_to=(height, width),
        resize=config["resize_mode"] or "shortest",
        interpolation="bilinear" if bilinear else "bicubic",
        mean=_three(config["mean"]),
        std=_three(config["std"]),
        fill=int(config.get("fill_color", 0)),
    )


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = values if isinstance(values, (list, tuple)) else (values,) * 3
    return float(first), float(second), float(third)


def _pad_id(module: Any, tokenizer: Any) -> int:
    """Return the id that fills texts up: the tower's, else the tokenizer's, else 0 as CLIP does."""
    config = getattr(getattr(module, "text", None), "config", None)
    for owner in (config, getattr(tokenizer, "tokenizer", None)):
        pad_id = getattr(owner, "pad_token_id", None)
        if pad_id is not None:
            return int(pad_id)
    return 0
