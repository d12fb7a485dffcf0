"""Columns of a listing that are no Python objects until one asks for them.

A million ids as Python strings are 90 MB, and as many locators again; a column computes them from
what is compact, a slice at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

#: Rows turned into Python objects at a time.
SLICE = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Column(Sequence[T]):
    """A sequence of N values that are computed from their rows."""

    n_rows: int  # N
    values: Callable[[slice], list[T]]  # of consecutive rows

    def __len__(self) -> int:
        return self.n_rows

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self.values(index)
        if not -self.n_rows <= index < self.n_rows:
            raise IndexError(index)
        row = index % self.n_rows
        return self.values(slice(row, row + 1))[0]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, self.n_rows, SLICE):
            yield from self.values(slice(start, start + SLICE))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"Column({shown}{', ...' if self.n_rows > 3 else ''}; {self.n_rows} values)"


def of_series(series: pl.Series) -> Column[Any]:
    """Return the column of a series' values."""
    return Column(len(series), lambda part: series[part].to_list())
