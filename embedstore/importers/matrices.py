"""Rows of numbers in one or more files, taken in any order and a block at a time.

Dimensions: R rows of the files, D columns, B rows of a block.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DatasetError
from embedstore.importers.arrays import (
    BFLOAT16,
    ArrayFile,
    Mapped,
    decoded,
    map_array,
    open_arrays,
    widened,
)
from embedstore.importers.tables import Table, read_table

I64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]
#: Rows of a Parquet file that are unpacked at a time.
UNPACKED_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Matrix:
    """(R, D) floats: parts one behind the other."""

    path: Path
    digest: str  # SHA-256 of the file; of several, of their digests
    parts: tuple[Mapped, ...]  # (r, D) each
    array: str = ""  # its name in the file
    beside: Table | None = None  # what the file says of each row besides: ids, labels

    @property
    def shape(self) -> tuple[int, int]:
        """(R, D)."""
        return sum(len(p.array) for p in self.parts), self.parts[0].array.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What :meth:`take` returns: bfloat16 comes as float32."""
        types = {np.dtype(np.float32) if d == BFLOAT16 else d for d in self._types}
        return np.result_type(*types)

    @property
    def _types(self) -> set[np.dtype[Any]]:
        return {p.array.dtype for p in self.parts}

    @property
    def origin(self) -> dict[str, str]:
        """What a record keeps of the files."""
        named = {"array": self.array} if self.array else {}
        return {"file": self.path.name, "sha256": self.digest, **named}

    def take(self, rows: I64) -> Floats:
        """Copy rows in any order: (B,) -> (B, D); a row -1 is NaN throughout."""
        out = np.full((len(rows), self.shape[1]), np.nan, self.dtype)
        start = 0
        for part in self.parts:
            stop = start + len(part.array)
            chosen = np.flatnonzero((rows >= start) & (rows < stop))
            if len(chosen):
                out[chosen] = widened(part.take(rows[chosen] - start))
            start = stop
        return out


def read_matrix(path: str | Path, name: str | None, usual: Sequence[str], meant: str) -> Matrix:
    """Open a matrix in a file of arrays, or in a Parquet column of lists.

    Parameters
    ----------
    path
        The file.
    name
        Of the array or column, where there are several.
    usual
        Names that such arrays have.
    meant
        What the rows are, for messages: `embeddings`.

    Raises
    ------
    DatasetError
        If there is no such matrix of floats; pickled files are refused.
    """
    path = Path(path).expanduser()
    if path.is_file() and _begins(path, b"PAR1"):
        table = read_table(path)
        return checked(_unpacked(table, table.find(name, usual, "--array")), meant)
    file = open_arrays(path)
    return checked(_chosen(file, name, usual), meant)


def joined(path: Path, matrices: Sequence[Matrix]) -> Matrix:
    """Put the rows of several files one behind the other, as one matrix."""
    first = matrices[0]
    for matrix in matrices:
        if matrix.shape[1] != first.shape[1]:
            raise DatasetError(
                f"{matrix.path} has rows of {matrix.shape[1]} numbers, {first.path} of "
                f"{first.shape[1]}; they are not of one model: keep the parts of one"
            )
    digest = hashlib.sha256("\n".join(m.digest for m in matrices).encode()).hexdigest()
    return Matrix(path, digest, tuple(part for m in matrices for part in m.parts))


def checked(matrix: Matrix, meant: str) -> Matrix:
    """Return `matrix` if it has two dimensions, floats, and at least one row and column."""
    array = matrix.parts[0].array
    where = f"{matrix.path}{f' ({matrix.array})' if matrix.array else ''}"
    if array.ndim != 2 or 0 in array.shape:
        raise DatasetError(
            f"{where} is of shape {array.shape}; {meant} are of two dimensions, a row for each "
            "sample: write one such array"
        )
    if array.dtype != BFLOAT16 and array.dtype not in (np.float16, np.float32, np.float64):
        raise DatasetError(
            f"{where} holds {array.dtype}, where {meant} are float16, float32 or float64; convert "
            "them, and import classes with: embedstore import predictions"
        )
    return matrix


def _chosen(file: ArrayFile, name: str | None, usual: Sequence[str]) -> Matrix:
    found = file.find(name, usual, "--array")
    if found is None:
        flat = [n for n, part in file.arrays.items() if part.array.ndim == 2]
        found = flat[0] if len(flat) == 1 else None
    if found is None:
        raise DatasetError(
            f"{file.path} has several arrays; name one with --array: it has {file.names}"
        )
    table = (
        _described(file, len(file.arrays[found].array)) if file.arrays[found].array.ndim else None
    )
    return Matrix(file.path, file.digest, (file.arrays[found],), found, table)


def _described(file: ArrayFile, n_rows: int) -> Table | None:
    """Return arrays of one text or whole number a row, such as ids, as a table."""
    columns = {
        name: pl.Series(name, decoded(np.array(a)))
        for name, a in ((n, part.array) for n, part in file.arrays.items())
        if a.shape == (n_rows,) and a.dtype.kind in "USiu"
    }
    if not columns:
        return None
    return Table(file.path, file.digest, pl.LazyFrame(columns), tuple(columns))


def _unpacked(table: Table, column: str) -> Matrix:
    """Unpack a column of lists to a temporary file, whose rows can be read in any order."""
    where = f"column {column!r} of {table.path}"
    values = table.lazy.select(column)
    dtype = values.collect_schema()[column]
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    if inner is None or not inner.is_float():
        raise DatasetError(
            f"{where} holds {dtype}; embeddings are lists of floats: name another with --array"
        )
    values = values.select(pl.col(column).cast(pl.List(inner)))
    shape = _checked_lengths(values, column, where)
    numbers = pl.Series([], dtype=inner).to_numpy().dtype
    with tempfile.NamedTemporaryFile(prefix="embedstore-") as file:
        for start in range(0, shape[0], UNPACKED_ROWS):
            part = values.slice(start, UNPACKED_ROWS).collect()[column]
            rows = np.full((len(part), shape[1]), np.nan, numbers)
            there = part.is_not_null()
            flat = part.filter(there).list.explode(keep_nulls=True, empty_as_null=True)
            rows[there.to_numpy()] = flat.to_numpy().reshape(-1, shape[1])
            file.write(rows.tobytes())
        file.flush()
        mapped = map_array(file.file, 0, shape, numbers)
    rest = [name for name in table.columns if name != column]
    beside = Table(table.path, table.digest, table.lazy.select(rest), tuple(rest)) if rest else None
    return Matrix(table.path, table.digest, (mapped,), column, beside)


def _checked_lengths(values: pl.LazyFrame, column: str, where: str) -> tuple[int, int]:
    """Return (R, D) of a column of lists: all of one length, or missing."""
    lengths = values.select(pl.col(column).list.len()).collect(engine="streaming")[column]
    present = lengths.drop_nulls()
    if present.is_empty() or present[0] == 0:
        raise DatasetError(f"{where} has no numbers; check what wrote it")
    wrong = (lengths != present[0]).fill_null(value=False).arg_true()
    if len(wrong):
        raise DatasetError(
            f"row {wrong[0] + 1} of {where} is a list of {lengths[wrong[0]]} numbers, where others "
            f"have {present[0]}; all rows of a matrix are of one length: mend it there"
        )
    return len(lengths), int(present[0])


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
