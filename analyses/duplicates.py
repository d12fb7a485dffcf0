"""Near-duplicates: pictures of a data set that lie in another one too, all but the same.

Conventions: a sample's nearest picture of the reference, by the cosine of image embeddings, is a
duplicate from a threshold on. Its margin is that cosine less the cosine of the next picture that is
no copy of the nearest (of other bytes, or of unknown ones, as imported samples are): a sample that
is near everything has a small one. Within one data set no sample is its own neighbour, and a pair
stands once.

Dimensions: Q samples of a block, K neighbours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import EmbedStoreError
from embedstore.index.answers import samples_at
from embedstore.index.between import Between, runs_between
from embedstore.index.exact import Neighbours
from embedstore.index.searching import SearchKind
from embedstore.schema.neighbours import DUPLICATES
from embedstore.store import Store

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
#: Neighbours among which the next picture is looked for.
K = 10
#: By how much float32 may put the cosine of a picture and its copy below 1.
ROUNDING = 1e-6


@analysis
def duplicates(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    reference: str | None = None,
    threshold: float = 0.95,
    search: SearchKind = "exact",
) -> pl.DataFrame:
    """Pictures of a data set that are in another one too, all but the same: leaked test pictures.

    Parameters
    ----------
    store
        Where the embeddings are.
    models, datasets
        Globs over names.
    reference
        Data set to look in, such as a training set; each data set itself where it is None.
    threshold
        Least cosine of a duplicate. What it catches depends on the model: look at the margins.
    search
        `exact`, or the kind of an index over the reference that was built with: embedstore index
        build.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.neighbours.DUPLICATES`, one row a duplicate, the nearest first.

    Raises
    ------
    EmbedStoreError
        If the threshold is no cosine, no model has encoded the reference, or it holds no other
        picture.

    Examples
    --------
    $ embedstore analyze duplicates clip.store --datasets pets --reference imagenet-train
    """
    if not -1 <= threshold <= 1:
        raise EmbedStoreError(f"threshold {threshold} is no cosine; choose one from -1 to 1")
    tables = [pl.DataFrame(schema=DUPLICATES)]
    for run in runs_between(store, models, datasets, reference, search):
        found = pl.concat(_near(run, threshold))
        if run.is_within:
            found = _each_once(found)
        found = found.sort("cosine", "row", descending=[True, False])
        tables.append(_described(run, found, threshold))
    return pl.concat(tables)


def _near(run: Between, threshold: float) -> list[pl.DataFrame]:
    """Return row, row of the nearest picture, cosine and margin of each duplicate."""
    reference = run.search.subject
    pictures = _numbered(reference.store.samples(reference.name)["digest"])
    tables = []
    for rows, found in run.neighbours(max(1, min(K, run.n_candidates))):
        near = np.flatnonzero(found.scores[:, 0] >= threshold - ROUNDING)
        kept = Neighbours(found.scores[near], found.rows[near])
        columns = {
            "row": rows[near],
            "reference_row": kept.rows[:, 0],
            "cosine": np.minimum(kept.scores[:, 0], 1.0).astype(np.float64),  # 1 + rounding
            "margin": _margins(kept, pictures),
        }
        tables.append(pl.DataFrame(columns, nan_to_null=True))
    return tables


def _numbered(digests: pl.Series) -> I64:
    """Return a number that copies share, those of unknown bytes having one of their own: (N,)."""
    numbers = digests.cast(pl.Categorical).to_physical().to_numpy().astype(np.int64)
    return np.where((digests == "").to_numpy(), -1 - np.arange(len(numbers)), numbers)


def _margins(found: Neighbours, pictures: I64) -> F64:
    """Return the nearest's score less that of the next other picture, NaN without: (Q, K)."""
    number = pictures[found.rows]
    other = number != number[:, :1]
    following = np.take_along_axis(found.scores, other.argmax(axis=1)[:, None], axis=1)[:, 0]
    margins = (found.scores[:, 0] - following).astype(np.float64)
    return np.where(other.any(axis=1), margins, np.nan)


def _each_once(found: pl.DataFrame) -> pl.DataFrame:
    """Leave out a pair that stands there the other way round too, its lower row first."""
    lower = pl.col("row") < pl.col("reference_row")
    first = found.filter(lower).select(row="reference_row", reference_row="row")
    return found.join(first, ["row", "reference_row"], "anti")


def _described(run: Between, found: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Name samples and classes, and say whether bytes and labels are the same."""
    store, reference = run.samples.store, run.search.subject
    first = samples_at(store, run.samples.name, found["row"])
    second = samples_at(store, reference.name, found["reference_row"])
    return pl.DataFrame(
        {
            "sample_id": first["sample_id"],
            "reference_id": second["sample_id"],
            "cosine": found["cosine"],
            "margin": found["margin"],
            "same_digest": first["digest"] == second["digest"],
            "same_label": first["class_id"] == second["class_id"],
            "class_name": first["class_name"],
            "reference_class_name": second["class_name"],
        }
    ).select(
        pl.lit(run.samples.model).alias("model"),
        pl.lit(run.samples.name).alias("dataset"),
        "sample_id",
        pl.lit(reference.name).alias("reference"),
        pl.exclude("sample_id"),
        pl.lit(run.samples.n_rows).cast(pl.Int64).alias("n_samples"),
        pl.lit(len(run.samples.failed)).cast(pl.Int64).alias("n_left_out"),
        pl.lit(threshold, pl.Float64).alias("threshold"),
        pl.lit(run.search.how).alias("search"),
    )
