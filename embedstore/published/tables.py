"""Tables of figures that a user brings: one row a model, a figure a column; several are joined.

CSV, JSON lines or Parquet. The first column or columns of names that tell all rows apart are the
models' names. It knows numbers and names, not what was measured.
"""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from embedstore.errors import EmbedStoreError

Unit = Literal["fraction", "percent", "number"]

_MISSING = ("", "-", "nan", "n/a", "na", "null", "none")
_WHOLE = r"^-?(?:0|[1-9]\d*)$"  # 007 is a name
_THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?$"
_PADDED = r"^[+-]?0\d"
#: Columns that a message names before it only counts.
_NAMED = 12


def read_tables(paths: Sequence[str | Path]) -> pl.DataFrame:
    """Read published tables and join them: a row a model.

    The keys are the fewest columns of texts and whole numbers, the same in all files and filled in
    every row, that tell the rows of each file apart; the texts first. Of texts that are numbers,
    thousands commas and leading plus signs are taken off, and `85.3%` becomes 0.853.

    Parameters
    ----------
    paths
        CSV (parted by commas, semicolons or tabs, one row of titles), JSON lines or Parquet.

    Returns
    -------
    pl.DataFrame
        `model`, the keys joined by spaces; the keys; the other columns, null where a file lacks
        the model. A column whose name stands in several files is called `STEM:column`, STEM being
        the file's name without its ending.

    Raises
    ------
    EmbedStoreError
        If a file is missing, empty, ragged or has several rows of titles, if a model stands twice
        in one, or if two have no model in common.
    """
    tables = _by_stem([Path(path).expanduser() for path in paths])
    keys = _keys(tables)
    joined = _joined(tables, keys)
    model = pl.concat_str(keys, separator=" ").alias("model")
    return joined.select(model, *(n for n in keys if n != "model"), pl.exclude("model", *keys))


def column(frame: pl.DataFrame, name: str) -> tuple[pl.Series, Unit]:
    """Return a column of :func:`read_tables` as fractions, and the unit that it was taken to be in.

    Values from 0 to 1 are fractions. Where none is below 0 or above 100 and one is above 1, all are
    per cent, and divided by 100. Other columns, such as counts and differences, are numbers, as
    they are.

    Parameters
    ----------
    frame
        N models.
    name
        A column; one that stands in several files as `STEM:column`, or without the stem where the
        files agree.

    Returns
    -------
    pl.Series
        (N,) float64, null where a model has no figure.
    str
        ``fraction``, ``percent`` or ``number``: the unit in the table.

    Raises
    ------
    EmbedStoreError
        If there is no such column, or it holds no numbers.
    """
    found = _find(frame, name)
    if not frame[found].dtype.is_numeric():
        texts = frame[found].cast(pl.String, strict=False).drop_nulls()
        such = f", such as {texts[0]!r}" if len(texts) else ""
        raise EmbedStoreError(f"column {found!r} holds no numbers{such}; name a column of figures")
    values = frame[found].cast(pl.Float64).fill_nan(None).alias(name)
    known = values.drop_nulls()
    if known.is_empty():
        raise EmbedStoreError(f"column {found!r} is empty; name a column of figures")
    if not known.is_between(0, 100).all():
        return values, "number"
    return (values / 100, "percent") if (known > 1).any() else (values, "fraction")


def _joined(tables: dict[str, pl.DataFrame], keys: Sequence[str]) -> pl.DataFrame:
    """Join tables on their keys: all models of all."""
    names = Counter(name for table in tables.values() for name in table.columns if name not in keys)
    joined: pl.DataFrame | None = None
    for stem, table in tables.items():
        renamed = table.rename({n: f"{stem}:{n}" for n in table.columns if names[n] > 1})
        if joined is None:
            joined = renamed
            continue
        if joined.join(renamed, keys, how="semi").is_empty():
            raise EmbedStoreError(
                f"table {stem} has no model in common with those before it, by {', '.join(keys)}; "
                "write the names alike, or leave it out"
            )
        joined = joined.join(renamed, keys, how="full", coalesce=True, maintain_order="left_right")
    assert joined is not None
    return joined


def _by_stem(paths: Sequence[Path]) -> dict[str, pl.DataFrame]:
    """Read files by their names without endings, which tell them apart."""
    if not paths:
        raise EmbedStoreError("no table was named; give a CSV or Parquet file with a row a model")
    tables: dict[str, pl.DataFrame] = {}
    for path in paths:
        if path.stem in tables:
            raise EmbedStoreError(
                f"two tables are named {path.stem!r}; rename one, or leave it out"
            )
        tables[path.stem] = read_table(path)
    return tables


