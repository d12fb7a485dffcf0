"""Accuracy under corruption, and errors beside those of a normaliser: ImageNet-C, ImageNet-3DCC.

Conventions (Hendrycks & Dietterich, 2019; RobustBench alike): corruption_error is the sum of errors
over severities over the normaliser's sum, mean_corruption_error 100 times its mean over
corruptions; the relative ones take errors on clean pictures off both. A number of which a severity
or corruption is missing is null, and the note says what. A picture that a head does not judge
under one corruption, or clean, is left out of all. Bounds are 95 % Clopper-Pearson.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import polars as pl

from embedstore.analysis import analysis
from embedstore.corruption.benchmarks import cells_of, known_as
from embedstore.corruption.errors import Level, figures, joined
from embedstore.corruption.folders import Rows
from embedstore.corruption.measuring import Measurement, Selection, in_store, in_table
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.in_distribution import AUTO
from embedstore.schema.corruption import CORRUPTIONS
from embedstore.store import Store


@analysis
def corruptions(
    store: Store | None,
    *,
    table: str | None = None,
    benchmark: str = "*",
    models: str = "*",
    datasets: str = "*",
    heads: str = "*",
    space: str | None = None,
    by: Level = "benchmark",
    normaliser: str | None = None,
    clean: str = AUTO,
    rows: Rows = "same",
    partial: bool = False,
    extra: bool = False,
) -> pl.DataFrame:
    """Accuracy and errors under corruption, beside the errors of a normaliser such as AlexNet.

    Parameters
    ----------
    store
        Where the outcomes are; None where there is a table.
    table
        File of published accuracies in place of a store: columns model, corruption, severity and
        accuracy, or a row a model under two rows of titles, corruptions over severities.
    benchmark
        Glob over benchmarks, such as imagenet-c, or photos of data sets photos--fog--3.
    models, datasets, heads
        Globs over names; of data sets, those of corrupted pictures.
    space
        A label space; all where it is None.
    by
        What a row is of.
    normaliser
        Whose errors divide: MODEL, or MODEL@HEAD where it has several. Without it AlexNet, as it
        stands in the table, or else as published.
    clean
        Data set of the clean pictures; ``auto``: ImageNet's validation pictures, or NAME of
        NAME--fog--3; ``none``: no relative errors.
    rows
        `same` refuses data sets that hold other pictures than the clean one or each other, `common`
        takes those that all hold.
    partial
        Sum over the corruptions and severities that model and normaliser both have, though some
        are missing.
    extra
        Count ImageNet-C's four further corruptions too, 19 in all.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.corruption.CORRUPTIONS`, one row a model, head, label space and
        benchmark, or kind, corruption or severity of it.

    Raises
    ------
    EmbedStoreError
        If not exactly one of store and table is given, or with a table what chooses data sets or
        pictures; nothing in it is of corrupted pictures, or data sets hold different ones.

    Examples
    --------
    embedstore analyze corruptions clip.store --benchmark imagenet-c --by kind
    embedstore analyze corruptions --table imagenet-3dcc.csv
    """
    if by not in get_args(Level):
        raise UnknownNameError("level of corruptions", by, get_args(Level))
    selection = Selection(benchmark, models, datasets, heads, space)
    if table is not None and store is None:
        _refuse_of_stores(datasets, clean, rows)
        parts = in_table(table, selection, normaliser)
    elif store is not None and table is None:
        parts = in_store(store, selection, normaliser, clean, rows)
    else:
        raise EmbedStoreError("give either a store, or a published table with --table FILE")
    tables = [pl.DataFrame(schema=dict(CORRUPTIONS))]
    for part in parts:
        tables += _figures(part, by, partial=partial, extra=extra)
    convention = (
        "sums over severities, then means over corruptions; corruption errors: fractions; means: "
        "per cent"
    )
    convention += f"; pictures: {rows}" if store is not None else ""
    return (
        pl.concat(tables)
        .with_columns(convention=pl.lit(convention))
        .sort("benchmark", "model", "head", "space", maintain_order=True)
    )


def _refuse_of_stores(datasets: str, clean: str, rows: Rows) -> None:
    """Refuse what a table knows nothing of: data sets and their pictures."""
    given = {"--datasets": datasets != "*", "--clean": clean != AUTO, "--rows": rows != "same"}
    idle = [option for option, changed in given.items() if changed]
    if idle:
        raise EmbedStoreError(
            f"a table names no data sets, so that {' and '.join(idle)} would do nothing with "
            "--table; leave it out"
        )


def _figures(part: Measurement, by: Level, *, partial: bool, extra: bool) -> Iterator[pl.DataFrame]:
    """Yield the figures of a benchmark, label space by label space."""
    cells = cells_of(part.there, known_as(part.benchmark), extra=extra)
    for (space,), rows in part.accuracies.partition_by("space", as_dict=True).items():
        divided = figures(
            rows, cells, part.normalisers[space], by=by, partial=partial, no_clean=part.no_clean
        )
        yield divided.with_columns(note=joined("note", pl.lit(part.note, pl.String)))
