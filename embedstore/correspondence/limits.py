"""How near is right: units, thresholds and bins, by what a set of pairs is.

Conventions (El Banani et al., 2024): within a threshold is strictly within; bins of the rotation
between two cameras are half-open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from embedstore.correspondence.pairs import Truth, View
from embedstore.correspondence.sampling import Sampling
from embedstore.errors import EmbedStoreError

#: Metres; pixels of the second picture; the larger side of the object's box there, of the picture.
Unit = Literal["m", "px", "box", "image"]

#: Units that each kind of truth knows.
UNITS: Mapping[Truth, tuple[Unit, ...]] = MappingProxyType(
    {
        "depth": ("m", "px"),
        "disparity": ("px",),
        "homography": ("px",),
        "keypoints": ("box", "image"),
    }
)


@dataclass(frozen=True, slots=True)
class Limit:
    """A distance below which a match is right."""

    unit: Unit
    threshold: float  # of the unit


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is measured of a set of pairs."""

    limits: tuple[Limit, ...]
    bins: tuple[float, ...] = ()  # edges, degrees; none: not binned
    scale: float = 1.0  # of the pictures whose pixels thresholds are in
    across: float | None = None  # or: pixels of thresholds that an object is across
    sampling: Sampling = "bilinear"

    def pixel_scale(self, view: View) -> float:
        """Return how many of the pixels that thresholds are in a pixel of the picture is."""
        if self.across is None or view.grid is None:
            return self.scale
        known = np.isfinite(view.grid)
        sides = (np.flatnonzero(known.any(axis=axis)) for axis in (0, 1))
        longest = max((int(side[-1] - side[0]) + 1 for side in sides if len(side)), default=1)
        return self.across / (longest * view.stride)

    @property
    def thresholds(self) -> dict[Unit, list[float]]:
        """The thresholds of each unit."""
        found: dict[Unit, list[float]] = {}
        for limit in self.limits:
            found.setdefault(limit.unit, []).append(limit.threshold)
        return found


def _limits(unit: Unit, *thresholds: float) -> tuple[Limit, ...]:
    return tuple(Limit(unit, threshold) for threshold in thresholds)


_OBJECTS = Protocol(
    (*_limits("m", 0.01, 0.02, 0.05), *_limits("px", 5, 25, 50)),
    bins=(0, 30, 60, 90, 120),
)
#: By the preset that a set of pairs is from.
PRESETS: Mapping[str, Protocol] = MappingProxyType(
    {
        "navi": replace(_OBJECTS, across=512, sampling="bicubic"),  # Probe3D cuts objects out
        "scannet-pairs": Protocol(_limits("px", 5, 10, 20), bins=(0, 15, 30, 60, 180), scale=1 / 4),
        "spair-71k": Protocol(_limits("box", 0.1)),
    }
)
#: Of other sets, by their truth.
GENERIC: Mapping[Truth, Protocol] = MappingProxyType(
    {
        "depth": _OBJECTS,
        "disparity": Protocol(_limits("px", 5, 25, 50)),
        "homography": Protocol(_limits("px", 5, 25, 50)),
        "keypoints": Protocol(_limits("box", 0.1)),
    }
)


def protocol_of(
    truth: Truth,
    preset: str | None,
    *,
    unit: Unit | None = None,
    thresholds: Sequence[float] | None = None,
    sampling: Sampling | None = None,
) -> Protocol | None:
    """Return what is measured of a set of pairs; None if its truth does not know the unit.

    Parameters
    ----------
    truth
        What says which points belong together.
    preset
        That the set is from; of one that is not known, and without one, what is usual counts.
    unit
        The only one.
    thresholds
        In place of the usual ones.
    sampling
        In place of the preset's.

    Raises
    ------
    EmbedStoreError
        If there are thresholds and several units that they could be of.
    """
    usual = PRESETS.get(preset or "", GENERIC[truth])
    if unit is not None and unit not in UNITS[truth]:
        return None
    units = (unit,) if unit else tuple(dict.fromkeys(limit.unit for limit in usual.limits))
    limits = tuple(limit for limit in usual.limits if limit.unit in units)
    if thresholds is not None:
        if len(units) > 1:
            raise EmbedStoreError(
                f"thresholds of which unit? Pairs with {truth} know {', '.join(units)}; give one "
                f"with --unit, such as --unit {units[-1]}"
            )
        limits = _limits(units[0], *thresholds)
    elif not limits and unit is not None:
        limits = _other_limits(truth, unit)
    return replace(usual, limits=limits, sampling=sampling or usual.sampling)


def _other_limits(truth: Truth, unit: Unit) -> tuple[Limit, ...]:
    """Return what is usual of a unit that a preset does not measure in."""
    if truth == "keypoints":
        return _limits(unit, 0.1)
    return tuple(limit for limit in GENERIC[truth].limits if limit.unit == unit)


def thresholds_in(text: str) -> list[float]:
    """Return the different thresholds of a text such as 0.01,0.02, ascending.

    Raises
    ------
    EmbedStoreError
        If it holds none, or one that is no number above 0.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        values = sorted({float(part) for part in parts})
    except ValueError:
        values = []
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        raise EmbedStoreError(
            f"thresholds are {text!r}; give numbers above 0 parted by commas, such as 0.01,0.02"
        )
    return values


__all__ = ["GENERIC", "PRESETS", "UNITS", "Limit", "Protocol", "Unit", "protocol_of",
           "thresholds_in"]  # fmt: skip
