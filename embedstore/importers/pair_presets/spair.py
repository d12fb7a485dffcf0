"""SPair-71k's pairs (Min et al., 2019): keypoints that both pictures show, and the target's box.

`PairAnnotation/SPLIT/*.json`, a file a pair. Checked against loaders that others published, not
against a copy of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from embedstore.correspondence.pairs import Truth
from embedstore.datasets.presets.text_files import json_of, refuse_malformed
from embedstore.errors import DatasetError
from embedstore.importers.given_pairs import GivenPair, GivenView
from embedstore.importers.pair_presets.copies import Choices, Copy


class SpairPairs(Copy):
    """`spair-71k:PATH`, with `?split=test`, `val` or `trn`."""

    name = "spair-71k"
    truth: Truth = "keypoints"
    choices: ClassVar[Choices] = {"split": ("test", "val", "trn")}

    def __init__(self, location: str, stride: int | None) -> None:
        super().__init__(location, stride or 1)
        folder = self.root.parent / "PairAnnotation" / self.options["split"]
        self._files = sorted(folder.glob("*.json"))
        if not self._files:
            raise DatasetError(
                f"there are no pairs in {folder}; see: embedstore data show spair-71k"
            )

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[GivenPair]:
        for path in self._files:
            try:
                yield _pair(path, json_of(path))
            except (KeyError, TypeError, ValueError) as error:
                raise refuse_malformed(path, "a pair of SPair-71k") from error


def _pair(path: Path, said: dict[str, Any]) -> GivenPair:
    kind = said["category"]
    first, second = (
        GivenView(
            f"{kind}/{PurePosixPath(said[f'{which}_imname']).stem}",
            (said[f"{which}_imsize"][0], said[f"{which}_imsize"][1]),  # width, height, channels
        )
        for which in ("src", "trg")
    )
    points = [np.array(said[f"{which}_kps"], np.float64).reshape(-1, 2) for which in ("src", "trg")]
    for array in points:  # a negative one is absent
        array[(array < 0).any(axis=1)] = np.nan
    return GivenPair(
        path.name,
        first,
        second,
        keypoints=np.concatenate(points, axis=1),
        box=np.array(said["trg_bndbox"], np.float64).reshape(4),
        group=kind,
    )
