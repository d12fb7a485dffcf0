"""Pairs as a manifest or a copy of a data set gives them: names, numbers, files not yet read.

Dimensions: K keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from embedstore.correspondence.pairs import Truth
from embedstore.importers.pair_grids import GridFile

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GivenView:
    """One of a pair's two pictures."""

    sample_id: str
    size: tuple[int, int] | None = None  # width and height, for where the picture is not at hand
    grid: GridFile | None = None
    intrinsics: F64 | None = None  # (3, 3)


@dataclass(frozen=True, slots=True)
class GivenPair:
    """Two pictures, and what is said of them; nothing is checked yet."""

    where: str  # what messages call it: `row 3 of pairs.csv`
    first: GivenView
    second: GivenView
    pose: F64 | None = None  # (4, 4)
    homography: F64 | None = None  # (3, 3)
    keypoints: F64 | None = None  # (K, 4) x, y in the first, x, y in the second; NaN: absent
    box: F64 | None = None  # (4,)
    group: str | None = None


class PairList(Protocol):
    """Pairs that can be gone through again and again."""

    @property
    def name(self) -> str:
        """What to call them where the user does not."""
        ...

    @property
    def truth(self) -> Truth:
        """What says which points belong together."""
        ...

    @property
    def stride(self) -> int | None:
        """Pixels between a grid's points; None: by the size of the object."""
        ...

    @property
    def is_partial(self) -> bool:
        """Whether pairs of pictures that the data set lacks are passed over."""
        ...

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many pairs there could have been besides, by reason."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a record keeps: preset, stride, origin."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[GivenPair]: ...