def read_table(path: Path) -> pl.DataFrame:
    """Read a table, texts that are numbers as numbers.

    Raises
    ------
    EmbedStoreError
        If the file is missing, empty, ragged or no table, or a title stands twice.
    """
    try:
        with path.open("rb") as file:
            first = file.read(4).lstrip()
        if first.startswith(b"{"):
            frame = pl.read_ndjson(path, infer_schema_length=None)
        else:
            frame = pl.read_parquet(path, glob=False) if first == b"PAR1" else _read_csv(path)
    except OSError as error:
        raise EmbedStoreError(
            f"cannot read {path} ({error.strerror or error}); check the path"
        ) from error
    except (csv.Error, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        said = str(error).partition("\n")[0]
        raise EmbedStoreError(
            f"{path} cannot be read as a table ({said}); write it as CSV in UTF-8, or as Parquet "
            "or JSON lines"
        ) from error
    if frame.is_empty():
        raise EmbedStoreError(f"{path} has no row; give a table with a row a model")
    return frame.select(_typed(column) for column in frame)


def csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each line, parted by the sign that the first has most of."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        lines = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
        yield from ((lines.line_num, fields) for fields in lines)


def _read_csv(path: Path) -> pl.DataFrame:
    """Read a CSV file as texts, each line as wide as the titles."""
    lines = csv_lines(path)
    titles = [title.strip() for title in next(lines, (0, []))[1]]
    _check_titles(path, titles)
    rows = []
    for number, row in lines:
        if row and len(row) != len(titles):
            raise EmbedStoreError(
                f"{path} is ragged: line {number} has {len(row)} values for {len(titles)} titles; "
                "mend the line"
            )
        rows += [row] if row else []
    return pl.DataFrame(rows, schema=dict.fromkeys(titles, pl.String), orient="row")


def _check_titles(path: Path, titles: Sequence[str]) -> None:
    if not any(titles):
        raise EmbedStoreError(f"{path} is empty, or its first line; begin it with a row of titles")
    title, n = Counter(titles).most_common(1)[0]
    if n > 1:
        raise EmbedStoreError(
            f"{path} has {n} columns titled {title!r}; write one row of titles, each of them once"
        )


def _typed(column: pl.Series) -> pl.Series:
    """Return a column as Int64, Float64 or String, the first that holds all of it: (N,)."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64)
    if column.dtype.is_float():
        return column.cast(pl.Float64).fill_nan(None)
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return column
    said = column.cast(pl.String).str.strip_chars()
    said = said.set(said.str.to_lowercase().is_in(_MISSING), None)
    present = said.drop_nulls()
    if present.str.contains(_PADDED).any():
        return said
    if len(present) and present.str.contains(_WHOLE).all():
        whole = said.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == said.null_count() else said
    numbers = _numbers(said)
    return numbers if numbers.null_count() == said.null_count() else said


def _numbers(said: pl.Series) -> pl.Series:
    """Return texts as numbers, null where they are none: (N,)."""
    bare = said.str.strip_suffix("%").str.strip_chars()
    bare = bare.zip_with(~bare.str.contains(_THOUSANDS), bare.str.replace_all(",", ""))
    numbers = bare.cast(pl.Float64, strict=False)
    return numbers.zip_with(~said.str.ends_with("%"), numbers / 100)


def _keys(tables: dict[str, pl.DataFrame]) -> list[str]:
    """Return the columns that name the models of every table."""
    candidates = _candidates(list(tables.values()))
    if not candidates:
        raise EmbedStoreError(
            f"{' and '.join(tables)}: no column of texts or whole numbers, filled in every row and "
            "titled the same in all, could name the models; add one"
        )
    chosen: list[str] = []
    for name in candidates:
        if not _unique(tables, chosen):
            chosen.append(name)
    for stem, table in tables.items():
        repeated = table.filter(pl.struct(chosen).is_duplicated())
        if not repeated.is_empty():
            said = " ".join(str(value) for value in repeated.select(chosen).row(0))
            raise EmbedStoreError(
                f"table {stem} has {said!r} twice (by {', '.join(chosen)}); keep one row a model"
            )
    return _fewest(tables, chosen)


def _candidates(tables: Sequence[pl.DataFrame]) -> list[str]:
    """Return columns of one type in all tables that may name models, texts first."""
    first = tables[0]
    shared = [
        name
        for name, dtype in first.schema.items()
        if dtype in (pl.String, pl.Int64)
        and all(t.schema.get(name) == dtype and not t[name].null_count() for t in tables)
    ]
    return sorted(shared, key=lambda name: first.schema[name] != pl.String)


def _fewest(tables: dict[str, pl.DataFrame], keys: list[str]) -> list[str]:
    """Leave out what is not needed to tell rows apart, but never all texts: ranks are no names."""
    schema = next(iter(tables.values())).schema
    for name in reversed(keys):
        rest = [key for key in keys if key != name]
        named = schema[name] == pl.Int64 or any(schema[key] == pl.String for key in rest)
        if rest and named and _unique(tables, rest):
            keys = rest
    return keys


def _unique(tables: dict[str, pl.DataFrame], keys: Sequence[str]) -> bool:
    if not keys:
        return False
    return not any(table.select(keys).is_duplicated().any() for table in tables.values())


def _find(frame: pl.DataFrame, name: str) -> str:
    """Return the column that a name means."""
    if name in frame.columns:
        return name
    several = [column for column in frame.columns if column.endswith(f":{name}")]
    if several:
        if all((frame[column] == frame[several[0]]).all() for column in several):
            return several[0]
        raise EmbedStoreError(
            f"column {name!r} stands in several tables, and differs; name one of: "
            f"{', '.join(several)}"
        )
    titles = {column.rpartition(":")[2] for column in frame.columns}
    near = difflib.get_close_matches(name.rpartition(":")[2], titles, n=3, cutoff=0.5)
    close = [column for column in frame.columns if column.rpartition(":")[2] in near]
    offered = close or frame.columns
    rest = f", ... ({len(offered)} in all)" if len(offered) > _NAMED else ""
    raise EmbedStoreError(
        f"no column {name!r} in the tables; name one of: {', '.join(offered[:_NAMED])}{rest}"
    )
