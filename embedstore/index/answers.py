"""What a search found, as a table for people: which picture or text lies at which rank.

Dimensions: Q queries, K neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DatasetError, UnknownNameError
from embedstore.index.exact import Neighbours, check_k, others
from embedstore.index.searching import Search
from embedstore.index.subject import Subject
from embedstore.store import Store

I64 = npt.NDArray[np.int64]
#: Columns of both kinds of answers: the query, its neighbours from rank 1, and their scores.
RANKED = {"query": pl.String, "rank": pl.Int64, "score": pl.Float32}
IMAGES = {
    **RANKED,
    "sample_id": pl.String,
    "class_name": pl.String,  # of its label; null without one
    "path": pl.String,
}
TEXTS = {
    **RANKED,
    "text": pl.String,
    "class_name": pl.String,  # of a prompt
    "sample_id": pl.String,  # of the picture that a caption belongs to
}
#: Sample ids named where one is unknown.
N_NAMED = 5


def rows_of(store: Store, dataset: str, sample_ids: Sequence[str]) -> I64:
    """Return the rows of samples: (Q,).

    Raises
    ------
    UnknownNameError
        If a data set has no such sample.
    """
    known = store.samples(dataset)["sample_id"]
    places = dict(zip(known, range(len(known)), strict=True))
    for sample_id in sample_ids:
        if sample_id not in places:
            near = [i for i in known if sample_id in i][:N_NAMED] or [*known[:N_NAMED], "..."]
            raise UnknownNameError(f"sample of data set {dataset!r}", sample_id, near)
    return np.array([places[sample_id] for sample_id in sample_ids], np.int64)


def samples_at(store: Store, dataset: str, rows: pl.Series) -> pl.DataFrame:
    """Return the samples of some rows: sample_id, path, digest, and class_id and class_name.

    Null: a digest that is not known, as of imported samples, and the class of one without a label.
    """
    record = store.dataset(dataset)
    ids, names = (pl.Series(c, dtype=pl.String) for c in (record.class_ids, record.class_names))
    found = store.samples(dataset).select("sample_id", "path", "digest", "label")[rows]
    return found.select(
        "sample_id",
        "path",
        pl.col("digest").replace("", None),
        class_id=ids.gather(found["label"]),
        class_name=names.gather(found["label"]),
    )


def near_samples(search: Search, dataset: str, sample_ids: Sequence[str], k: int) -> pl.DataFrame:
    """Find what is near samples that the store holds, no model needed; none is its own neighbour.

    Parameters
    ----------
    search
        What is searched; its model must have encoded the samples.
    dataset, sample_ids
        The queries: Q samples of a data set.
    k
        Neighbours of each.

    Returns
    -------
    pl.DataFrame
        Q x K rows, columns of `IMAGES` or `TEXTS`.

    Raises
    ------
    UnknownNameError
        If there is no such sample.
    EmbedStoreError
        If a sample's picture failed, or there are fewer than k other rows.
    """
    subject = search.subject
    rows = rows_of(subject.store, dataset, sample_ids)
    queries = subject.store.embeddings(subject.model, dataset)[rows]
    for sample_id, failed in zip(sample_ids, np.isnan(queries).any(axis=1), strict=True):
        if failed:
            raise DatasetError(
                f"the picture of sample {sample_id!r} failed, so that it has no embedding; choose "
                "another"
            )
    if (subject.part, subject.name) != ("images", dataset):
        return answers(subject, search.nearest(queries, k), sample_ids)
    check_k(k, subject.n_rows - 1)
    return answers(subject, others(search.nearest(queries, k + 1), rows), sample_ids)


def answers(subject: Subject, found: Neighbours, queries: Sequence[str]) -> pl.DataFrame:
    """Return a row a query and neighbour, columns of `IMAGES` or `TEXTS`: (Q, K), Q names."""
    n_queries, k = found.rows.shape
    ranked = {
        "query": [query for query in queries for _ in range(k)],
        "rank": np.tile(np.arange(1, k + 1), n_queries),
        "score": found.scores.ravel(),
    }
    rows = pl.Series(found.rows.ravel())
    if subject.part == "images":
        near = samples_at(subject.store, subject.name, rows)
        return (
            pl.DataFrame(ranked)
            .hstack(near)
            .select(pl.col(name).cast(dtype) for name, dtype in IMAGES.items())
        )
    return pl.DataFrame({**ranked, **_texts(subject, rows)}, schema=TEXTS)


def _texts(subject: Subject, rows: pl.Series) -> dict[str, pl.Series]:
    record, texts = subject.store.texts(subject.name)
    found = texts[rows]
    names = pl.Series(record.class_names, dtype=pl.String)
    ids = pl.Series(dtype=pl.String)
    if record.dataset:
        ids = subject.store.samples(record.dataset)["sample_id"]
    return {
        "text": found["text"],
        "class_name": names.gather(found["class_index"]),
        "sample_id": ids.gather(found["sample_index"]),
    }
