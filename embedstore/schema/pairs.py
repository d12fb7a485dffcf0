"""Columns of stored pairs of pictures: one row a pair, one table a block.

Matrices and grids are laid out row by row.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import polars as pl

#: Of either picture of a pair; stored as `first_...` and `second_...`.
VIEW: MappingProxyType[str, Any] = MappingProxyType(
    {
        "sample_index": pl.Int64,  # row of the data set
        "width": pl.Int32,  # pixels of the whole picture
        "height": pl.Int32,
        "grid": pl.List(pl.Float32),  # depth in metres or disparity in pixels; NaN: not known
        "grid_rows": pl.Int32,
        "grid_columns": pl.Int32,
        "stride": pl.Int32,  # pixels between the grid's points
        "intrinsics": pl.Array(pl.Float64, 9),  # of the whole picture, pixels
    }
)

#: What says where points of the first picture lie in the second; null where something else does.
TRUTH: MappingProxyType[str, Any] = MappingProxyType(
    {
        "pose": pl.Array(pl.Float64, 16),  # first camera's coordinates to the second's, metres
        "homography": pl.Array(pl.Float64, 9),  # pixels of the first to pixels of the second
        "keypoints": pl.List(pl.Float64),  # x, y in the first, x, y in the second, and so on
        "box": pl.Array(pl.Float64, 4),  # in the second: left, top, right, bottom, pixels
        "group": pl.String,  # over which means are taken: a class
    }
)

PAIRS: MappingProxyType[str, Any] = MappingProxyType(
    {
        **{f"first_{name}": dtype for name, dtype in VIEW.items()},
        **{f"second_{name}": dtype for name, dtype in VIEW.items()},
        **TRUTH,
    }
)
