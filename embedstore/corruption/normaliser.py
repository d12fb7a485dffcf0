"""Whose errors corruption errors are divided by: AlexNet's published ones, or any model's.

AlexNet's figures are facts: on ImageNet-C its authors' (`alexnet.toml`), on ImageNet-3DCC those of
`embedstore.published`. They hold where a head chooses among ImageNet's 1,000 classes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import polars as pl

from embedstore import published
from embedstore.corruption.benchmarks import IMAGENET_C, KINDS, SEVERITIES, benchmark_of, known_as
from embedstore.errors import EmbedStoreError
from embedstore.heads.held_out import SUFFIX
from embedstore.prompts import imagenet

ALEXNET = "AlexNet"
PUBLISHED_3DCC = "robustbench-3dcc"
#: One row a corruption and severity; severity 0 is the clean pictures.
ERRORS = MappingProxyType(
    {
        "corruption": pl.String,
        "severity": pl.Int64,
        "error": pl.Float64,
        "by_severity": pl.Boolean,  # else the mean over all severities stands at each
    }
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A model that was measured with those whose errors it divides."""

    name: str
    source: str  # where its accuracies are from
    accuracies: pl.DataFrame  # rows `schema.corruption.UNDER_CORRUPTION` of one head


@dataclass(frozen=True, slots=True)
class Normaliser:
    """A model, and its errors on one benchmark."""

    name: str | None  # None where there is none
    source: str | None  # where its errors are from
    errors: pl.DataFrame  # columns `ERRORS`
    note: str | None = None  # why there is none, or what makes it less fit


def normalisers(
    benchmark: str,
    cells: pl.DataFrame,
    spaces: Mapping[str | None, frozenset[str] | None],
    wanted: str | None,
    measured: Measured | None,
    *,
    as_read: bool = False,
) -> dict[str | None, Normaliser]:
    """Return what divides the errors on one benchmark, by label space.

    Parameters
    ----------
    benchmark, cells
        Its name, and the corruptions that are there, in a column `corruption`.
    spaces
        Label spaces, with the classes of each; None where a published table names none.
    wanted
        What the user calls it; None: AlexNet as published, where it is.
    measured
        The model that is meant, where it was measured with the others.
    as_read
        Whether the pictures were corrupted as they were read, not by the benchmark's authors.

    Raises
    ------
    EmbedStoreError
        If AlexNet is asked for by name where nobody published its errors.
    """
    if measured is not None:
        return {space: _in_space(measured, space) for space in spaces}
    found = _published(benchmark, cells["corruption"].unique().to_list(), named=wanted is not None)
    if found.name is None:
        return dict.fromkeys(spaces, found)
    if as_read:
        notes = [note for note in (found.note, _AS_READ) if note is not None]
        found = replace(found, note="; ".join(notes))
    whole = frozenset(imagenet().ids)
    return {
        space: found if classes in (None, whole) else _OTHER_CLASSES
        for space, classes in spaces.items()
    }


def is_alexnet(name: str | None) -> bool:
    """Whether a name is that of the model of the published figures."""
    return name is not None and name.casefold() == ALEXNET.casefold()


def _none(note: str) -> Normaliser:
    """Return what divides nothing, and says why."""
    return Normaliser(None, None, pl.DataFrame(schema=dict(ERRORS)), note)


_OTHER_CLASSES = _none(
    f"{ALEXNET}'s errors are among ImageNet's 1,000 classes; name a model of the same label space "
    "with --normaliser"
)
_AS_READ = (
    "the pictures were corrupted as they were read, which is not quite how those of "
    f"{ALEXNET}'s errors were"
)


def _in_space(measured: Measured, space: str | None) -> Normaliser:
    """Return a measured model as it does in a label space."""
    plain = None if space is None else space.removesuffix(SUFFIX)
    same = pl.col("space").str.strip_suffix(SUFFIX).eq_missing(pl.lit(plain, pl.String))
    rows = measured.accuracies.filter(same)
    if rows.is_empty():
        return _none(
            f"{measured.name} was not judged in this label space; see embedstore head apply"
        )
    # held out or not, one of a cell: that of the very space before the other
    rows = rows.sort(pl.col("space").ne_missing(pl.lit(space, pl.String)), maintain_order=True)
    rows = rows.unique(["corruption", "severity"], keep="first", maintain_order=True)
    errors = rows.select(
        "corruption", "severity", error=1 - pl.col("accuracy"), by_severity=pl.lit(value=True)
    )
    return Normaliser(measured.name, measured.source, errors)


def _published(benchmark: str, corruptions: Sequence[str], *, named: bool) -> Normaliser:
    """Return AlexNet with its published errors; on a user's own pictures only where it is named."""
    known, note = known_as(benchmark), None
    if known is None and not named:
        return _none(
            f"nobody published {ALEXNET}'s errors on {benchmark!r}; name a model with --normaliser"
        )
    if known is None:
        known = benchmark_of(corruptions)
        note = f"{ALEXNET}'s errors are on other pictures, those of {known}"
    if known is None:
        raise EmbedStoreError(
            f"{ALEXNET}'s errors are published under the corruptions of {' or of '.join(KINDS)} "
            f"alone, and {benchmark!r} has others; name another model with --normaliser"
        )
    source, errors = _imagenet_c() if known == IMAGENET_C else _imagenet_3dcc()
    return Normaliser(ALEXNET, source, errors, note)


@cache
def _facts() -> dict[str, Any]:
    text = files("embedstore.corruption").joinpath("alexnet.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def _imagenet_c() -> tuple[str, pl.DataFrame]:
    facts = _facts()
    rows: list[tuple[str | None, int, float, bool]] = [(None, 0, facts["clean"], True)]
    for corruption, errors in facts["errors"].items():
        rows += [(corruption, s, e, True) for s, e in zip(SEVERITIES, errors, strict=True)]
    for corruption, mean in facts["means"].items():
        rows += [(corruption, s, mean, False) for s in SEVERITIES]
    return str(facts["source"]), pl.DataFrame(rows, schema=dict(ERRORS), orient="row")


@cache
def _imagenet_3dcc() -> tuple[str, pl.DataFrame]:
    rows = published.results(PUBLISHED_3DCC).filter(pl.col("model") == ALEXNET)
    errors = rows.select(
        "corruption",
        pl.col("severity").cast(pl.Int64),
        error=1 - pl.col("value"),
        by_severity=pl.lit(value=True),
    )
    return f"{PUBLISHED_3DCC}, {rows['n_samples'][0]:,} pictures", errors
