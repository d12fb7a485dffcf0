"""Keypoints that two pictures of a class share: each is sought among all cells of the other's map.

Dimensions: K keypoints, w, h columns and rows of a patch map, M cells.
"""

from __future__ import annotations

import numpy as np

from embedstore.correspondence.geometry import Scene, Space
from embedstore.correspondence.limits import Unit
from embedstore.correspondence.pairs import Pair
from embedstore.correspondence.points import Sight


def keypoint_scene(pair: Pair, sight: Sight) -> Scene:
    """Return the keypoints that the model sees in both pictures, and the centres of all cells.

    Errors are parts of the larger side of the second picture's box (`box`), or of the picture
    itself (`image`). Cells over padding are no answers.
    """
    assert pair.keypoints is not None
    first, second = pair.keypoints[:, :2], pair.keypoints[:, 2:]
    seen = sight.sees(first, pair.first) & sight.sees(second, pair.second)
    rows, columns = sight.shape
    grid = np.meshgrid(np.arange(float(columns)), np.arange(float(rows)))
    cells = sight.to_picture(np.stack(grid, axis=-1).reshape(-1, 2), pair.second)
    cells = cells[sight.sees(cells, pair.second)]
    sides: dict[Unit, float] = {"image": float(max(pair.second.width, pair.second.height))}
    if pair.box is not None:
        left, top, right, bottom = pair.box
        sides["box"] = float(max(right - left, bottom - top))
    spaces = {unit: Space(second[seen] / side, cells / side) for unit, side in sides.items()}
    return Scene(first[seen], cells, spaces, n_unseen=int((~seen).sum()))


__all__ = ["keypoint_scene"]
