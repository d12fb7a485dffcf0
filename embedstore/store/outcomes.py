"""Outcome tables of many runs as one lazy table.

Row i of a run's table is row i of the data set, so samples are stacked beside it, never joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from embedstore import schema
from embedstore.errors import DamagedError
from embedstore.store import layout
from embedstore.store.contents import ModelRecord
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import FileEntry, read_manifest

TABLE = "table.parquet"
#: What the predictions of a table count.
SPACE = "space.json"


@dataclass(frozen=True, slots=True, order=True)
class OutcomeRun:
    """What names one outcome table."""

    model: str
    dataset: str
    head: str
    space: str

    @property
    def folder(self) -> str:
        """Where the table lies."""
        return layout.outcomes(self.model, self.dataset, self.head, self.space)


def checked_table(files: LocalFiles, run: OutcomeRun) -> str:
    """Return the path of the run's table, its digest checked once a process.

    Raises
    ------
    DamagedError
        If the table is missing or damaged.
    """
    key = f"{run.folder}/{TABLE}"
    manifest = read_manifest(files, run.folder)
    entry = manifest.files.get(TABLE) if manifest else None
    try:
        good = files.once(key, lambda: entry == FileEntry.of(files.read(key)))
    except FileNotFoundError:
        good = False
    if not good:
        raise DamagedError(
            f"{key} is damaged or missing; mend it with: embedstore verify --repair, "
            "then encode again"
        )
    return str(files.path(key))


def scan(
    files: LocalFiles,
    runs: Sequence[OutcomeRun],
    models: dict[str, ModelRecord],
    samples: dict[str, pl.LazyFrame] | None,
) -> pl.LazyFrame:
    """Stack the runs' tables: RUN columns, factors, outcomes, and samples where they are given."""
    names = {c: pl.Enum(sorted({getattr(run, c) for run in runs})) for c in schema.RUN}
    beside = {} if samples is None else schema.SAMPLES
    empty = pl.LazyFrame(schema={**names, **schema.FACTORS, **schema.OUTCOMES, **beside})
    frames = [empty]
    samples = None if samples is None else _lists_alike(samples)
    for run in runs:
        factors = models[run.model].factors
        labels = [pl.lit(getattr(run, c), dtype=names[c]).alias(c) for c in schema.RUN]
        labels += [pl.lit(factors.get(f), dtype=t).alias(f) for f, t in schema.FACTORS.items()]
        table = pl.scan_parquet(checked_table(files, run)).select(*labels, *schema.OUTCOMES)
        if samples is not None:
            table = pl.concat([table, samples[run.dataset]], how="horizontal")
        frames.append(table)
    return pl.concat(frames, how="vertical" if samples is None else "diagonal_relaxed")


def _lists_alike(samples: dict[str, pl.LazyFrame]) -> dict[str, pl.LazyFrame]:
    """Make lists of one of annotations that are lists in another data set, or they do not stack."""
    types = {dataset: frame.collect_schema() for dataset, frame in samples.items()}
    lists = {c for schema_ in types.values() for c, t in schema_.items() if isinstance(t, pl.List)}
    alike = {}
    for dataset, frame in samples.items():
        single = [c for c, t in types[dataset].items() if c in lists and not isinstance(t, pl.List)]
        alike[dataset] = frame.with_columns(
            pl.when(pl.col(c).is_not_null()).then(pl.concat_list(c)).alias(c) for c in single
        )
    return alike
