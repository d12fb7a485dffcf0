"""Findings: what differs, a row each, and the table that they make."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal, get_args

import polars as pl

from embedstore.schema.across import DIFF

Kind = Literal[
    "number", "dataset", "identity", "factor", "head", "space", "convention", "provenance",
    "only in A", "only in B",
]  # fmt: skip
ONLY: tuple[Kind, Kind] = ("only in A", "only in B")
_DIGITS = 12  # of a digest
_NAMED = 2  # of several things


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that differs; the fields are the columns of `schema.across.DIFF`."""

    kind: Kind
    where: str  # names of model, data set, head and label space
    what: str
    a: str | None = None
    b: str | None = None
    difference: float | None = None
    because: str | None = None

    @classmethod
    def of(
        cls,
        kind: Kind,
        where: str,
        what: str,
        a: object = None,
        b: object = None,
        difference: float | None = None,
        because: str | None = None,
    ) -> Finding:
        """Return a finding of any two values, which are written as text."""
        return cls(kind, where, what, text(a), text(b), difference, because)


def findings_table(findings: Iterable[Finding]) -> pl.DataFrame:
    """Return the findings, each once: numbers first, largest difference first."""
    order = get_args(Kind)
    rows = sorted(dict.fromkeys(findings), key=lambda f: (order.index(f.kind), *_size(f)))
    return pl.DataFrame([astuple(row) for row in rows], schema=dict(DIFF), orient="row")


def _size(finding: Finding) -> tuple[bool, float]:
    if finding.kind != "number":
        return False, 0.0  # in the order in which they were found
    return finding.difference is None, -abs(finding.difference or 0.0)


def place(*names: str) -> str:
    """Say where: names parted by slashes."""
    return " / ".join(name for name in names if name)


def text(value: object) -> str | None:
    """Write a value: ten digits of a number, the beginning of a digest, null for None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    written = str(value)
    is_digest = len(written) in (32, 64) and set(written) <= set("0123456789abcdef")
    return written[:_DIGITS] if is_digest else written


def some(things: Sequence[str]) -> str:
    """Name the first of several things, and count the others."""
    named = ", ".join(repr(thing) for thing in things[:_NAMED])
    return f"{named} and {len(things) - _NAMED:,} more" if len(things) > _NAMED else named


def counted(count: int, thing: str) -> str:
    """Write a count of things: `1 label`, `3 labels`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def unlike(a: Sequence[str], b: Sequence[str]) -> str:
    """Say how two lists differ."""
    lone = ([x for x in here if x not in there] for here, there in ((a, set(b)), (b, set(a))))
    said = [f"{kind}: {some(things)}" for kind, things in zip(ONLY, lone, strict=True) if things]
    return "; ".join(said) or "in another order"
