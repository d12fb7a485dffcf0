"""Heads as .npz or safetensors: weights, bias, scale, normalize and the classes' ids.

Dimensions: C classes, D embedding.
"""

from __future__ import annotations

import json
from functools import partial
from typing import IO, Any

import numpy as np

from embedstore.errors import EmbedStoreError, require
from embedstore.exporters.files import Advance, Export, Job
from embedstore.exporters.selection import Chosen, refuse_nothing
from embedstore.heads.head import Head
from embedstore.heads.stored import load_head

ENDINGS = {"npz": ".npz", "safetensors": ".safetensors"}


def heads(chosen: Chosen, format_: str) -> Export:
    """Write each head that is weights and bias; others are named."""
    if format_ == "safetensors":
        require("safetensors", "encode")
    found = chosen.with_heads()
    refuse_nothing(found, chosen, "heads")
    loaded = [(model, name, load_head(chosen.store, model, name)) for model, name in found]
    linear = [(model, name, head) for model, name, head in loaded if head.linear]
    notices = [
        f"head {name!r} of {model} is left out: {_obstacle(head)}"
        for model, name, head in loaded
        if not head.linear
    ]
    if not linear:
        raise EmbedStoreError(
            f"no head that matches is weights alone ({notices[0]}); export its logits with: --what "
            "logits"
        )
    jobs = []
    for model, name, head in linear:
        path = chosen.place((model, name), len(linear), ENDINGS[format_])
        write = partial(_write_npz if format_ == "npz" else _write_safetensors, head)
        what = f"{len(head.class_ids):,} classes, scale {head.scale:g}"
        jobs.append(Job(path, write, what))
    return Export(jobs, notices)


def _obstacle(head: Head) -> str:
    return "it has no weights, only logits" if head.native else "its cache is no layer of weights"


def _write_npz(head: Head, file: IO[bytes], advance: Advance) -> None:
    arrays: dict[str, Any] = {"weights": head.weights, "scale": np.float64(head.scale)}
    if head.bias is not None:
        arrays["bias"] = head.bias
    arrays |= {"normalize": np.bool_(head.normalize), "class_ids": np.array(head.class_ids)}
    np.savez(file, **arrays)
    advance(file.tell())


def _write_safetensors(head: Head, file: IO[bytes], advance: Advance) -> None:
    from safetensors.numpy import save

    assert head.weights is not None
    tensors = {"weights": np.ascontiguousarray(head.weights)}
    if head.bias is not None:
        tensors["bias"] = np.ascontiguousarray(head.bias)
    texts = {
        "scale": repr(float(head.scale)),
        "normalize": "true" if head.normalize else "false",
        "class_ids": json.dumps(head.class_ids, ensure_ascii=False),
    }
    advance(file.write(save(tensors, metadata=texts)))
