"""Digests depend on values, not on how or where they lie."""

from __future__ import annotations

import hashlib
import struct

import torch

from embedstore.models.digests import json_digest, transform_digest, weights_digest
from embedstore.transform import Transform


def test_weights_digest_sees_every_value_name_and_shape():
    state = {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor(1.5)}
    digest = weights_digest(state)
    assert weights_digest(dict(reversed(state.items()))) == digest
    assert weights_digest({**state, "b": state["b"].T.contiguous().T}) == digest
    assert weights_digest({**state, "n": torch.tensor(3)}) == digest  # a counter
    assert weights_digest({**state, "b": state["b"].double()}) == digest
    changed = [
        {**state, "b": state["b"].view(3, 2)},
        {"c": state["b"], "a": state["a"]},
        {**state, "a": torch.tensor(1.5000001)},
        {"b": state["b"]},
    ]
    assert digest not in map(weights_digest, changed)


def test_weights_digest_is_the_same_for_ever():
    """Stored identities must outlive versions of this code."""
    digest = hashlib.sha256(b"weight float32 (1, 2)\n" + struct.pack("<2f", 1.0, -2.0)).hexdigest()
    assert weights_digest({"weight": torch.tensor([[1.0, -2.0]])}) == digest


def test_json_digest_sorts_keys():
    assert json_digest({"a": 1, "b": [2]}) == json_digest({"b": [2], "a": 1})


def test_transforms_differ_by_any_field():
    base = Transform(size=(8, 8), resize_to=(8, 8))
    assert transform_digest(base) == transform_digest(Transform((8, 8), (8, 8)))
    assert transform_digest(base) != transform_digest(Transform((8, 8), (9, 9)))
