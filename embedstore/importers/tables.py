"""Tables that others wrote: CSV, JSON lines, a JSON array, Parquet; gzip alike.

What is inside decides, and the file's ending only where the inside leaves a choice. Knows files and
columns, not what they mean.

Dimensions: R rows of the file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from embedstore.errors import DatasetError

KINDS = "CSV, JSON lines, JSON or Parquet, each perhaps with gzip"
_SNIFFED = 1 << 16
_PICKLED = (".pickle", ".pkl", ".joblib", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows and named columns, read when they are asked for."""

    path: Path
    digest: str  # SHA-256 of the file, hexadecimal
    lazy: pl.LazyFrame  # R rows; all columns of a CSV are text
    columns: tuple[str, ...]

    @property
    def origin(self) -> dict[str, str]:
        """What a record keeps of the file."""
        return {"file": self.path.name, "sha256": self.digest}

    def find(self, wanted: str | None, usual: Sequence[str], option: str) -> str:
        """Return the column that the user names, or else the first of the usual names.

        Raises
        ------
        DatasetError
            If the file has none of them.
        """
        if wanted is None:
            wanted = next((name for name in usual if name in self.columns), None)
        if wanted in self.columns:
            return str(wanted)
        missing = "none of " + ", ".join(usual) if wanted is None else f"no column {wanted!r}"
        raise DatasetError(
            f"{self.path} has {missing}; name one with {option}: it has {', '.join(self.columns)}"
        )

    def select(self, columns: Sequence[str]) -> pl.DataFrame:
        """Read some columns: R rows.

        Raises
        ------
        DatasetError
            If the file is damaged, or has no row.
        """
        try:
            frame = self.lazy.select(columns).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _unreadable(self.path, error) from error
        if frame.is_empty():
            raise DatasetError(f"{self.path} has columns and no row; check what wrote it")
        return frame


def read_table(path: str | Path) -> Table:
    """Open a table, told by its content.

    Raises
    ------
    DatasetError
        If the file cannot be read, is empty, or is no table: pickled files are refused.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        head = _head(path)
        lazy = _scan(path, head)
        columns = tuple(lazy.collect_schema().names())
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    repeated = [c for c in columns if c.partition("_duplicated_")[0] in columns and "_dup" in c]
    if repeated:
        raise DatasetError(
            f"{path} has two columns {repeated[0].partition('_duplicated_')[0]!r}; rename one"
        )
    return Table(path, digest, lazy, columns)


def texts(column: pl.Series, where: str) -> pl.Series:
    """Return a column as texts, such as ids: (R,) without spaces around, null where empty.

    Raises
    ------
    DatasetError
        If it holds lists, fractions or bytes.
    """
    real = column.dtype.is_float()
    fractions = real and not (column.is_nan() | _are_whole(column)).all()
    if column.dtype.is_nested() or column.dtype == pl.Binary or fractions:
        raise DatasetError(
            f"column {column.name!r} of {where} holds {column.dtype} where texts or whole numbers "
            "are needed; name another"
        )
    if real:
        column = column.fill_nan(None).cast(pl.Int64)
    stripped = column.cast(pl.String).str.strip_chars()
    return stripped.set(stripped == "", None)


def _are_whole(column: pl.Series) -> pl.Series:
    return (column == column.floor()) & (column.abs() < 2.0**63)  # not infinite: no Int64 holds it


def numbers(column: pl.Series, where: str) -> pl.Series:
    """Return a column as float64: (R,), null where it is empty.

    Raises
    ------
    DatasetError
        If a value is no number.
    """
    if column.dtype.is_numeric():
        return column.cast(pl.Float64)
    said = texts(column, where)
    found = said.cast(pl.Float64, strict=False)
    wrong = (found.is_null() & said.is_not_null()).arg_true()
    if len(wrong):
        raise DatasetError(
            f"{said[wrong[0]]!r} in row {wrong[0] + 1} of {where}, column {column.name!r}, is no "
            "number; mend it, or name another column"
        )
    return found


def typed(column: pl.Series) -> pl.Series:
    """Return a column in the simplest type that holds all of it.

    Texts become whole numbers, numbers, or lists (`[1, 2]`); what is only 0 and 1 becomes Boolean.
    """
    if column.dtype in (pl.String, pl.Null):
        column = _typed_texts(column)
    if column.dtype.is_integer() and column.is_in([0, 1]).all() and column.count():
        return column.cast(pl.Boolean)
    return column


def _typed_texts(column: pl.Series) -> pl.Series:
    said = column.cast(pl.String).str.strip_chars()
    said = said.set(said == "", None)
    present = said.drop_nulls()
    if present.str.contains(r"^[+-]?0\d").any():  # 007 is a name
        return column.cast(pl.String)
    for dtype in (pl.Int64, pl.Float64):
        if said.cast(dtype, strict=False).null_count() == said.null_count() < len(said):
            return said.cast(dtype)
    if len(present) and present.str.contains(r"(?s)^\[.*\]$").all():
        lists = _lists(said)
        if lists is not None:
            return lists
    truth = {"true": True, "false": False}
    if len(present) and present.str.to_lowercase().is_in(list(truth)).all():
        return said.str.to_lowercase().replace_strict(truth, return_dtype=pl.Boolean)
    return column.cast(pl.String)


def _lists(said: pl.Series) -> pl.Series | None:
    """Decode JSON lists of one type; None where they are none."""
    decoded = {}
    for inner in (pl.Float64, pl.Int64, pl.String):
        try:
            decoded[inner] = said.str.json_decode(pl.List(inner))
        except pl.exceptions.PolarsError:
            continue
    whole, real = decoded.get(pl.Int64), decoded.get(pl.Float64)
    # Polars cuts 0.5 to 0, and makes null of what is too large, where whole numbers are asked for.
    if whole is not None and real is not None and whole.cast(pl.List(pl.Float64)).equals(real):
        return whole
    return decoded.get(pl.String) if real is None else real


def _head(path: Path) -> bytes:
    """Return the first bytes of what is inside, unpacked."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as stream:
        return stream.read(_SNIFFED)


