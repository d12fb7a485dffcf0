"""Numbers of an analysis that differ between two stores.

It knows of an analysis's table only its columns: texts that tell rows apart are keys, numbers are
compared, and some texts are conventions, such as how confidences were binned, which may explain
them. All other texts are results, as numbers are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from embedstore import analysis
from embedstore.differences.asking import Asked
from embedstore.differences.causes import BY_SPACE, Cause, Level, Quantity, against
from embedstore.differences.explaining import Explanation, Row
from embedstore.differences.findings import ONLY, Finding, place, text
from embedstore.differences.ingredients import Ingredients
from embedstore.differences.pair import Pair
from embedstore.differences.runs import Causes
from embedstore.errors import EmbedStoreError
from embedstore.schema import RUN
from embedstore.store import Store

ACCURACY = "accuracy"
#: Columns that say how numbers came about.
CONVENTIONS = frozenset(
    {
        "axis", "baselines", "binning", "convention", "excluded", "fit", "fit_source", "protocol",
        "reference", "rows", "space", "where", "x_axis", "y_axis",
    }
)  # fmt: skip
#: Of a run, what is always a key; a label space is one where it tells rows apart.
_NAMES = ("model", "dataset", "head")


@dataclass(frozen=True, slots=True)
class Tables:
    """What an analysis says of each store."""

    a: pl.DataFrame
    b: pl.DataFrame
    keys: tuple[str, ...]  # columns that tell rows apart

    @property
    def columns(self) -> list[str]:
        """All columns that are no keys."""
        found = dict.fromkeys([*self.a.columns, *self.b.columns])
        return [column for column in found if column not in self.keys]

    def rows(self) -> Iterator[tuple[Row, Row | None, Row | None]]:
        """Yield each key and its row in both; None where one has none."""
        found = [
            {tuple(row[k] for k in self.keys): row for row in frame.iter_rows(named=True)}
            for frame in (self.a, self.b)
        ]
        for key in dict.fromkeys([*found[0], *found[1]]):
            named = dict(zip(self.keys, key, strict=True))
            yield named, found[0].get(key), found[1].get(key)


def compare_analysis(
    pair: Pair, asked: Asked, causes: Causes, ingredients: Ingredients, tolerance: float
) -> list[Finding]:
    """Run an analysis over both stores, and return every number of its table that differs.

    Parameters
    ----------
    pair, asked
        What to run over what.
    causes, ingredients
        What can have moved each run that both hold, and what runs are made of.
    tolerance
        Absolute difference up to which numbers are the same.

    Raises
    ------
    StoreError
        If it fails; the message names the store.
    """
    name, tables = asked.words, _tables(pair, asked)
    quantity: Quantity = "accuracy" if asked.name == ACCURACY else "number"
    explanation = Explanation(pair, causes, ingredients, quantity)
    findings: list[Finding] = []
    conventions: dict[tuple[str, str | None, str | None], list[str]] = {}
    for key, a, b in tables.rows():
        where = _where(key) or name
        if a is None or b is None:
            if explanation.has_runs(key):  # else what it is made of is named already
                kind = ONLY[0] if b is None else ONLY[1]
                findings.append(Finding(kind, where, f"row of {name}"))
            continue
        unlike = _unlike(tables.columns, a, b, tolerance)
        stated = [(c, text(x), text(y)) for c, x, y in unlike if c in CONVENTIONS]
        for convention in stated:
            conventions.setdefault(convention, []).append(where)
        said = [(c, x, y) for c, x, y in unlike if c not in CONVENTIONS]
        if said:
            known = [Cause(Level.CONVENTION, name, against(*c), BY_SPACE) for c in stated]
            texts = [v for v in (*a.values(), *b.values()) if isinstance(v, str)]
            because = explanation.because(key, texts, known)
            findings += [_number(where, f"{name}: {c}", x, y, because) for c, x, y in said]
    return [*findings, *(_stated(name, *c, places) for c, places in conventions.items())]


def _unlike(columns: Sequence[str], a: Row, b: Row, tolerance: float) -> list[tuple[str, Any, Any]]:
    """Return each column in which two rows differ, with both values."""
    pairs = ((column, a.get(column), b.get(column)) for column in columns)
    return [(column, x, y) for column, x, y in pairs if not _same(x, y, tolerance)]


def _where(key: Row) -> str:
    """Name a row: its run, then what else tells it apart."""
    named = ((column, str(value)) for column, value in key.items() if value is not None)
    return place(*(v if column in RUN else f"{column}={v}" for column, v in named))


def _number(where: str, what: str, a: Any, b: Any, because: str) -> Finding:
    known = _is_number(a) and _is_number(b)
    difference = float(b) - float(a) if known else None
    return Finding.of("number", where, what, a, b, difference, because)


def _stated(name: str, column: str, a: str | None, b: str | None, places: Sequence[str]) -> Finding:
    where = places[0] if len(places) == 1 else f"{name}: {len(places):,} rows"
    return Finding("convention", where, f"{name}: {column}", a, b)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if _is_number(a) and _is_number(b):
        return bool(a == b or abs(a - b) <= tolerance)
    return bool(a == b)


def _tables(pair: Pair, asked: Asked) -> Tables:
    """Run the analysis over both, and find what tells its rows apart."""
    a, b = pair.both(_run, asked)
    names = {getattr(run, f) for run in (*pair.a.runs, *pair.b.runs) for f in _NAMES}
    return Tables(a, b, _keys(asked.name, (a, b), names))


def _run(store: Store, asked: Asked) -> pl.DataFrame:
    found = analysis.run(asked.name, store, **asked.parameters)
    return found.with_columns(pl.selectors.float().fill_nan(None))


def _keys(name: str, tables: tuple[pl.DataFrame, pl.DataFrame], names: set[str]) -> tuple[str, ...]:
    """Return the columns that tell rows apart.

    Texts that name models, data sets and heads; then those of the other texts, truths, whole
    numbers and at last counts (`n_...`) that are needed, in their order.
    """
    types = tables[0].schema
    shared = [column for column in types if column in tables[1].columns]
    texts = [c for c in shared if types[c] == pl.String]
    keys = [c for c in texts if c in _NAMES or (c != "space" and _any_named(tables, c, names))]
    whole = [c for c in shared if types[c] == pl.Boolean or types[c].is_integer()]
    others = [*texts, *sorted(whole, key=lambda column: column.startswith("n_"))]
    for column in (c for c in others if c not in keys):
        if any(_n_distinct(t, [*keys, column]) > _n_distinct(t, keys) for t in tables):
            keys.append(column)
    if any(_n_distinct(table, keys) < table.height for table in tables):
        raise EmbedStoreError(
            f"rows of analysis {name!r} cannot be told apart by texts and whole numbers; add a "
            "column that names them"
        )
    return tuple(keys)


def _any_named(tables: tuple[pl.DataFrame, pl.DataFrame], column: str, names: set[str]) -> bool:
    return any(not names.isdisjoint(table[column].unique().to_list()) for table in tables)


def _n_distinct(table: pl.DataFrame, columns: Sequence[str]) -> int:
    return table.n_unique(columns) if columns and table.height else min(table.height, 1)
