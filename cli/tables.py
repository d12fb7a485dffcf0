"""Tables on standard output: for a person, or for a program."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
        _print(frame, sys.stdout)
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
        text = io.StringIO()
        _print(frame, text)
        buffer.write(text.getvalue().encode())
    return buffer.getvalue()


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(frame: pl.DataFrame, file: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name, dtype in frame.schema.items():
        table.add_column(
            name.replace("_", " "),
            justify="right" if dtype.is_numeric() else "left",
            overflow="fold",
        )
    for row in frame.iter_rows():
        table.add_row(*(Text(_cell(n, v)) for n, v in zip(frame.columns, row, strict=True)))
    console = Console(file=file)
    # A pipe has no width: let each row be one line, as grep would want it.
    width = console.width if console.is_terminal else 10_000
    Console(file=file, width=width).print(table)


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name == "n_bytes" and isinstance(value, int):
        return n_bytes(value)
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def n_bytes(count: float) -> str:
    """Write a count of bytes as a person would."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