def _scan(path: Path, head: bytes) -> pl.LazyFrame:
    name = path.name.lower().removesuffix(".gz")
    _refuse(path, name, head)
    if head.startswith(b"PAR1"):
        return pl.scan_parquet(_source(path), glob=False)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return _json_array(path).lazy()
    if text.startswith(b"{"):
        return pl.scan_ndjson(path, infer_schema_length=None)
    if name.endswith(".parquet"):
        raise DatasetError(f"{path} is no Parquet file, for all its name; write it again")
    if not text:
        raise DatasetError(f"{path} is empty; check what wrote it")
    if b"\0" in head:
        raise DatasetError(f"{path} is no text in UTF-8; write the table as {KINDS}")
    line = text.partition(b"\n")[0]
    separator = max(b",\t;", key=lambda mark: line.count(mark))
    # All columns at once: of some, Polars does not see that a line has more fields than the first.
    return pl.read_csv(path, infer_schema=False, separator=chr(separator), glob=False).lazy()


def _refuse(path: Path, name: str, head: bytes) -> None:
    """Refuse what is no table; a pickled file runs whatever it likes as it is opened."""
    if (head[:1] == b"\x80" and head[1:2] <= b"\x05") or name.endswith(_PICKLED):
        raise DatasetError(
            f"{path} is a pickled file, which could run any code when opened, so it is refused; "
            f"write the table as {KINDS}"
        )
    if head.startswith(b"\x93NUMPY") or name.endswith((".npy", ".npz", ".safetensors")):
        raise DatasetError(
            f"{path} holds an array, no table; import it as logits or embeddings, or write {KINDS}"
        )
    if head.startswith(b"PK\x03\x04"):
        raise DatasetError(f"{path} is an archive or a spreadsheet; write the table as {KINDS}")


def _source(path: Path) -> Path | io.BytesIO:
    """Polars unpacks texts, and Parquet not."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return io.BytesIO(gzip.decompress(path.read_bytes())) if packed else path


def _json_array(path: Path) -> pl.DataFrame:
    """Read one array of objects, or of values: then the only column is named after the file."""
    source = _source(path)
    data = source.read() if isinstance(source, io.BytesIO) else source.read_bytes()
    values = _values(path, data)
    if not values:
        raise DatasetError(f"{path} holds an empty array; check what wrote it")
    if all(isinstance(value, dict) for value in values):
        return pl.DataFrame(values, infer_schema_length=None, strict=False)
    try:
        return pl.DataFrame({path.name.partition(".")[0]: pl.Series(values, strict=True)})
    except TypeError as error:
        raise DatasetError(
            f"{path} mixes values of several types in one array; make all of them one type"
        ) from error


def _values(path: Path, data: bytes) -> list[Any]:
    try:
        text = data.decode("utf-8-sig")
        try:
            return list(json.loads(text))
        except json.JSONDecodeError:
            return [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> DatasetError:
    if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
        return DatasetError(f"cannot read {path} ({error.strerror}); check the path")
    said = " ".join(str(error).split("\n")[0].split())
    return DatasetError(
        f"{path} cannot be read as a table ({said or type(error).__name__}); it must be whole, and "
        f"{KINDS}"
    )
