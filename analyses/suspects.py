"""Suspect labels: samples whose neighbours say another class.

Conventions: the k nearest pictures by the cosine of image embeddings, the sample itself left out,
have one vote each for their own label; unlabelled ones vote for none. share is of votes for the
sample's label, other_share of those for the strongest other (of equal ones, the one that the
nearest has), margin the first less the second: -1 where all agree on another class. Classes of two
data sets are the same where their ids are.

Dimensions: Q samples of a block, K neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.analysis import analysis
from embedstore.errors import DatasetError
from embedstore.index.answers import samples_at
from embedstore.index.between import Between, runs_between
from embedstore.index.exact import Neighbours
from embedstore.index.searching import SearchKind
from embedstore.schema.neighbours import SUSPECTS
from embedstore.store import Store

I64 = npt.NDArray[np.int64]
#: Comparisons of two votes that are held at once, K x K a sample: 16 MiB.
COMPARISONS = 2**24


class Votes(NamedTuple):
    """What the neighbours of some samples say, (Q,) each."""

    own: I64  # for the sample's label
    other: I64  # for the strongest other
    nearest: I64  # place of the nearest neighbour with that other label


@analysis
def suspects(
    store: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    reference: str | None = None,
    k: int = 10,
    below: float = 0.0,
    search: SearchKind = "exact",
) -> pl.DataFrame:
    """Samples whose label their nearest neighbours contradict, the clearest first.

    Parameters
    ----------
    store
        Where the embeddings are.
    models, datasets
        Globs over names.
    reference
        Data set whose labels are trusted; each data set itself where it is None.
    k
        Neighbours that vote.
    below
        Samples with a margin below it are shown: 0, those of which another class has more votes
        than their own; 2, all.
    search
        `exact`, or the kind of an index over the reference that was built with: embedstore index
        build.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.neighbours.SUSPECTS`, one row a sample, least margin first.

    Raises
    ------
    EmbedStoreError
        If the reference has no labels, or not k other pictures, or no model has encoded it.

    Examples
    --------
    $ embedstore analyze suspects clip.store --datasets pets --k 10
    """
    runs = runs_between(store, models, datasets, reference, search)
    labelled = [run for run in runs if store.dataset(run.samples.name).class_ids]
    return pl.concat(
        [pl.DataFrame(schema=SUSPECTS), *(_suspects(run, k, below) for run in labelled)]
    )


def _suspects(run: Between, k: int, below: float) -> pl.DataFrame:
    """Return the suspects of one data set, the least margin first."""
    labels, voices = _labels(run)
    tables, n_judged = [], 0
    for rows, found in run.neighbours(k):
        judged = labels[rows] >= 0
        n_judged += int(judged.sum())
        near = Neighbours(found.scores[judged], found.rows[judged])
        tables.append(_judged(rows[judged], labels[rows[judged]], voices, near))
    suspected = pl.concat(tables).filter(pl.col("margin") < below).sort("margin", "row")
    return _described(run, suspected, k, n_judged)


def _labels(run: Between) -> tuple[I64, I64]:
    """Return the classes of the samples and of the reference, as the latter counts them: -1, none.

    Shapes (N,) and (M,).
    """
    store, reference = run.samples.store, run.search.subject.name
    classes = store.dataset(reference).class_ids
    if not classes:
        raise DatasetError(
            f"data set {reference!r} has no labels that could contradict any; choose another "
            "--reference, or bring it in with labels: embedstore import samples --label COLUMN"
        )
    numbers = {class_id: i for i, class_id in enumerate(classes)}
    ids = pl.Series(store.dataset(run.samples.name).class_ids, dtype=pl.String)
    own = ids.gather(store.samples(run.samples.name)["label"])
    voices = store.samples(reference)["label"]
    return (
        own.replace_strict(numbers, default=-1, return_dtype=pl.Int64).fill_null(-1).to_numpy(),
        voices.cast(pl.Int64).fill_null(-1).to_numpy(),
    )


def _judged(rows: I64, labels: I64, voices: I64, found: Neighbours) -> pl.DataFrame:
    """Return shares and the strongest other class of each sample: (Q,), (Q,), (M,), (Q, K)."""
    k = found.rows.shape[1]
    step = max(1, COMPARISONS // k**2)
    parts = [
        _votes(voices[found.rows[i : i + step]], labels[i : i + step])
        for i in range(0, max(1, len(rows)), step)
    ]
    votes = Votes(*(np.concatenate(counts) for counts in zip(*parts, strict=True)))
    at = np.arange(len(rows)), votes.nearest
    columns = {
        "row": rows,
        "share": votes.own / k,
        "other_share": votes.other / k,
        "margin": (votes.own - votes.other) / k,
        "other": voices[found.rows[at]],
        "nearest_row": found.rows[at],
        "nearest_cosine": np.minimum(found.scores[at], 1.0).astype(np.float64),
    }
    return pl.DataFrame(columns)


def _votes(voices: I64, labels: I64) -> Votes:
    """Count the votes: (Q, K) classes of neighbours, (Q,) own classes."""
    own = voices == labels[:, None]
    counts = (voices[:, :, None] == voices[:, None, :]).sum(axis=2)
    counts[own | (voices < 0)] = 0
    nearest = counts.argmax(axis=1)  # of equal ones the first, which is the nearest
    other = np.take_along_axis(counts, nearest[:, None], axis=1)[:, 0]
    return Votes(own.sum(axis=1), other, nearest)


def _described(run: Between, found: pl.DataFrame, k: int, n_judged: int) -> pl.DataFrame:
    """Name samples and classes; where no other class has a vote, there is no other."""
    store, reference = run.samples.store, run.search.subject.name
    samples = samples_at(store, run.samples.name, found["row"])
    near = samples_at(store, reference, found["nearest_row"])
    contradicted = pl.col("other_share") > 0
    return found.select(
        model=pl.lit(run.samples.model),
        dataset=pl.lit(run.samples.name),
        sample_id=samples["sample_id"],
        class_name=samples["class_name"],
        other_class_name=pl.when(contradicted).then(near["class_name"]),
        margin="margin",
        share="share",
        other_share="other_share",
        nearest_id=pl.when(contradicted).then(near["sample_id"]),
        nearest_cosine=pl.when(contradicted).then("nearest_cosine"),
        reference=pl.lit(reference),
        k=pl.lit(k, pl.Int64),
        n_samples=pl.lit(n_judged, pl.Int64),
        n_left_out=pl.lit(len(run.samples.embeddings) - n_judged, pl.Int64),
        search=pl.lit(run.search.how),
    ).select(pl.col(name).cast(dtype) for name, dtype in SUSPECTS.items())
