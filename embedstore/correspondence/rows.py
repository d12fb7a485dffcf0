"""Pairs as rows of a table, and back, bit for bit. P = pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.correspondence.pairs import Pair, View
from embedstore.schema.pairs import PAIRS, TRUTH, VIEW

#: What a matrix is brought back to from its numbers.
_SHAPES = {"intrinsics": (3, 3), "homography": (3, 3), "pose": (4, 4), "keypoints": (-1, 4)}


def to_table(pairs: Sequence[Pair]) -> pl.DataFrame:
    """Return the pairs as P rows, the columns of `schema.pairs.PAIRS`."""
    sides = {"first": [p.first for p in pairs], "second": [p.second for p in pairs]}
    columns: dict[str, list[Any]] = {
        f"{side}_{name}": [_value(view, name) for view in views]
        for side, views in sides.items()
        for name in VIEW
    }
    columns |= {name: [_value(pair, name) for pair in pairs] for name in TRUTH}
    return pl.DataFrame([_column(name, values) for name, values in columns.items()])


def from_table(table: pl.DataFrame) -> list[Pair]:
    """Return the pairs of P rows; their grids are views of the table's memory, read-only."""
    return [_pair(table, row) for row in range(table.height)]


def _value(of: View | Pair, name: str) -> Any:
    if isinstance(of, View) and name.startswith("grid_"):
        return None if of.grid is None else of.grid.shape[name == "grid_columns"]
    value = getattr(of, name)
    if not isinstance(value, np.ndarray):
        return value
    return pl.Series(np.ascontiguousarray(value).reshape(-1))


def _column(name: str, values: list[Any]) -> pl.Series:
    dtype = PAIRS[name]
    if isinstance(dtype, pl.Array):  # Polars builds lists of arrays and nulls, but no such Array
        return pl.Series(name, values, dtype=pl.List(dtype.inner)).cast(dtype)
    return pl.Series(name, values, dtype=dtype)


def _pair(table: pl.DataFrame, row: int) -> Pair:
    values: dict[str, Any] = {name: table[name][row] for name in TRUTH}
    arrays = {name: _array(name, values[name]) for name in TRUTH if name != "group"}
    return Pair(_view(table, "first", row), _view(table, "second", row), **values | arrays)


def _view(table: pl.DataFrame, side: str, row: int) -> View:
    values: dict[str, Any] = {name: table[f"{side}_{name}"][row] for name in VIEW}
    shape = (values.pop("grid_rows"), values.pop("grid_columns"))
    grid = values.pop("grid")
    return View(
        **values | {"intrinsics": _array("intrinsics", values["intrinsics"])},
        grid=None if grid is None else grid.to_numpy().reshape(shape),
    )


def _array(name: str, values: pl.Series | None) -> npt.NDArray[np.float64] | None:
    return None if values is None else values.to_numpy().reshape(_SHAPES.get(name, (-1,)))
