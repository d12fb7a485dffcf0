"""What a Parquet file of pictures holds beside their bytes: built once, kept by `index_cache`."""

from __future__ import annotations

import json
from typing import Any, cast

import polars as pl

from embedstore.datasets import access
from embedstore.datasets.index_cache import Parts, cached
from embedstore.datasets.parquet_files import PictureFile, holds_bytes
from embedstore.datasets.readers import cannot_read
from embedstore.errors import DatasetError, require
from embedstore.store.tables import from_parquet, to_parquet

#: Beginning of the columns that are not the file's, whose names may be anything.
OWN = "embedstore."


def parquet_index(path: str) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """Return a file's rows without pictures, and names of classes by column.

    Rows have the columns `row`, `n_bytes`, `changed` and, where pictures have one, `path`, their
    names behind `OWN`, beside the file's own columns.

    Raises
    ------
    DatasetError
        If it cannot be read, is no Parquet, or has no column of pictures.
    """
    require("pyarrow", "encode")
    from pyarrow import ArrowException

    try:
        state = access.size_and_change(path)
    except OSError as error:
        raise cannot_read(path, error) from error
    try:
        parts = cached("parquet", path, lambda: _built(path))
    except (OSError, ArrowException, ValueError, pl.exceptions.PolarsError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DatasetError(f"{path} cannot be read: {reason}; fetch it again") from error
    rows = from_parquet(parts["rows"]).with_columns(
        pl.lit(state[1], pl.Int64).alias(f"{OWN}changed")
    )
    return rows, json.loads(parts["classes"])


def _built(path: str) -> Parts:
    file = PictureFile(path)
    schema = file.file.schema_arrow
    others = [
        field.name
        for field in schema
        if field.name != file.column.name and not holds_bytes(field.type)
    ]
    parts = [_group(file, group, others) for group in range(len(file.starts) - 1)]
    rows = pl.concat(parts) if parts else pl.DataFrame(schema={f"{OWN}n_bytes": pl.Int64})
    classes = json.dumps(class_names(file.file.metadata.metadata or {})).encode()
    return {"rows": to_parquet(rows.with_row_index(f"{OWN}row")), "classes": classes}


def _group(file: PictureFile, group: int, others: list[str]) -> pl.DataFrame:
    """Return a row group's rows: pictures never lie in memory all at once."""
    import pyarrow.compute as pc

    lengths = [_series("", pc.binary_length(part)).cast(pl.Int64) for part in file.pictures(group)]
    n_bytes = pl.concat([pl.Series(dtype=pl.Int64), *lengths]).fill_null(0)
    columns = [n_bytes.alias(f"{OWN}n_bytes")]
    if file.column.has_path:
        paths = pc.struct_field(file.table(group, [f"{file.column.name}.path"]).column(0), "path")
        columns.append(_series(f"{OWN}path", paths).cast(pl.String))
    table = file.table(group, others)
    return pl.DataFrame([*(_series(name, table.column(name)) for name in others), *columns])


def _series(name: str, values: Any) -> pl.Series:
    return cast("pl.Series", pl.from_arrow(values)).alias(name)


def class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return column -> names, in the order of the labels, of Hugging Face's `ClassLabel`s."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict)
            and feature.get("_type") == "ClassLabel"
            and isinstance(feature.get("names"), list)
        }
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}  # another's record, or none
