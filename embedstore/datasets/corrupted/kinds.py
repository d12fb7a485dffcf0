"""Which corruptions there are, at which severities, and how users write them. Knows no pixels."""

from __future__ import annotations

import re
from functools import cache

from embedstore.datasets.corrupted.corruption import DEPTH_KINDS, Corruption
from embedstore.datasets.presets.catalog import preset
from embedstore.errors import EmbedStoreError, UnknownNameError

SEVERITIES = ("1", "2", "3", "4", "5")
_RANGE = re.compile(r"([1-5])-([1-5])")


@cache
def kinds() -> tuple[str, ...]:
    """Return every kind: ImageNet-C's 15 and its 4 to tune on, then those of depth."""
    imagenet_c = preset("imagenet-c")
    return (*imagenet_c.corruptions, *imagenet_c.extra_corruptions, *DEPTH_KINDS)


def corruption(kind: str, severity: str) -> Corruption:
    """Return a corruption by its names.

    Raises
    ------
    UnknownNameError
        If there is no such kind, or severity.
    """
    if kind not in kinds():
        raise UnknownNameError("corruption", kind, kinds())
    if severity not in SEVERITIES:
        raise UnknownNameError(f"severity of {kind}", severity, SEVERITIES)
    return Corruption(kind, int(severity))


def corruptions(text: str) -> list[Corruption]:
    """Return what KIND:SEVERITY stands for; SEVERITY is 1 to 5, a range such as 1-3, or all.

    Raises
    ------
    EmbedStoreError
        If no severity is named, or none that there is.
    UnknownNameError
        If there is no such kind.
    """
    kind, colon, severity = text.partition(":")
    if not colon:
        raise EmbedStoreError(
            f"corruption {text!r} names no severity; write KIND:SEVERITY, such as {text}:3, "
            f"{text}:1-5 or {text}:all"
        )
    found = _RANGE.fullmatch("1-5" if severity == "all" else severity)
    if not found or found[1] > found[2]:
        if kind in kinds() and severity not in SEVERITIES:
            raise EmbedStoreError(
                f"unknown severity of {kind} {severity!r}; write one of {', '.join(SEVERITIES)}, a "
                f"range such as {kind}:1-3 (at most 1-5), or {kind}:all; --corrupt may be repeated"
            )
        return [corruption(kind, severity)]
    return [corruption(kind, str(i)) for i in range(int(found[1]), int(found[2]) + 1)]
