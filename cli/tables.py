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
    cells = [[_cell(n, v) for v in column] for n, column in frame.to_dict().items()]
    console = Console(file=file)
    # A pipe has no width: let each row be one line, as grep would want it.
    width = console.width if console.is_terminal else 10_000
    widths = _widths(frame, cells, width)
    for name, dtype, column_width in zip(frame.columns, frame.dtypes, widths, strict=True):
        table.add_column(
            name.replace("_", " "),
            justify="right" if dtype.is_numeric() else "left",
            overflow="fold",
            width=column_width,
        )
    if widths[0] is not None:
        table.padding = (0, 1, 0, 0)
    for row in zip(*cells, strict=True):
        table.add_row(*map(Text, row))
    Console(file=file, width=width).print(table)


def _widths(frame: pl.DataFrame, cells: list[list[str]], width: int) -> list[int] | list[None]:
    """Fold texts where all does not fit, long ones first; numbers and headings' words stay whole.

    None: wide enough for all, or too narrow even for the numbers.
    """
    longest = [max(map(len, column), default=0) for column in cells]
    whole = [max(n, len(name)) for n, name in zip(longest, frame.columns, strict=True)]
    words = [max(map(len, name.split("_"))) for name in frame.columns]
    if sum(whole) + 3 * len(whole) <= width:
        return [None] * len(whole)
    for limit in (14, 10, 6, 0):  # up to which a text stays whole; 0: headings are folded too
        least = [
            max(n if dtype.is_numeric() or n <= limit else 4, word if limit else 0)
            for n, dtype, word in zip(longest, frame.dtypes, words, strict=True)
        ]
        room = width - sum(least) - 2 * len(least)
        if room >= 0:
            for _ in range(room):  # to where most is folded
                gaps = [n - given for n, given in zip(longest, least, strict=True)]
                least[gaps.index(max(gaps))] += max(gaps) > 0
            return least
    return [None] * len(whole)


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
