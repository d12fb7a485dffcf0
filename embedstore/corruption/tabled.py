"""Published tables of accuracy under corruption.

Two layouts: a row a model under two rows of titles, corruptions over severities; or tidy, a row a
model, corruption and severity. Accuracies are fractions or per cent. Severity 0, or the corruption
`clean`, is the clean pictures. It knows no store.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from embedstore.corruption.benchmarks import benchmark_of
from embedstore.errors import EmbedStoreError
from embedstore.published.tables import csv_lines, read_table
from embedstore.schema.corruption import UNDER_CORRUPTION

#: What clean pictures are called in place of a corruption.
CLEAN = ("clean", "none", "original")
_COLUMNS = ("model", "corruption", "severity", "accuracy")
_LAYOUTS = (
    f"give a table with the columns {', '.join(_COLUMNS)}, or one with a row a model under two "
    "rows of titles: corruptions, and severities"
)
_MISSING = ("", "-", "nan", "na", "n/a", "null")


def read_accuracies(path: str | Path) -> pl.DataFrame:
    """Read a published table: columns of `schema.corruption.UNDER_CORRUPTION`.

    Parameters
    ----------
    path
        CSV in either layout; tidy ones JSON lines or Parquet too. Columns `head`, `space` and
        `benchmark` tell apart what they name. Without the last, the benchmark is the known one that
        all corruptions are of, or else the file.

    Raises
    ------
    EmbedStoreError
        If the file is no such table, an accuracy is no number from 0 to 1 or to 100, a severity no
        whole number, or a model has two accuracies at one corruption and severity.
    """
    path = Path(path).expanduser()
    lines = _csv_lines(path)
    frame = _under_titles(path, lines) if _has_two_titles(lines) else _tidy(path)
    frame = frame.with_columns(_fractions(frame["accuracy"], path), _severities(frame, path))
    frame = frame.drop_nulls("accuracy")
    if frame.is_empty():
        raise EmbedStoreError(f"{path} holds no accuracy; {_LAYOUTS}")
    clean = pl.col("severity") == 0
    frame = frame.with_columns(corruption=pl.when(~clean).then("corruption"))
    known = benchmark_of(frame["corruption"].drop_nulls().unique().to_list())
    if "benchmark" not in frame.columns:
        frame = frame.with_columns(benchmark=pl.lit(known or path.name.partition(".")[0]))
    found = frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in UNDER_CORRUPTION.items()
    )
    _refuse_repeated(found, path)
    return found


def _csv_lines(path: Path) -> list[list[str]]:
    """Return the fields of a CSV file; of any other none: who reads it says what it is."""
    try:
        return [[field.strip() for field in line] for _, line in csv_lines(path) if line]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _has_two_titles(lines: Sequence[Sequence[str]]) -> bool:
    """Whether the second row is of severities, beside no model's name."""
    if len(lines) < 2 or len(lines[1]) < 2:
        return False
    named, *severities = lines[1]
    return named.lower() in ("", "severity") and any(s.isdigit() for s in severities)


def _under_titles(path: Path, lines: Sequence[Sequence[str]]) -> pl.DataFrame:
    """Return a row a model, corruption and severity, of texts."""
    (_, *corruptions), (_, *severities), *models = lines
    for i, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise EmbedStoreError(
                f"{path} is ragged: row {i} has {len(line)} values and the first "
                f"{len(lines[0])}; mend the row"
            )
    return pl.DataFrame(
        [
            (model, corruption, severity, value)
            for model, *values in models
            for corruption, severity, value in zip(corruptions, severities, values, strict=True)
        ],
        schema=dict.fromkeys(_COLUMNS, pl.String),
        orient="row",
    )


def _tidy(path: Path) -> pl.DataFrame:
    frame = read_table(path)
    lacking = [name for name in _COLUMNS if name not in frame.columns]
    if lacking:
        raise EmbedStoreError(f"{path} lacks the column {lacking[0]!r}; {_LAYOUTS}")
    names = ("model", "corruption", "head", "space", "benchmark")
    return frame.with_columns(pl.col(n).cast(pl.String) for n in names if n in frame.columns)


def _fractions(accuracies: pl.Series, path: Path) -> pl.Series:
    """Return accuracies as fractions, null where there are none."""
    values = _numbers(accuracies, path)
    outside = values.filter(~values.is_between(0, 100))
    if len(outside):
        raise EmbedStoreError(
            f"{path} holds {outside[0]:g}, which is no accuracy; give fractions, or per cent"
        )
    return values / 100 if (values > 1).any() else values


def _severities(frame: pl.DataFrame, path: Path) -> pl.Series:
    """Return severities as whole numbers; those of clean pictures are 0."""
    values, named = _numbers(frame["severity"], path), frame["corruption"].str.to_lowercase()
    # `none` is read as nothing at all
    clean = named.is_in(CLEAN) | (named.is_null() & values.is_null())
    values = values.set(clean.fill_null(value=True), 0.0)
    wrong = values.is_null() | (values < 0) | (values != values.floor())
    wrong |= (values > 0) & (named.fill_null("") == "")
    if wrong.any():
        row = frame.filter(wrong).row(0, named=True)
        raise EmbedStoreError(
            f"{path} has accuracies under {row['corruption']!r} at severity {row['severity']!r}, "
            "which are no corruption and whole number; mend them"
        )
    return values.cast(pl.Int64)


def _numbers(column: pl.Series, path: Path) -> pl.Series:
    if column.dtype == pl.String:
        said = column.str.strip_chars()
        said = said.set(said.str.to_lowercase().is_in(_MISSING), None)
        numbers = said.cast(pl.Float64, strict=False)
        wrong = said.filter(numbers.is_null() & said.is_not_null())
        if len(wrong):
            raise EmbedStoreError(
                f"{wrong[0]!r} in {path} is no {column.name}; give a number, or leave it empty"
            )
        return numbers
    if not (column.dtype.is_numeric() or column.dtype == pl.Null):
        raise EmbedStoreError(f"{column.name} in {path} holds {column.dtype}; give numbers")
    return column.cast(pl.Float64).fill_nan(None)


def _refuse_repeated(frame: pl.DataFrame, path: Path) -> None:
    keys = ["model", "head", "space", "benchmark", "corruption", "severity"]
    repeated = frame.filter(pl.struct(keys).is_duplicated())
    if len(repeated):
        row = repeated.row(0, named=True)
        place = f"{row['corruption']} {row['severity']}" if row["severity"] else "clean pictures"
        raise EmbedStoreError(
            f"{path} has two accuracies of {row['model']!r} under {place}; keep one"
        )
