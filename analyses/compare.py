"""Two models, or two heads of one, on the same samples: who is right where.

Conventions: differences are the first's accuracy less the second's, over samples that both judged;
bounds are 95 %, percentiles of a bootstrap that draws each sample for both at once, or clusters
whole; McNemar's test is exact and takes samples as independent, whatever the clusters; an answer
that names no class is wrong, and agrees with none.

Dimensions: M samples, R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import DatasetError
from embedstore.pairing import Comparison, Rows, comparisons
from embedstore.schema.across import COMPARE
from embedstore.stats.bootstrap import N_RESAMPLES, bootstrap_means, percentile_interval
from embedstore.stats.multiple import benjamini_hochberg
from embedstore.stats.paired import error_consistency, mcnemar, paired_counts
from embedstore.store import Store


@analysis
def compare(
    store: Store,
    *,
    first: str,
    second: str,
    datasets: str = "*",
    space: str | None = None,
    rows: Rows = "same",
    where: str | None = None,
    clusters: str | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """Accuracies of two models or two heads on the same samples, one row a data set and space.

    Parameters
    ----------
    store
        Where the outcomes are.
    first, second
        MODEL, or MODEL@HEAD where the model has several heads on a data set.
    datasets
        Glob over names.
    space
        A label space, such as `imagenet-real`; all that both have where it is None.
    rows
        `same` refuses models that judged different samples; `common` takes those that both judged.
    where
        SQL condition on the columns of the samples, such as ``shape <> texture``.
    clusters
        Column of the samples that says what belongs together (views of an object) and is drawn
        whole by the bootstrap.
    n_resamples, seed
        Of the bootstrap.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.COMPARE`; `mcnemar_q` is corrected for all rows of the table
        (Benjamini & Hochberg, 1995), `error_consistency` is Cohen's kappa (Geirhos et al., 2020).

    Raises
    ------
    EmbedStoreError
        If the two cannot be compared: unknown names, nothing in common, different samples.

    Examples
    --------
    embedstore analyze compare clip.store --first vit --second rn50
    embedstore analyze compare clip.store --first vit@openai-80--pets --second vit@name--pets --where 'NOT prototype'
    """  # noqa: E501
    found = comparisons(
        store, first, second, datasets=datasets, space=space, rows=rows, where=where
    )
    drawn = f"clusters of {clusters!r} drawn whole" if clusters else "samples"
    convention = (
        f"interval: paired percentile bootstrap of {n_resamples:,} resamples over {drawn}, "
        f"seed {seed}; mcnemar: exact, over samples; q: Benjamini-Hochberg over all rows"
    )
    stated = {"rows": rows, "where": where, "convention": convention}
    table = [_row(c, clusters, n_resamples, seed) | stated for c in found]
    p_values = [row["mcnemar_p"] for row in table]
    frame = pl.DataFrame(table).with_columns(mcnemar_q=benjamini_hochberg(p_values))
    return frame.select(pl.col(name).cast(dtype) for name, dtype in COMPARE.items()).with_columns(
        pl.col("error_consistency").fill_nan(None)
    )


def _row(
    comparison: Comparison, clusters: str | None, n_resamples: int, seed: int
) -> dict[str, Any]:
    """Return what is counted and drawn of one comparison."""
    judged = comparison.outcomes["first"].is_not_null()
    both = comparison.outcomes.filter(judged)
    right = np.stack([both[side].to_numpy() for side in ("first", "second")])  # (2, M)
    counts = paired_counts(*right)
    members = None if clusters is None else _members(comparison, judged, clusters)
    means = bootstrap_means(right, n_resamples=n_resamples, seed=seed, clusters=members)  # (R, 2)
    low, high = percentile_interval(means[:, 0] - means[:, 1])
    accuracy = right.mean(axis=1)
    return {
        **comparison.names,
        "n_samples": counts.n_samples,
        "first_accuracy": accuracy[0],
        "second_accuracy": accuracy[1],
        "difference": (counts.first_only - counts.second_only) / counts.n_samples,
        "difference_low": float(low),
        "difference_high": float(high),
        "both_right": counts.both,
        "first_only": counts.first_only,
        "second_only": counts.second_only,
        "neither": counts.neither,
        "mcnemar_p": float(mcnemar(counts.first_only, counts.second_only)),
        "agreement": both["agree"].mean(),
        "error_consistency": error_consistency(counts),
        "n_left_out": comparison.n_left_out,
        "note": comparison.note,
    }


def _members(comparison: Comparison, judged: pl.Series, column: str) -> np.ndarray[Any, Any]:
    """Return the cluster of each judged sample, as a number: (M,)."""
    dataset, samples = comparison.first.dataset, comparison.samples
    if column not in samples.columns:
        raise DatasetError(
            f"data set {dataset!r} has no column {column!r} of clusters; name one of its "
            f"annotations with --clusters, or bring it in with: embedstore import annotations"
        )
    values = samples[column].filter(judged)
    if values.null_count():
        raise DatasetError(
            f"column {column!r} of data set {dataset!r} says no cluster of {values.null_count():,} "
            f"samples; choose others with --where '{column} IS NOT NULL'"
        )
    if values.n_unique() < 2:
        raise DatasetError(
            f"all samples of {dataset!r} are in one cluster of {column!r}, and the bootstrap needs "
            "2 or more; name another column with --clusters"
        )
    return values.rank("min").to_numpy()
