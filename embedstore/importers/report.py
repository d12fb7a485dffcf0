"""What an import says when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Report:
    """One import."""

    what: str  # such as `vit on imagenet: 50,000 predictions`
    already: bool = False  # whether the store had all of it
    notices: Sequence[str] = field(default=())  # what the user should know
