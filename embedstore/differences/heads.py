"""Heads that both stores hold, and the prompts that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedstore.differences.causes import (
    BY_HEAD,
    BY_SCALE,
    Cause,
    Level,
    against,
    explain,
    fields_that_differ,
)
from embedstore.differences.findings import Finding, place, unlike
from embedstore.differences.models import ModelDifference
from embedstore.differences.pair import Pair
from embedstore.heads.stored import head_record
from embedstore.heads.zero_shot import ZERO_SHOT
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.records import Record, digest_of_record

_ARRAYS = ("weights", "bias", "keys")
_FIELDS = ("native", "scale", "normalize", "cache")


@dataclass(frozen=True, slots=True)
class HeadDifference:
    """What differs of a head."""

    same: bool  # whether it makes the same logits of the same embeddings
    native: bool  # whether either is: its logits are the model's own
    same_classes: bool
    causes: tuple[Cause, ...]  # besides those of its model


def compare_prompts(pair: Pair, name: str) -> tuple[list[Cause], list[Finding]]:
    """Compare a text set that both hold."""
    (a, ours), (b, theirs) = pair.both(Store.texts, name)
    causes, findings = [], []
    for what in ("templates", "class_ids", "class_names"):
        left, right = getattr(a, what), getattr(b, what)
        if left != right:
            findings.append(_of_lists(name, what, left, right))
            reason = f"{what.replace('_', ' ')} differ: {_how(left, right)}"
            causes.append(Cause(Level.HEAD, name, reason, BY_HEAD))
    if not causes and not ours.equals(theirs):
        findings.append(Finding.of("head", name, "texts", ours.height, theirs.height))
        causes.append(Cause(Level.HEAD, name, "prompts differ", BY_HEAD))
    return causes, findings


def _of_lists(where: str, what: str, a: Sequence[str], b: Sequence[str]) -> Finding:
    return Finding.of("head", where, what, len(a), len(b), None, unlike(a, b))


def _how(a: Sequence[str], b: Sequence[str]) -> str:
    if len(a) != len(b):
        return f"{len(a):,} against {len(b):,}"
    lone = len(set(a) - set(b))
    return f"{lone:,} of {len(a):,}" if lone else "in another order"


def compare_head(
    pair: Pair, model: ModelDifference, name: str, prompts: Sequence[Cause]
) -> tuple[HeadDifference, list[Finding]]:
    """Compare a head that both hold.

    Parameters
    ----------
    pair, model, name
        Which.
    prompts
        What differs of the text set of the head's name; empty without one.
    """
    a, b = pair.both(head_record, model.name, name)
    where = place(model.name, name)
    findings, causes = [], list(prompts)
    for field, x, y in fields_that_differ(_fields(a), _fields(b)):
        findings.append(Finding.of("head", where, field, x, y))
        moves = BY_SCALE if field == "scale" else BY_HEAD
        causes.append(Cause(Level.HEAD, where, against(field, x, y), moves))
    same_classes = a["class_ids"] == b["class_ids"]
    if not same_classes:
        findings.append(_of_lists(where, "class_ids", a["class_ids"], b["class_ids"]))
        reason = f"classes of the head differ: {_how(a['class_ids'], b['class_ids'])}"
        causes.append(Cause(Level.HEAD, where, reason, BY_HEAD))
    arrays = fields_that_differ(*pair.both(_arrays, model.name, name))
    of_pictures = a["origin"].get("kind") != ZERO_SHOT
    known = [*causes, *model.causes(pictures=of_pictures, texts=True)]
    because = explain(known, "logits")
    findings += [Finding.of("head", where, n, x, y, None, because) for n, x, y in arrays]
    if arrays and not any(cause.accounts_for("logits") for cause in known):
        causes.append(Cause(Level.HEAD, where, "weights of the head differ", BY_HEAD))
    same = not arrays and same_classes and all(a.get(f) == b.get(f) for f in _FIELDS)
    native = bool(a["native"] or b["native"])
    return HeadDifference(same, native, same_classes, tuple(causes)), findings


def _fields(record: Record) -> dict[str, Any]:
    """Return what a head is and how it came about, without digests of what its arrays repeat."""
    origin: Mapping[str, Any] = record["origin"]
    made = {k: v for k, v in origin.items() if not isinstance(v, dict) and k != "texts"}
    made |= {**origin.get("settings", {}), **origin.get("inputs", {})}
    own = {field: record.get(field) for field in _FIELDS}
    return own | {f"origin {name}": value for name, value in made.items()}


def _arrays(store: Store, model: str, name: str) -> dict[str, str]:
    """Return a digest of each of the head's arrays."""
    manifest = read_manifest(store.files, layout.head(model, name))
    assert manifest is not None, "the head was listed"
    found: dict[str, dict[str, Any]] = {}
    for key, entry in manifest.files.items():
        array = key.split("/")[0]
        if array in _ARRAYS:
            found.setdefault(array, {})[key] = entry.sha256
    return {array: digest_of_record(entries) for array, entries in found.items()}
