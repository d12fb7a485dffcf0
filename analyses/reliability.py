"""Reliability diagrams as tables: accuracy beside confidence in each bin.

Conventions are those of the analysis `calibration`.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from embedstore.analysis import analysis
from embedstore.in_distribution import AUTO
from embedstore.kernels.bins import Binning, Bins, in_bins
from embedstore.schema.runs import RELIABILITY
from embedstore.stats.intervals import with_clopper_pearson
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun
from embedstore.temperature import ScaledRun, Temperatures


@analysis
def reliability(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    heads: str = "*",
    n_bins: int = 15,
    binning: Binning = "equal-width",
    id_dataset: str = AUTO,
    seed: int = 0,
) -> pl.DataFrame:
    """Accuracy and confidence in bins of confidence, before and after temperature scaling.

    Parameters
    ----------
    store
        Where the outcomes are, and the logits that temperatures need.
    models, datasets, heads
        Globs over names.
    n_bins, binning, id_dataset, seed
        As in the analysis `calibration`.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.runs.RELIABILITY`, one row a bin; runs that have no temperature have no
        rows with `scaled`, and runs without confidences none at all.

    Raises
    ------
    EmbedStoreError
        If `id_dataset` is to be chosen and several data sets could be it.
    """
    temperatures = Temperatures(store, id_dataset, seed)
    parts = []
    for run in store.outcome_runs(models, datasets, heads):
        outcomes = store.outcomes(run.model, run.dataset, run.space, heads=run.head)
        said = outcomes.select("correct", "confidence").collect()
        judged = said["correct"].is_not_null().to_numpy()
        known = said.filter(judged)
        if not known.height or known["confidence"].null_count():
            continue
        values, correct = known["confidence"].to_numpy(), known["correct"].to_numpy()
        parts.append(_rows(run, binning, in_bins(values, correct, n_bins, binning), 1.0))
        after = temperatures.scaled(run, judged)
        if isinstance(after, ScaledRun):
            hits = said[after.rows]["correct"].to_numpy()
            bins = in_bins(after.confidence, hits, n_bins, binning)
            parts.append(_rows(run, binning, bins, after.fit.temperature, scaled=True))
    frame = pl.concat(parts) if parts else pl.DataFrame(schema=dict(RELIABILITY))
    return frame.sort("dataset", "model", "head", "space", "scaled", "bin")


def _rows(
    run: OutcomeRun, binning: str, bins: Bins, temperature: float, *, scaled: bool = False
) -> pl.DataFrame:
    """One row a bin."""
    n_bins = len(bins.counts)
    filled = np.maximum(bins.counts, 1)
    columns = pl.DataFrame(
        {
            "bin": np.arange(n_bins),
            "low": bins.low,
            "high": bins.high,
            "n_samples": bins.counts,
            "n_right": bins.hits,
            "confidence": bins.confidence / filled,
            "accuracy": bins.hits / filled,
        }
    )
    names = {"model": run.model, "dataset": run.dataset, "head": run.head, "space": run.space}
    facts = names | {"binning": binning, "n_bins": n_bins, "scaled": scaled}
    measured = pl.when(pl.col("n_samples") > 0)
    return (
        columns.with_columns(pl.lit(value).alias(name) for name, value in facts.items())
        .with_columns(
            measured.then(pl.col("confidence", "accuracy")),
            temperature=pl.lit(temperature),
        )
        .pipe(
            with_clopper_pearson, "n_right", "n_samples", low="accuracy_low", high="accuracy_high"
        )
        .select(pl.col(name).cast(dtype) for name, dtype in RELIABILITY.items())
        .with_columns(pl.selectors.float().fill_nan(None))
    )
