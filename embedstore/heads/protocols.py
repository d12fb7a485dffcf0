"""Protocols: how a head, a person or a language model was asked for one of a few classes."""

from __future__ import annotations

from typing import Literal

from embedstore.heads.stored import head_record
from embedstore.heads.zero_shot import ZERO_SHOT
from embedstore.store import Store, layout
from embedstore.store.manifest import read_manifest
from embedstore.store.outcomes import OutcomeRun

#: 1,000 names brought to 16 classes, the 16 names, one letter of 16, or a person's click.
Protocol = Literal["imagenet-1000", "names-16", "letters-16", "human"]


def protocol_of(store: Store, run: OutcomeRun) -> str | None:
    """Return how the classes of a run's outcomes were asked for; None where that is not known.

    An import says it. Else a head whose classes are brought to others is `imagenet-1000`, a
    zero-shot head over the space's own 16 is `names-16`, and one fitted to them is neither.
    """
    manifest = read_manifest(store.files, run.folder)
    stated = manifest.facts.get("protocol") if manifest else None
    if stated or read_manifest(store.files, layout.head(run.model, run.head)) is None:
        return stated or None
    head, space = head_record(store, run.model, run.head), store.space(run)
    if not set(space["class_ids"]) <= set(head["class_ids"]):
        return "imagenet-1000" if len(head["class_ids"]) == 1_000 else None
    zero_shot = head["origin"].get("kind") == ZERO_SHOT
    return "names-16" if zero_shot and len(space["class_ids"]) == 16 else None
