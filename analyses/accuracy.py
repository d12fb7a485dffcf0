"""Top-1, top-5 and mean per-class accuracy.

Conventions: accuracy is over the labelled pictures that could be read; classes compete in the label
space that `space` names (logits are cut to it before they are compared); ties go to the lowest
class; bounds are 95 % Clopper-Pearson; classes without samples do not count in the class mean.
"""

from __future__ import annotations

import polars as pl

from embedstore.analysis import analysis
from embedstore.schema import RUN
from embedstore.schema.runs import ACCURACY
from embedstore.stats.intervals import with_clopper_pearson
from embedstore.store import Store


@analysis
def accuracy(
    store: Store, *, models: str = "*", datasets: str = "*", heads: str = "*"
) -> pl.DataFrame:
    """Top-1, top-5 and mean per-class accuracy, one row a model, data set and head.

    Parameters
    ----------
    store
        Where the outcomes are.
    models, datasets, heads
        Globs over names.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.runs.ACCURACY`; accuracies from 0 to 1, null where nothing is labelled,
        and top-5 where imported predictions have no ranks.
    """
    outcomes = store.outcomes(models, datasets, heads=heads, samples=True)
    by_class = outcomes.group_by(*RUN, "label").agg(
        n_samples=pl.col("correct").count(),  # nulls are failures, or have no label: not counted
        n_left_out=pl.col("correct").null_count(),
        n_top1=pl.col("correct").sum(),
        n_top5=(pl.col("label_rank") < 5).sum(),
        n_ranked=pl.col("label_rank").count(),  # fewer where only predictions were imported
    )
    # Sorted, since a mean over classes in another order differs in its last digit.
    counts = (
        by_class.sort(*RUN, "label")
        .group_by(RUN, maintain_order=True)
        .agg(
            pl.col("n_samples", "n_left_out", "n_top1", "n_top5", "n_ranked").sum().cast(pl.Int64),
            mean_class_accuracy=(pl.col("n_top1") / pl.col("n_samples"))
            .filter((pl.col("n_samples") > 0) & pl.col("label").is_not_null())
            .mean(),
        )
    )
    measured = pl.col("n_samples") > 0
    ranked = measured & (pl.col("n_ranked") == pl.col("n_samples"))
    return (
        counts.with_columns(
            pl.col(RUN).cast(pl.String),
            top1_accuracy=pl.when(measured).then(pl.col("n_top1") / pl.col("n_samples")),
            top5_accuracy=pl.when(ranked).then(pl.col("n_top5") / pl.col("n_samples")),
        )
        .pipe(with_clopper_pearson, "n_top1", "n_samples", low="top1_low", high="top1_high")
        .select(pl.col(name).cast(dtype) for name, dtype in ACCURACY.items())
        .sort("dataset", "model", "head", "space")
        .collect()
    )
