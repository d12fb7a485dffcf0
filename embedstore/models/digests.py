"""Digests that make up a model's identity. They depend on values alone, on no library's version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedstore.models.base import Model
from embedstore.transform import Transform

if TYPE_CHECKING:
    from torch import Tensor

#: Elements hashed at a time, so that a large embedding table needs no second copy: 64 MiB.
STRIDE = 1 << 24

#: Texts whose token ids tell tokenizers apart: case, accents, scripts, digits, spaces, length.
PROBE_TEXTS = (
    "a photo of a dog.",
    "A Photo of a DOG",
    "  two   spaces, and a tab\t",
    "naïve café, coöperation",
    "ein großes Straßenschild",
    "一只猫坐在垫子上",
    "الكلب في الحديقة",
    "1234567890 + 3.14 = ?",
    "don't &amp; won't: it's #1 (really) [x]",
    "an extraordinarily incomprehensible antidisestablishmentarian photograph " * 12,
)


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, shapes and float32 bytes of all floating tensors, by name.

    Integer buffers (counters of batch norms, position ids) are left out: they differ between
    versions of a library while the model stays the same.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        if not tensor.is_floating_point():
            continue
        digest.update(f"{name} float32 {tuple(tensor.shape)}\n".encode())
        for part in tensor.contiguous().view(-1).split(STRIDE):  # type: ignore[no-untyped-call]
            digest.update(part.cpu().float().numpy().data)
    return digest.hexdigest()


def json_digest(value: object) -> str:
    """Return the SHA-256 of `value` as canonical JSON: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def transform_digest(transform: Transform) -> str:
    """Return the digest of what pictures undergo."""
    return json_digest(transform.record())


def tokenizer_digest(model: Model) -> str:
    """Return the digest of the token ids of `PROBE_TEXTS`; empty without a text tower."""
    if not model.has_text:
        return ""
    return json_digest(model.tokenize(list(PROBE_TEXTS)).tolist())
