"""Models with random weights, saved as real ones are, so that tests need no download."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedstore.models.hub import quiet_root_logger

#: A CLIP of two layers a tower: milliseconds on one core, everything of the large ones present.
TINY_CLIP: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}

#: Variants of `TINY_CLIP` by what is special in them: keys laid over it.
TINY_VARIANTS: dict[str, dict[str, Any]] = {
    "clip": {},
    "custom-text": {"custom_text": True},
    "rn50": {
        "vision_cfg": {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64, "patch_size": None}
    },
    "coca": {
        "custom_text": True,
        "vision_cfg": {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text_cfg": {"context_length": 76, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {
            "context_length": 76,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 1,
        },
    },
    "siglip": {
        "custom_text": True,
        "init_logit_bias": -10,
        "text_cfg": {
            "context_length": 64,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    },
    "clipa": {
        "text_cfg": {"context_length": 32, "no_causal_mask": True, "pool_type": "last"},
    },
    "convnext": {
        "vision_cfg": {
            "timm_model_name": "convnext_atto",
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 64,
        }
    },
    "mobileclip2": {"custom_text": True, "text_cfg": {"no_causal_mask": True}},
}


def tiny_config(variant: str) -> dict[str, Any]:
    """Return the open_clip configuration of a small model: one of `TINY_VARIANTS`."""
    config = copy.deepcopy(TINY_CLIP)
    for key, value in TINY_VARIANTS[variant].items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    if variant == "rn50":
        del config["vision_cfg"]["patch_size"]
    return config


def save_random_open_clip(
    directory: Path,
    architecture: str | Mapping[str, Any] = "ViT-B-32",
    seed: int = 0,
    preprocess: Mapping[str, Any] | None = None,
) -> Path:
    """Save an open_clip model with random weights as a local directory, and return the directory.

    Parameters
    ----------
    directory
        Made if it is not there.
    architecture
        A name of `open_clip.list_models()`, or a configuration such as :func:`tiny_config` gives.
    seed
        Fixes the weights.
    preprocess
        ``mean``, ``std``, ``interpolation``, ``resize_mode``, where they are not CLIP's.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = (
        open_clip.get_model_config(architecture) if isinstance(architecture, str) else architecture
    )
    directory.mkdir(parents=True, exist_ok=True)
    record = {"model_cfg": dict(config), "preprocess_cfg": dict(preprocess or {})}
    (directory / "open_clip_config.json").write_text(json.dumps(record, indent=2), "utf-8")
    with quiet_root_logger(), warnings.catch_warnings(), torch.random.fork_rng([]):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        module = open_clip.create_model(
            f"local-dir:{directory}", load_weights=False, pretrained_text=False
        )
    state = {name: tensor.contiguous().clone() for name, tensor in module.state_dict().items()}
    save_file(state, str(directory / "open_clip_model.safetensors"))
    return directory


def save_random_timm(path: Path, name: str, seed: int = 0, **arguments: Any) -> Path:
    """Save the state dict of a timm model with random weights, and return its path.

    Parameters
    ----------
    path
        Ends in ``.safetensors``, or the file is one of torch.save.
    name
        A name of `timm.list_models()`.
    seed
        Fixes the weights.
    arguments
        For `timm.create_model`, such as ``num_classes``.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        module = timm.create_model(name, pretrained=False, **arguments)
    state = {key: tensor.contiguous().clone() for key, tensor in module.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, str(path))
    else:
        torch.save(state, path)
    return path


def save_tiny_text_tower(directory: Path) -> Path:
    """Save configuration and tokenizer of a BERT of two layers, and return the directory.

    Its vocabulary is letters and a few words, so that texts of any alphabet have ids.
    """
    directory.mkdir(parents=True, exist_ok=True)
    words = ["a", "an", "the", "of", "photo", "bad", "big", "dog", "cat", "in", "garden", ".", ","]
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(words + letters)]
    vocabulary += [f"##{letter}" for letter in letters]
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(vocabulary),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    (directory / "config.json").write_text(json.dumps(config), "utf-8")
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer), "utf-8")
    return directory
