"""Outcomes, samples and results as Parquet or CSV.

Dimensions: N samples.
"""

from __future__ import annotations

import glob
from functools import partial
from typing import IO

import polars as pl

from embedstore import schema
from embedstore.exporters.files import Advance, Export, Job
from embedstore.exporters.selection import Chosen, refuse_nothing
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun

ENDINGS = {"parquet": ".parquet", "csv": ".csv"}


def outcomes(chosen: Chosen, format_: str) -> Export:
    """Write all outcomes that match as one table, samples beside them.

    `predicted_class` is the class id that `prediction` counts to in its label space; `label` is the
    data set's class id.
    """
    store = chosen.store
    runs = store.outcome_runs(chosen.models, chosen.datasets, chosen.heads)
    refuse_nothing(runs, chosen, "outcomes")
    frame = pl.concat([_outcomes(store, run) for run in runs], how="diagonal_relaxed")
    n_rows = sum(store.dataset(run.dataset).n_samples for run in runs)
    path = chosen.place(("outcomes",), 1, ENDINGS[format_])
    what = f"{n_rows:,} outcomes of {len(runs)} runs"
    return Export([Job(path, partial(write_table, frame, format_), what)])


def samples(chosen: Chosen, format_: str) -> Export:
    """Write each data set's samples and annotations; `label` is a class id."""
    found = chosen.sample_tables()
    refuse_nothing(found, chosen, "samples")
    jobs = []
    for dataset in found:
        frame = named_labels(chosen.store, dataset)
        path = chosen.place((dataset,), len(found), ENDINGS[format_])
        what = f"{frame.height:,} samples of {dataset}"
        jobs.append(Job(path, partial(write_table, frame.lazy(), format_), what))
    return Export(jobs)


def named_labels(store: Store, dataset: str) -> pl.DataFrame:
    """Return samples and annotations, labels as class ids: N rows."""
    classes = pl.Series(store.dataset(dataset).class_ids, dtype=pl.String)
    frame = store.samples(dataset)
    return frame.with_columns(classes.gather(frame["label"]).alias("label"))


def write_table(frame: pl.LazyFrame, format_: str, file: IO[bytes], advance: Advance) -> None:
    """Write a table, streaming; lists become JSON texts in CSV, which has none.

    Parameters
    ----------
    frame, format_
        The rows, as `parquet` or `csv`.
    file, advance
        Where to, and what is called with the bytes written.
    """
    if format_ == "parquet":
        frame.sink_parquet(file)
    else:
        columns = frame.collect_schema()
        texts = [_json(name) for name, dtype in columns.items() if dtype.is_nested()]
        frame.with_columns(texts).sink_csv(file)
    advance(file.tell())


def _outcomes(store: Store, run: OutcomeRun) -> pl.LazyFrame:
    names = [glob.escape(name) for name in (run.model, run.dataset, run.head)]
    frame = store.outcomes(names[0], names[1], run.space, heads=names[2])
    classes = store.space(run)["class_ids"]
    predicted = pl.col("prediction").replace_strict(
        range(len(classes)), classes, default=None, return_dtype=pl.String
    )
    beside = named_labels(store, run.dataset).lazy()
    together = pl.concat([frame, beside], how="horizontal")
    outcome_columns = [*schema.OUTCOMES]
    outcome_columns.insert(1, "predicted_class")
    together = together.with_columns(pl.col(schema.RUN).cast(pl.String), predicted_class=predicted)
    return together.select(
        *schema.RUN,
        *schema.FACTORS,
        *outcome_columns,
        *(c for c in beside.collect_schema() if c not in ("n_bytes", "digest")),
    )


def _json(name: str) -> pl.Expr:
    """Write what a cell of CSV cannot hold as JSON; Polars does so with structs alone."""
    wrapped = pl.struct(pl.col(name).alias("v")).struct.json_encode()
    text = wrapped.str.strip_prefix('{"v":').str.strip_suffix("}")
    return pl.when(pl.col(name).is_not_null()).then(text).alias(name)
