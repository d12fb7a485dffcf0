"""LLaVA models with random weights, saved as real ones are, so that tests need no download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Words of the tokenizer, such as questions are made of; any other text is spelled out in bytes.
WORDS = (
    "ASSISTANT", "is", "the", "main", "object", "in", "this", "image", "Choose", "from",
    "following", "list", "question", "using", "a", "single", "word", "or", "phrase", "dog", "cat",
)  # fmt: skip

#: By family: vision tower and language model, and the sizes that make them small.
TINY: dict[str, dict[str, Any]] = {
    "llava": {"vision": "clip_vision_model", "language": "llama"},
    "llava_next": {"vision": "clip_vision_model", "language": "mistral"},
    "llava_onevision": {"vision": "siglip_vision_model", "language": "qwen2"},
}

_TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def save_random_llava(
    directory: Path,
    family: str = "llava",
    *,
    seed: int = 0,
    vision: dict[str, Any] | None = None,
    language: dict[str, Any] | None = None,
) -> Path:
    """Save a LLaVA model with random weights as a local directory, and return the directory.

    Parameters
    ----------
    directory
        Made if it is not there.
    family
        One of `TINY`.
    seed
        Fixes the weights.
    vision, language
        Sizes of the tower and of the language model, where they are not small.
    """
    import torch
    import transformers

    tokenizer = _tokenizer()
    tower = _tower(family, vision or {})
    config = _config(family, tower, _language(family, len(tokenizer), language or {}), tokenizer)
    kind = getattr(
        transformers, type(config).__name__.replace("Config", "ForConditionalGeneration")
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        module = kind(config).eval()
        for parameter in module.parameters():  # the library's own start leaves answers all alike
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    module.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    _processor(family, tower.image_size).save_pretrained(directory)
    (directory / "chat_template.json").write_text(json.dumps({"chat_template": _TEMPLATE}), "utf-8")
    return directory


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<s>", "</s>", "<image>", "<video>"]
    words = [f"Ġ{word}" for word in WORDS]
    merges = [(word[:i], word[i]) for word in words for i in range(1, len(word))]
    merges = list(dict.fromkeys(merges))
    tokens = dict.fromkeys([*specials, *alphabet, *(a + b for a, b in merges)])
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True) for s in specials])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    named = dict(zip(("bos_token", "eos_token", "pad_token"), ("<s>", "</s>", "</s>"), strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def _tower(family: str, sizes: dict[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING

    small = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "image_size": 28, "patch_size": 7,
    }  # fmt: skip
    extra = {"projection_dim": 32} if family != "llava_onevision" else {"vision_use_head": False}
    return CONFIG_MAPPING[TINY[family]["vision"]](**small | extra | sizes)


def _language(family: str, n_tokens: int, sizes: dict[str, Any]) -> Any:
    from transformers import CONFIG_MAPPING

    small = {
        "hidden_size": 40, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "vocab_size": n_tokens, "tie_word_embeddings": False,
    }  # fmt: skip
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    window = {"sliding_window": None} if TINY[family]["language"] == "mistral" else {}
    return CONFIG_MAPPING[TINY[family]["language"]](**small | ends | window | sizes)


def _config(family: str, tower: Any, language: Any, tokenizer: Any) -> Any:
    from transformers import CONFIG_MAPPING

    side = tower.image_size
    tiled = {"image_grid_pinpoints": _grid(side)} if family != "llava" else {}
    return CONFIG_MAPPING[family](
        vision_config=tower,
        text_config=language,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1 if family == "llava_onevision" else -2,
        vision_feature_select_strategy="full" if family == "llava_onevision" else "default",
        tie_word_embeddings=False,
        **tiled,
    )


def _processor(family: str, side: int) -> Any:
    import transformers

    if family == "llava":
        square = {"height": side, "width": side}
        return transformers.CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square)
    if family == "llava_next":
        return transformers.LlavaNextImageProcessor(
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            image_grid_pinpoints=_grid(side),
        )
    return transformers.LlavaOnevisionImageProcessor(
        size={"height": side, "width": side},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        image_grid_pinpoints=_grid(side),
    )


def _grid(side: int) -> list[list[int]]:
    return [[side, 2 * side], [2 * side, side], [2 * side, 2 * side], [3 * side, side]]
