"""The percentile bootstrap over samples: how often each resample draws each sample, for all models.

One draw of counts serves every model, so that 2,000 resamples of 255 models are a matrix product,
and a difference of two models is paired by itself: subtract their replicates. Each resample has a
random stream of its own, and sums are exact integers, so results are the same on any thread count.
It knows arrays, not what was measured.

Dimensions: R resamples, B of them in a block, N samples, G clusters, M models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from embedstore.accelerate import over_rows
from embedstore.errors import EmbedStoreError

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

N_RESAMPLES = 2_000
BLOCK_BYTES = 64 << 20  # of counts, and of one group of models: what bounds the memory
EXACT_FLOAT32, EXACT_FLOAT64 = 24, 53  # bits of an integer that a float holds exactly


def resample_counts(
    n_samples: int,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    clusters: npt.ArrayLike | None = None,
) -> Iterator[F32]:
    """Yield how often each resample draws each sample, in blocks (B, N) of at most 64 MiB.

    Resample r of a seed is the same whatever `n_resamples` and the block, so that two calls over
    the same samples are paired.

    Parameters
    ----------
    n_samples
        N, 1 or more.
    n_resamples
        R, 1 or more.
    seed
        0 or more.
    clusters
        (N,) what belongs together (several views, several captions) and is drawn whole; as many
        clusters are drawn as there are, so rows of counts need not sum to N.

    Raises
    ------
    EmbedStoreError
        If there is no sample, no resample, or `clusters` has another length.
    """
    members = None if clusters is None else _cluster_index(clusters, n_samples)
    n_units = n_samples if members is None else int(members.max(initial=-1)) + 1
    check_numbers(n_samples, n_resamples, seed)
    for start, stop in _blocks(n_resamples, 4 * n_samples):
        counts = _draw(n_units, start, stop, seed)
        yield counts if members is None else counts[:, members]


def bootstrap(
    statistic: Callable[[F32], npt.ArrayLike],
    n_samples: int,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    clusters: npt.ArrayLike | None = None,
) -> F64:
    """Return the replicates (R, ...) of any statistic that can be computed from counts.

    Parameters
    ----------
    statistic
        Counts (B, N) to values (B, ...): a weighted statistic, one row a resample.
    n_samples, n_resamples, seed, clusters
        As in :func:`resample_counts`.
    """
    blocks = resample_counts(n_samples, n_resamples=n_resamples, seed=seed, clusters=clusters)
    return np.concatenate([np.asarray(statistic(counts), np.float64) for counts in blocks])


def bootstrap_means(
    values: npt.ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    clusters: npt.ArrayLike | None = None,
) -> F64:
    """Return the mean of each model in each resample: (M, N) -> (R, M).

    All models see the same resamples: ``means[:, a] - means[:, b]`` is the paired bootstrap of a
    difference. Numbers other than booleans are rounded to 2^-36 or so of the largest, which makes
    every sum exact.

    Parameters
    ----------
    values
        (M, N) booleans or numbers, or (N,) for one model. NaN is a sample that the model lacks: it
        is left out of that model's means; a resample that draws nothing else gives NaN.
    n_resamples, seed, clusters
        As in :func:`resample_counts`; a resample's mean is over the samples of its clusters.

    Raises
    ------
    EmbedStoreError
        If there is no sample, or a value is infinite.
    """
    table = np.atleast_2d(np.asarray(values))
    n_models, n_samples = table.shape
    check_numbers(n_samples, n_resamples, seed)
    members = None if clusters is None else _cluster_index(clusters, n_samples)
    n_units = n_samples if members is None else int(members.max()) + 1
    means = np.empty((n_resamples, n_models))
    for start, stop in _blocks(n_resamples, 4 * n_units):
        counts = _draw(n_units, start, stop, seed)
        for first, last in _blocks(n_models, 8 * n_samples):
            means[start:stop, first:last] = _weighted_means(counts, table[first:last], members)
    return means


def percentile_interval(replicates: npt.ArrayLike, *, confidence: float = 0.95) -> tuple[F64, F64]:
    """Return the interval that holds the middle `confidence` of replicates: (R, ...) -> 2 x (...).

    Percentiles are linear between replicates (SciPy's ``bootstrap(method="percentile")``).
    Replicates that are NaN, of a statistic undefined on that resample, are left out; where more
    than `1 - confidence` of them are, too few models or samples carry the statistic: NaN.

    Raises
    ------
    EmbedStoreError
        If `confidence` is not between 0 and 1, or there is no replicate.
    """
    if not 0 < confidence < 1:
        raise EmbedStoreError(f"confidence is {confidence}; give a number between 0 and 1")
    drawn = np.asarray(replicates, np.float64)
    if drawn.ndim == 0 or len(drawn) == 0:
        raise EmbedStoreError("there are no replicates; ask for at least 1 resample")
    unknown = np.isnan(drawn)
    sparse = unknown.mean(axis=0) > 1 - confidence
    filled = np.where(sparse, 0.0, drawn)  # nanquantile warns of all-NaN columns
    tail = (1 - confidence) / 2
    quantile = np.nanquantile if unknown.any() else np.quantile
    low, high = quantile(filled, [tail, 1 - tail], axis=0)
    return np.where(sparse, np.nan, low), np.where(sparse, np.nan, high)


def check_numbers(n_samples: int, n_resamples: int, seed: int) -> None:
    """Refuse what cannot be resampled.

    Raises
    ------
    EmbedStoreError
        If there is no sample, no resample, or the seed is negative.
    """
    if n_samples < 1:
        raise EmbedStoreError("there is no sample to resample; choose runs that have outcomes")
    if n_resamples < 1:
        raise EmbedStoreError(f"{n_resamples} resamples asked for; give 1 or more (2,000 is usual)")
    if seed < 0:
        raise EmbedStoreError(f"the seed is {seed}; give 0 or more")


def _cluster_index(clusters: npt.ArrayLike, n_samples: int) -> I64:
    names = np.asarray(clusters)
    if names.shape != (n_samples,):
        raise EmbedStoreError(
            f"clusters have shape {names.shape} for {n_samples} samples; give one cluster a sample"
        )
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _blocks(n_rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    size = max(1, BLOCK_BYTES // row_bytes)
    for start in range(0, n_rows, size):
        yield start, min(start + size, n_rows)


def _draw(n_units: int, start: int, stop: int, seed: int) -> F32:
    counts = np.empty((stop - start, n_units), np.float32)

    def draw_rows(first: int, last: int) -> None:
        for i in range(first, last):
            random = np.random.default_rng([seed, start + i])
            counts[i] = np.bincount(random.integers(0, n_units, n_units), minlength=n_units)

    over_rows(draw_rows, stop - start, grain=64)
    return counts


def _weighted_means(counts: F32, values: npt.NDArray[np.generic], members: I64 | None) -> F64:
    """Means of some models in some resamples: (B, G), (M, N), (N,) -> (B, M)."""
    if values.dtype == bool:
        known, sums = np.ones_like(values), _exact_product(counts, _by_cluster(values, members))
    else:
        numbers = values.astype(np.float64)
        known = ~np.isnan(numbers)
        n_drawn = values.shape[1]  # at most, were one cluster drawn every time:
        if members is not None:
            sizes = np.bincount(members)
            n_drawn = int(len(sizes) * sizes.max())
        whole, step = _as_integers(np.where(known, numbers, 0.0), n_drawn)
        sums = _exact_product(counts, _by_cluster(whole, members)) * step
    if known.all():  # then one column of totals serves all models
        known = known[:1]
    totals = _exact_product(counts, _by_cluster(known, members))
    with np.errstate(invalid="ignore"):  # 0 / 0: nothing known was drawn
        return sums / totals


def _as_integers(values: F64, n_drawn: int) -> tuple[F64, float]:
    """Round to multiples of a power of two, so large that sums of `n_drawn` values stay exact."""
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        i, j = np.argwhere(np.isinf(values))[0]
        raise EmbedStoreError(
            f"the value of model {i}, sample {j} is infinite; mend it or leave the sample out (NaN)"
        )
    spare = int(np.ceil(np.log2(n_drawn))) + 1
    exponent = (int(np.frexp(largest)[1]) if largest else 0) - (EXACT_FLOAT64 - spare)
    step = float(np.ldexp(1.0, max(exponent, -1000)))
    return np.rint(values / step), step


def _by_cluster(values: npt.NDArray[np.generic], members: I64 | None) -> npt.NDArray[np.generic]:
    """Sums over each cluster: (M, N) -> (M, G)."""
    if members is None:
        return values
    n_clusters = int(members.max()) + 1
    rows = [np.bincount(members, weights=row, minlength=n_clusters) for row in values]
    return np.stack(rows)


def _exact_product(counts: F32, values: npt.NDArray[np.generic]) -> F64:
    """Product of integers, (B, G), (M, G) -> (B, M), in the narrowest float that holds every sum.

    Drawn counts of one resample sum to G, so no sum exceeds G times the largest value.
    """
    bound = counts.shape[1] * float(np.abs(values).max() if values.dtype != bool else 1)
    if bound < 2**EXACT_FLOAT32:
        return np.asarray(counts @ values.astype(np.float32).T, np.float64)
    return counts.astype(np.float64) @ values.astype(np.float64).T
