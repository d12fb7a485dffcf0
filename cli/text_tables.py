"""Tables as text for a person: aligned, fitted to a terminal, and what is the same said once.

Formats for programs are complete; this is not: columns without values are named alone.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import polars as pl

GAP = "  "
#: Up to so many characters, a text that is the same in all rows is told in each.
LONG = 24
#: Widths to which texts may be folded, tried in turns; a table too wide for all is cut in blocks.
FOLDS = (14, 10)


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is written."""

    name: str
    cells: tuple[str, ...]  # a row each
    is_number: bool
    longest: int  # width of the widest cell

    @property
    def heading(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def whole(self) -> int:
        """Width at which nothing is folded."""
        return max(self.longest, text_width(self.heading))

    @property
    def is_constant(self) -> bool:
        """Whether two rows or more say the same."""
        return len(self.cells) > 1 and len(set(self.cells)) == 1

    def least(self, fold: int) -> int:
        """Return the width with texts folded to `fold`; numbers and headings' words stay whole."""
        word = max(map(text_width, self.heading.split()), default=0)
        return max(word, self.longest if self.is_number else min(self.longest, fold))


def as_text(frame: pl.DataFrame, width: int | None) -> str:
    """Return a table as lines for a person.

    What is the same in all rows is told once, below, where it is long or the table is too wide;
    one row that is too wide is a card; a table that is too wide when folded goes on in blocks.

    Parameters
    ----------
    frame
        What to show.
    width
        Of the terminal; where it is None each row is one line, as grep would want it.
    """
    shown = [s for s in frame.get_columns() if s.null_count() < len(s)] or frame.get_columns()
    columns = [_column(series) for series in shown]
    notes: list[str] = []
    if width is not None and frame.height == 1 and _total(columns) > width:
        blocks = [_card(columns, width)]
    else:
        columns, notes = _said_once(columns, width)
        blocks = [_lines(block, _widths(block, width), width) for block in _blocks(columns, width)]
    empty = [name for name in frame.columns if name not in {s.name for s in shown}]
    if empty:
        notes.append(f"all null: {', '.join(empty)}")
    if notes:
        blocks.append([line for note in notes for line in _folded(note, width, indent=GAP)])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def text_width(text: str) -> int:
    """Return how many places of a terminal a text takes: wide letters take two."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def n_bytes(count: float) -> str:
    """Write a count of bytes as a person would."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _column(series: pl.Series) -> Column:
    cells = tuple(_cell(series.name, value) for value in series)
    longest = max(map(text_width, cells), default=0)
    return Column(series.name, cells, series.dtype.is_numeric(), longest)


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name == "n_bytes" and isinstance(value, int):
        return n_bytes(value)
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 5e-5 else f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split())


def _said_once(columns: list[Column], width: int | None) -> tuple[list[Column], list[str]]:
    """Return the columns that stay in the table, and what is said of the others."""
    long = [c for c in columns if c.is_constant and c.longest > LONG and not c.is_number]
    columns = [c for c in columns if c not in long] or columns
    notes = [f"{c.name}: {c.cells[0]}" for c in long]
    if width is None or _total(columns) <= width:
        return columns, notes
    same = [c for c in columns if c.is_constant]
    if same and len(same) < len(columns):
        notes.insert(0, "in all rows: " + ", ".join(f"{c.name} {c.cells[0]}" for c in same))
        columns = [c for c in columns if c not in same]
    return columns, notes


def _total(columns: Sequence[Column], fold: int | None = None) -> int:
    """Return the width of a table, whole or with texts folded."""
    widths = [c.whole if fold is None else c.least(fold) for c in columns]
    return sum(widths) + len(GAP) * (len(columns) - 1)


def _blocks(columns: list[Column], width: int | None) -> list[list[Column]]:
    """Cut a table that cannot be folded to the width; its first texts begin each block."""
    if width is None or _total(columns, min(FOLDS)) <= width:
        return [columns]
    n_keys = 0  # as texts lead, and leave most of the width to others
    while not columns[n_keys].is_number and _total(columns[: n_keys + 1], FOLDS[0]) <= width // 2:
        n_keys += 1
    keys, rest, blocks = columns[:n_keys], columns[n_keys:], []
    while rest:
        fitting = (n for n in range(len(rest), 1, -1) if _total(keys + rest[:n], FOLDS[0]) <= width)
        n = next(fitting, 1)
        blocks.append([*keys, *rest[:n]])
        rest = rest[n:]
    return blocks


def _widths(columns: Sequence[Column], width: int | None) -> list[int]:
    """Return the width of each column, texts folded as little as may be."""
    if width is None or _total(columns) <= width:
        return [c.whole for c in columns]
    fold = next((f for f in FOLDS if _total(columns, f) <= width), FOLDS[-1])
    widths = [c.least(fold) for c in columns]
    for _ in range(width - _total(columns, fold)):  # to where most is folded
        gaps = [c.longest - given for c, given in zip(columns, widths, strict=True)]
        widths[gaps.index(max(gaps))] += max(gaps) > 0
    return widths


def _lines(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[str]:
    """Return headings, a rule and the rows; only a terminal's headings are bold."""
    headings = [textwrap.wrap(c.heading, w) for c, w in zip(columns, widths, strict=True)]
    height = max(map(len, headings))
    above = zip(*([""] * (height - len(h)) + h for h in headings), strict=True)
    rows = [
        line
        for row in zip(*(c.cells for c in columns), strict=True)
        for line in zip_longest(*map(_folded, row, widths), fillvalue="")
    ]
    head = [_aligned(columns, widths, words) for words in above]
    if width is not None:
        head = [click.style(line, bold=True) for line in head]
    rule = "-" * (sum(widths) + len(GAP) * (len(widths) - 1))
    return [*head, rule, *(_aligned(columns, widths, row) for row in rows)]


def _aligned(columns: Sequence[Column], widths: Sequence[int], texts: Sequence[str]) -> str:
    cells = []
    for column, width, text in zip(columns, widths, texts, strict=True):
        space = " " * (width - text_width(text))
        cells.append(space + text if column.is_number else text + space)
    return GAP.join(cells).rstrip()


def _card(columns: Sequence[Column], width: int) -> list[str]:
    """Return one row as a line a column: its name, and what it says."""
    names = max(text_width(c.heading) for c in columns)
    room = max(width - names - len(GAP), FOLDS[-1])
    lines = []
    for column in columns:
        first, *others = _folded(column.cells[0], room)
        lines.append(f"{click.style(column.heading.ljust(names), bold=True)}{GAP}{first}")
        lines += [" " * names + GAP + line for line in others]
    return lines


def _folded(text: str, width: int | None, indent: str = "") -> list[str]:
    """Fold a text at words and hyphens; later lines begin with `indent`."""
    if width is None or text_width(text) <= width:
        return [text]
    letters = width if text_width(text) <= len(text) else width // 2  # wide ones take two
    return textwrap.wrap(text, max(len(indent) + 1, letters), subsequent_indent=indent)
