"""Parquet tables as bytes: one row group, zstd-1, the same bytes for the same rows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl


def table(schema: Mapping[str, Any], columns: Mapping[str, Sequence[Any] | Any]) -> pl.DataFrame:
    """Return a frame of exactly the schema's columns, in its order; missing ones are null."""
    n_rows = max((len(values) for values in columns.values()), default=0)
    return pl.DataFrame(
        {name: columns.get(name, [None] * n_rows) for name in schema}, schema=dict(schema)
    )


def to_parquet(frame: pl.DataFrame) -> bytes:
    """Write the frame with statistics, one row group, zstd at its first level."""
    buffer = io.BytesIO()
    frame.write_parquet(
        buffer, compression="zstd", compression_level=1, row_group_size=max(1, frame.height)
    )
    return buffer.getvalue()


def from_parquet(data: bytes) -> pl.DataFrame:
    """Read a table."""
    return pl.read_parquet(io.BytesIO(data))
