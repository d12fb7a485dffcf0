"""Where a first model loses most against a second: by factor, annotation, class and confidence.

Conventions: differences are the first's accuracy less the second's, over samples that both judged;
bounds are 95 %, Newcombe's method 10 for paired proportions (1998); McNemar's test is exact, q
corrected over all rows of the table (Benjamini & Hochberg, 1995), which overlap. Rows are ranked by
the upper bound of the difference, least first: by the loss that the samples bear out, which a
handful of them cannot. Bins of the first model's confidence hold a fifth of its samples each
(consecutive samples of the stable order, as `numpy.array_split` cuts them); they are chosen by the
first's doubts, so that where it doubts most it loses to any other model of its accuracy.

Dimensions: M samples, S slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import DatasetError, EmbedStoreError
from embedstore.labels.factors import MOST_VALUES, TEXTS, categories, factor_columns, flags
from embedstore.pairing import Comparison, Rows, comparisons
from embedstore.schema.across import SLICES
from embedstore.stats.multiple import benjamini_hochberg
from embedstore.stats.paired import mcnemar, paired_difference
from embedstore.store import Store

N_BINS = 5


class Slicing(NamedTuple):
    """One way to cut samples into slices that do not overlap."""

    kind: str
    names: pl.Series  # (M,) the slice that each sample is in; null for none


@analysis
def slices(
    store: Store,
    *,
    first: str,
    second: str,
    datasets: str = "*",
    space: str | None = None,
    rows: Rows = "same",
    where: str | None = None,
    factors: str | None = None,
    prefix: str = "",
    min_samples: int = 20,
) -> pl.DataFrame:
    """Accuracies of two models on slices of the samples, those where the first loses most on top.

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
        SQL condition on the columns of the samples, such as ``NOT prototype``.
    factors
        Columns of the samples, names or globs parted by commas: a slice each of true and false,
        else one a value. Without it, all of true and false, and of texts with up to 1,000 values.
    prefix
        Only columns whose name begins so, which is left out of the slices' names.
    min_samples
        Slices with fewer, 1 or more, have no row, and are counted in `n_small`.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.SLICES`, one row a data set, label space and slice.

    Raises
    ------
    EmbedStoreError
        If the two cannot be compared, a column cannot sort samples, or no slice is large enough.

    Examples
    --------
    embedstore analyze slices clip.store --first vit --second rn50 --space all
    """
    if min_samples < 1:
        raise EmbedStoreError(f"slices of {min_samples} samples asked for; give --min-samples 1")
    found = comparisons(
        store, first, second, datasets=datasets, space=space, rows=rows, where=where
    )
    patterns = [p.strip() for p in factors.split(",") if p.strip()] if factors else []
    columns = [_columns(comparison, patterns, prefix) for comparison in found]
    if patterns and not any(columns):
        without = ", ".join(sorted({c.first.dataset for c in found}))
        raise DatasetError(
            f"no annotation named {', '.join(prefix + p for p in patterns)} in: {without}; name "
            "others with --factors, or bring some in: embedstore import annotations"
        )
    counts = pl.concat(
        _counted(comparison, _slicings(store, comparison, chosen, prefix))
        for comparison, chosen in zip(found, columns, strict=True)
    )
    convention = (
        "interval: Newcombe's method 10; mcnemar: exact; q: Benjamini-Hochberg over all rows; "
        f"rank: least difference_high first; slices of {min_samples:,} samples or more"
    )
    stated = {"rows": rows, "where": where, "convention": convention}
    return (
        _ranked(counts, min_samples)
        .with_columns(pl.lit(text, pl.String).alias(name) for name, text in stated.items())
        .select(pl.col(name).cast(dtype) for name, dtype in SLICES.items())
    )


def _columns(comparison: Comparison, patterns: Sequence[str], prefix: str) -> list[str]:
    """Return the annotations that make slices."""
    samples = comparison.samples
    found = factor_columns(samples, patterns or ["*"], prefix, None)
    if not patterns:
        return [c for c in found if _sorts(samples[c])]
    empty = [c for c in found if samples[c].null_count() == samples.height]
    named = [c for c in empty if c.removeprefix(prefix) in patterns]
    if named:
        raise DatasetError(
            f"column {named[0]!r} says nothing of the samples of {comparison.first.dataset!r} "
            "that are compared; name others with --factors"
        )
    return [c for c in found if c not in empty]


def _sorts(column: pl.Series) -> bool:
    """Whether a column makes slices without being asked for."""
    if column.null_count() == len(column):
        return False
    few = column.dtype in TEXTS and column.n_unique() <= MOST_VALUES
    return few or flags(column) is not None


def _slicings(
    store: Store, comparison: Comparison, columns: Sequence[str], prefix: str
) -> Iterator[Slicing]:
    for column in columns:
        name, values = column.removeprefix(prefix), comparison.samples[column]
        marks = flags(values)
        if marks is None:
            yield Slicing("annotation", f"{name}=" + categories(values))
        else:
            yield Slicing("factor", pl.select(pl.when(marks).then(pl.lit(name))).to_series())
    yield Slicing("class", _class_names(store, comparison))
    yield Slicing("confidence", _fifths(comparison.outcomes["confidence"]))


def _class_names(store: Store, comparison: Comparison) -> pl.Series:
    """Return the class of each sample, with its id where another class has the name: (M,)."""
    record = store.dataset(comparison.first.dataset)
    met = Counter(record.class_names)
    named = zip(record.class_names, record.class_ids, strict=True)
    names = [name if met[name] == 1 else f"{name} ({class_id})" for name, class_id in named]
    return pl.Series(names, dtype=pl.String).gather(comparison.samples["label"])


def _fifths(confidences: pl.Series) -> pl.Series:
    """Return the bin of each sample: (M,); null where the confidence is not known."""
    values = confidences.to_numpy()
    known = confidences.is_not_null().arg_true().to_numpy()
    order = known[np.argsort(values[known], kind="stable")]
    bins = np.full(len(values), None, object)
    for i, rows in enumerate(np.array_split(order, N_BINS), 1):
        if len(rows):
            low, high = values[rows[0]], values[rows[-1]]
            bins[rows] = f"fifth {i} of {N_BINS}: {low:.3f} to {high:.3f}"
    return pl.Series(bins.tolist(), dtype=pl.String)


def _counted(comparison: Comparison, slicings: Iterable[Slicing]) -> pl.DataFrame:
    """Count who is right in each slice that has samples: S rows."""
    first, second = pl.col("first"), pl.col("second")
    counts = [
        comparison.outcomes.select("first", "second", slice=slicing.names)
        .drop_nulls("slice")
        .group_by("slice")
        .agg(
            pl.lit(slicing.kind).alias("kind"),
            n_samples=first.count(),
            both=(first & second).sum(),
            first_only=(first & ~second).sum(),
            second_only=(second & ~first).sum(),
            n_left_out=first.null_count(),
        )
        for slicing in slicings
    ]
    note = comparison.note
    if not comparison.outcomes["confidence"].count():
        lacking = f"no slices of confidence: none is stored of {comparison.first.model}"
        note = f"{note}; {lacking}" if note else lacking
    names = {name: pl.lit(value) for name, value in comparison.names.items()}
    frame = pl.concat(counts).with_columns(note=pl.lit(note, pl.String), **names)
    return frame.with_columns(pl.selectors.unsigned_integer().cast(pl.Int64))


def _ranked(counts: pl.DataFrame, min_samples: int) -> pl.DataFrame:
    """Test the slices that are large enough, and put the worst on top."""
    enough = pl.col("n_samples") >= min_samples
    frame = counts.with_columns(n_small=(~enough).sum().over("dataset", "space")).filter(enough)
    if frame.is_empty():
        raise EmbedStoreError(
            f"all {counts.height:,} slices have fewer than {min_samples:,} samples; ask for less "
            "with --min-samples"
        )
    n, both, first, second = (
        frame[c].to_numpy() for c in ("n_samples", "both", "first_only", "second_only")
    )
    low, high = paired_difference(both, first, second, n - both - first - second)
    p_values = mcnemar(first, second)
    return (
        frame.with_columns(
            first_accuracy=(both + first) / n,
            second_accuracy=(both + second) / n,
            difference=(first - second) / n,
            difference_low=low,
            difference_high=high,
            mcnemar_p=p_values,
            mcnemar_q=benjamini_hochberg(p_values),
        )
        .sort("difference_high", "difference", "dataset", "space", "kind", "slice")
        .with_row_index("rank", offset=1)
    )
