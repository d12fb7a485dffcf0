"""What a model's zero-shot heads have in common: they are made of texts, at one logit scale."""

from __future__ import annotations

from embedstore.heads.stored import head_record, load_head
from embedstore.store import Store

#: What is recorded of a head that is made of texts.
ZERO_SHOT = "zero-shot"


def zero_shot_heads(store: Store, model: str) -> list[str]:
    """Return the names of a model's heads that are made of texts."""
    records = {head: head_record(store, model, head) for head in store.heads(model)}
    return [head for head, record in records.items() if record["origin"].get("kind") == ZERO_SHOT]


def logit_scale(store: Store, model: str) -> tuple[float, float] | None:
    """Return what a model multiplies cosines by, and what it adds; None without such a head."""
    for name in zero_shot_heads(store, model):
        head = load_head(store, model, name)
        return head.scale, 0.0 if head.bias is None else float(head.bias[0])
    return None
