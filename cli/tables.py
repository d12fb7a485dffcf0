"""Tables on standard output: for a person, or for a program."""

from __future__ import annotations

import io
import json
import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.text_tables import as_text
from embedstore.errors import EmbedStoreError

if TYPE_CHECKING:
    import polars as pl

FORMATS = ("table", "json", "csv", "parquet")

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="A table to read, one JSON array of row objects, CSV, or Parquet.",
)


def show(frame: pl.DataFrame, format_: str, output: Path | None = None, empty: str = "") -> None:
    """Write a table to standard output or a file; `empty` says what to do where it has no rows."""
    if format_ == "table" and frame.is_empty() and empty:
        click.echo(empty, err=True)
        return
    if output is not None:
        _write(output, _bytes(frame, format_))
    elif format_ == "table":
        click.echo(_text(frame), nl=False)
    else:
        click.echo(_bytes(frame, format_), nl=False)


def _write(output: Path, data: bytes) -> None:
    try:
        output.write_bytes(data)
    except OSError as error:
        raise EmbedStoreError(
            f"cannot write {output}: {error.strerror}; check the path after --output"
        ) from error


def _bytes(frame: pl.DataFrame, format_: str) -> bytes:
    buffer = io.BytesIO()
    if format_ == "parquet":
        frame.write_parquet(buffer)
    elif format_ == "csv":
        frame.write_csv(buffer)
    elif format_ == "json":
        rows = [{k: _finite(v) for k, v in row.items()} for row in frame.iter_rows(named=True)]
        buffer.write((json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
    else:
        buffer.write(as_text(frame, None).encode())
    return buffer.getvalue()


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(frame: pl.DataFrame) -> str:
    """Return the table for whoever reads standard output."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return as_text(frame, width)
