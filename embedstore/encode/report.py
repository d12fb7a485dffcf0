"""What a call of the encoder did.

Dimensions: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Encoded:
    """A run that a call of :func:`encode` worked on."""

    model: str
    dataset: str
    n_rows: int  # N
    n_failures: int  # pictures that could not be used


@dataclass(slots=True)
class Report:
    """What a call of :func:`encode` did."""

    encoded: list[Encoded] = field(default_factory=list)
    already: list[tuple[str, str]] = field(default_factory=list)  # model, data set
    n_images: int = 0  # pictures that went through a model in this call
    n_failures: int = 0  # pictures of all requested runs that could not be used
