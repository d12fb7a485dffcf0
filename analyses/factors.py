"""Accuracy and error ratio by visual factor: ImageNet-X, or any annotation of one's own.

Conventions (Idrissi et al., 2022): accuracy of a factor is over the samples that it marks, overall
accuracy over all samples of which its column says anything; both leave out failed pictures, samples
without a label in the space, and those that the column `excluded` marks (ImageNet-X: prototypes).
The error ratio is (1 - accuracy) / (1 - overall). A picture without any right class (ReaL) is left
out by the convention `default` and wrong by `imagenetx`. Bounds are 95 %: Clopper-Pearson for
accuracy, the delta method over multinomial counts for the error ratio.

Dimensions: R runs, N samples, F factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.accelerate import n_threads
from embedstore.analysis import analysis
from embedstore.errors import DatasetError, EmbedStoreError
from embedstore.kernels.bitsets import count_in_each, packed
from embedstore.labels.factors import Factors, factor_columns, factors_of, flags
from embedstore.schema.runs import FACTOR_TABLE
from embedstore.stats.intervals import with_clopper_pearson
from embedstore.stats.multinomial import error_ratio
from embedstore.store import Store
from embedstore.store.outcomes import OutcomeRun, checked_table

I64 = npt.NDArray[np.int64]
Convention = Literal["default", "imagenetx"]
#: The column whose true samples are left out where there is one and none is named.
PROTOTYPE = "prototype"


class Counts(NamedTuple):
    """What factors and runs make of each other, (R, F) each."""

    marked: I64  # judged samples that the factor marks
    right: I64  # of these
    known: I64  # judged samples that the factor's column says anything of
    right_known: I64  # of these


@analysis
def factors(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    heads: str = "*",
    space: str | None = None,
    factors: str | None = None,
    prefix: str = "",
    exclude: str | None = None,
    convention: Convention = "default",
) -> pl.DataFrame:
    """Accuracy and error ratio by visual factor, with 95 % bounds, one row a run and factor.

    Parameters
    ----------
    store
        Where the outcomes are.
    models, datasets, heads
        Globs over names.
    space
        A label space, such as `imagenet-real`; all where it is None.
    factors
        Columns of the samples, names or globs parted by commas. One of true and false is a factor;
        one of other values a factor a value, `column=value`. Without it, all columns of true and
        false.
    prefix
        Only columns whose name begins so, which is left out of the factors' names.
    exclude
        Column whose true samples are left out; without it `prototype` where there is one; `none`.
    convention
        `imagenetx` counts a picture without any right class as wrong.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.runs.FACTOR_TABLE`. `worst_factor` is the least accuracy of the factors
        of the run; those named `multi_...` have one of their own.

    Raises
    ------
    EmbedStoreError
        If no data set has such columns, or a column cannot sort samples.
    """
    runs = store.outcome_runs(models, datasets, heads, space)
    patterns = [p.strip() for p in factors.split(",") if p.strip()] if factors else []
    tables, without = [pl.DataFrame(schema=FACTOR_TABLE)], []
    for dataset in sorted({run.dataset for run in runs}):
        samples = store.samples(dataset)
        excluded = _excluded(samples, dataset, exclude)
        columns = factor_columns(samples, patterns, prefix, excluded)
        if not columns:
            without.append(dataset)
            continue
        chosen = factors_of(samples, columns, prefix)
        if excluded is not None:
            chosen = chosen.without(_true(samples, excluded))
        of_dataset = [run for run in runs if run.dataset == dataset]
        counts = _counts(_right(store, samples, of_dataset, convention), chosen)
        tables.append(_table(of_dataset, chosen, counts, excluded, convention))
    if runs and len(tables) == 1:
        raise _no_factors(without, patterns, prefix)
    return pl.concat(tables)


def _excluded(samples: pl.DataFrame, dataset: str, wanted: str | None) -> str | None:
    """Return the column whose true samples are left out."""
    if wanted is None:
        return PROTOTYPE if PROTOTYPE in samples.columns else None
    if wanted in ("", "none"):
        return None
    if wanted not in samples.columns or flags(samples[wanted]) is None:
        raise DatasetError(
            f"data set {dataset!r} has no column {wanted!r} of true and false to leave samples out "
            "by; name another with --exclude, or none"
        )
    return wanted


def _true(samples: pl.DataFrame, column: str) -> npt.NDArray[np.bool_]:
    marks = flags(samples[column])
    if marks is None:
        raise DatasetError(
            f"column {column!r} is not of true and false; say what to leave out with --exclude, or "
            "--exclude none"
        )
    return marks.fill_null(value=False).to_numpy()


def _no_factors(datasets: Sequence[str], patterns: Sequence[str], prefix: str) -> EmbedStoreError:
    wanted = f"named {', '.join(prefix + p for p in patterns)}" if patterns else "of true and false"
    wanted += f" that begins with {prefix!r}" if prefix and not patterns else ""
    return EmbedStoreError(
        f"no annotation {wanted} in: {', '.join(datasets)}; name others with --factors, or bring "
        "some in: embedstore import annotations"
    )


def _right(
    store: Store, samples: pl.DataFrame, runs: Sequence[OutcomeRun], convention: Convention
) -> Iterator[pl.Series]:
    """Yield for each run whether each sample is right, null where that is not known: (N,)."""
    with ThreadPoolExecutor(n_threads()) as pool:
        paths = list(pool.map(lambda run: checked_table(store.files, run), runs))
    columns = ["correct"] if convention == "default" else ["prediction", "correct"]
    tables = pl.read_parquet(paths, columns=columns)  # all at once: a third of the time
    for i, run in enumerate(runs):
        said = tables.slice(i * samples.height, samples.height)
        labels = "" if convention == "default" else str(store.space(run)["labels"])
        if isinstance(samples.schema.get(labels), pl.List):
            wrong = (samples[labels].list.len() == 0) & said["prediction"].is_not_null()
            yield said["correct"].set(wrong.fill_null(value=False), value=False)
        else:
            yield said["correct"]


def _counts(right: Iterable[pl.Series], factors: Factors) -> Counts:
    """Count what each run gets right, as bits: no table is joined."""
    marked, known = packed(factors.marked.T), packed(factors.known.T)
    everyone = packed(np.ones(len(factors.marked), np.bool_))

    def count(correct: pl.Series) -> tuple[I64, I64, I64, I64]:
        judged = everyone
        if correct.null_count():
            judged = packed(correct.is_not_null().to_numpy())
            correct = correct.fill_null(value=False)
        hits = packed(correct.to_numpy())
        return (
            count_in_each(marked, judged),
            count_in_each(marked, hits),
            count_in_each(known, judged),
            count_in_each(known, hits),
        )

    counts = np.array([count(correct) for correct in right], np.int64)  # (R, 4, F)
    return Counts(*counts.transpose(1, 0, 2))


def _table(
    runs: Sequence[OutcomeRun],
    factors: Factors,
    counts: Counts,
    excluded: str | None,
    convention: Convention,
) -> pl.DataFrame:
    """Return a row a run and factor, ratios and bounds of the counts beside them."""
    n_factors, n_runs = len(factors.names), len(runs)
    marked, right, known, right_known = (c.ravel() for c in counts)
    ratio, low, high = error_ratio(marked - right, marked, known - right_known, known)
    frame = pl.DataFrame(
        {
            **{
                name: np.repeat([getattr(run, name) for run in runs], n_factors)
                for name in ("model", "dataset", "head", "space")
            },
            "factor": np.tile(factors.names, n_runs),
            "group": np.tile(factors.groups, n_runs),
            "n_samples": marked,
            "n_correct": right,
            "n_overall": known,
            "n_left_out": np.tile(factors.known.sum(axis=0), n_runs) - known,
            "right_known": right_known,
            "error_ratio": ratio,
            "error_ratio_low": low,
            "error_ratio_high": high,
        }
    )
    measured, judged = pl.col("n_samples") > 0, pl.col("n_overall") > 0
    return (
        frame.with_columns(
            pl.col("^error_ratio.*$").fill_nan(None),
            accuracy=pl.when(measured).then(pl.col("n_correct") / pl.col("n_samples")),
            overall_accuracy=pl.when(judged).then(pl.col("right_known") / pl.col("n_overall")),
            excluded=pl.lit(excluded, pl.String),
            convention=pl.lit(convention),
        )
        .with_columns(worst_factor=pl.col("accuracy").min().over("model", "head", "space", "group"))
        .pipe(
            with_clopper_pearson,
            "n_correct",
            "n_samples",
            low="accuracy_low",
            high="accuracy_high",
        )
        .select(pl.col(name).cast(dtype) for name, dtype in FACTOR_TABLE.items())
    )
