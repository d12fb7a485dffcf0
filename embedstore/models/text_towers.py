"""open_clip's text towers at less than their full context.

Dimensions: B texts, L' tokens after the cut, W width of the tower, D embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.transformer import text_global_pool
from torch import Tensor, nn

#: Texts of three lengths, of which the longest fits the shortest context in use.
PROBE_TEXTS = ("dog", "a photo of a dog.", "a bad photo of the big dog in a garden")

#: Largest difference between normalised embeddings, full against cut, that counts as equal.
TOLERANCE = 1e-5


def encode_cut(module: Any, tokens: Tensor) -> Tensor:
    """Encode tokens cut to fewer than the context: (B, L') -> (B, D) not normalised.

    open_clip's own `encode_text` adds all positions and the whole mask; here both are cut too.
    """
    tower = getattr(module, "text", module)
    if isinstance(tower, HFTextEncoder) or _has_class_token(tower):
        output = tower(tokens)
        features: Tensor = output[0] if isinstance(output, tuple) else output
        return features
    return _encode_transformer(tower, tokens)


def _has_class_token(tower: Any) -> bool:
    return getattr(tower, "cls_emb", None) is not None or getattr(tower, "use_pad_mask", False)


def _encode_transformer(tower: Any, tokens: Tensor) -> Tensor:
    """Run CLIP's own text half, or a TextTransformer, on (B, L') -> (B, D)."""
    length = tokens.shape[1]
    dtype = tower.transformer.get_cast_dtype()
    mask = tower.attn_mask
    x = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding[:length].to(dtype)
    x = tower.transformer(
        x, attn_mask=None if mask is None else mask[:length, :length]
    )  # (B, L', W)
    pooled: Tensor = text_global_pool(
        tower.ln_final(x), tokens, pool_type(tower), eos_token_id=_eos_id(tower)
    )
    projection = tower.text_projection
    if projection is None:
        return pooled
    features: Tensor = (
        projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
    )
    return features


def pool_type(tower: Any) -> str:
    """Return which token a native tower pools: argmax, eos, first, last; none for others."""
    return str(getattr(tower, "text_pool_type", getattr(tower, "pool_type", "none")))


def _eos_id(tower: Any) -> int | None:
    return getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))


def token_lengths(module: Any, tokens: Tensor, pad_id: int) -> Tensor:
    """Count tokens to the pooled end-of-text mark, or the last not padded: (B, L) -> (B,)."""
    tower = getattr(module, "text", module)
    if pool_type(tower) == "argmax" and not _has_class_token(tower):
        return tokens.argmax(dim=-1) + 1
    if pool_type(tower) == "eos":
        return tokens.eq(_eos_id(tower) or 0).int().argmax(dim=-1) + 1
    positions = torch.arange(1, tokens.shape[1] + 1)
    return (tokens.ne(pad_id) * positions).amax(dim=-1).clamp(min=1)


def cuts_exactly(module: Any, tokens: Tensor, lengths: Tensor) -> bool:
    """Whether the tower gives the same embeddings for cut tokens: (3, L), (3,) -> bool.

    The batch is cut to its longest, and each text to its own length. Neither a causal mask nor a
    padding mask is asked for: CoCa's appended class token would pass the one, and be wrong.
    """
    longest = int(lengths.max())
    if longest >= tokens.shape[1]:
        return False
    with torch.inference_mode():
        full = _unit(module.encode_text(tokens, normalize=False))
        try:
            together = _unit(encode_cut(module, tokens[:, :longest]))
            alone = torch.cat(
                [
                    _unit(encode_cut(module, tokens[i : i + 1, : int(n)]))
                    for i, n in enumerate(lengths)
                ]
            )
        except (RuntimeError, IndexError):  # a tower whose shapes allow no cut
            return False
    return all(bool((full - cut).abs().max() <= TOLERANCE) for cut in (together, alone))


def _unit(x: Tensor) -> Tensor:
    return nn.functional.normalize(x.float(), dim=-1)
