"""Pictures and captions from a store: which sets a model has encoded, and which rows of them count.

Left out are pictures that could not be read, their captions, and empty captions.

Dimensions: N pictures that could be read, M captions that count, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DatasetError, EmbedStoreError, UnknownNameError
from embedstore.heads.head import unit
from embedstore.store import Store
from embedstore.store.arrays import StoredArray
from embedstore.store.captions import caption_set
from embedstore.store.contents import committed
from embedstore.store.rows import finite_rows

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
#: Rows that are brought to unit length at a time.
ROWS = 4096


class CaptionRun(NamedTuple):
    """A model, a data set, and a text set of its captions."""

    model: str
    dataset: str
    texts: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Which rows of a data set and its captions count, captions in the order of their pictures."""

    run: CaptionRun
    stored_pictures: StoredArray  # all of the data set, D columns
    stored_captions: StoredArray  # all of the text set, D columns
    picture_rows: I64  # (N,) of `stored_pictures`, ascending
    caption_rows: I64  # (M,) of `stored_captions`
    first_rows: I64  # (M,) of the first caption of the same text
    picture_of: I64  # (M,) number of the picture, from 0, ascending
    text_of: I64  # (M,) number of the text, from 0: equal texts have one
    n_pictures_left_out: int  # that could not be read, or have no caption
    n_captions_left_out: int  # empty, or of pictures that could not be read

    def pictures(self, numbers: I64 | None = None) -> F32:
        """Return the embeddings of some pictures, or of all, of unit length: (n,) -> (n, D).

        Raises
        ------
        NonFiniteError
            If one holds NaN or infinity.
        """
        what = f"picture {{}} of {self.run.dataset!r} by {self.run.model!r}"
        return _unit_rows(self.stored_pictures, _chosen(self.picture_rows, numbers), what)

    def captions(self, numbers: I64 | None = None) -> F32:
        """Return those of captions, each that of the first equal text: (n,) -> (n, D).

        Equal texts tie so. Raises as `pictures`.
        """
        what = f"text {{}} of {self.run.texts!r} by {self.run.model!r}"
        return _unit_rows(self.stored_captions, _chosen(self.first_rows, numbers), what)


def caption_runs(store: Store, models: str, datasets: str, texts: str) -> list[CaptionRun]:
    """Return the captions that models have encoded, of data sets that they have encoded too.

    Models without a text tower and without imported embeddings of captions are left out.

    Parameters
    ----------
    store
        Where they are.
    models, datasets, texts
        Globs over names; those over captions with or without the data set's: `captions-de` is the
        set `captions-de--stamps` of the data set `stamps`.

    Raises
    ------
    UnknownNameError
        If no caption set of these data sets matches `texts`.
    EmbedStoreError
        If these data sets have no captions, or a model with a text tower has not encoded them.
    """
    pictures = [
        (model, dataset)
        for model in store.models
        if fnmatchcase(model, models)
        for dataset in committed(store.files, f"models/{model}/images")
        if fnmatchcase(dataset, datasets)
    ]
    captions = {dataset: store.dataset(dataset).captions for _, dataset in pictures}
    known = sorted({name for names in captions.values() for name in names})
    if pictures and not known:
        raise EmbedStoreError(
            f"no captions belong to: {', '.join(sorted(captions))}; encode a data set that has "
            "some, such as csv:FILE with a column caption, or coco-karpathy:FOLDER"
        )
    wanted = [
        CaptionRun(model, dataset, name)
        for model, dataset in pictures
        for name in captions[dataset]
        if any(fnmatchcase(n, texts) for n in (name, name.removesuffix(caption_set("", dataset))))
    ]
    if pictures and not wanted:
        raise UnknownNameError("caption set", texts, known)
    return _encoded(store, wanted)


def _encoded(store: Store, wanted: Sequence[CaptionRun]) -> list[CaptionRun]:
    """Return the runs whose captions are embedded, and refuse those that could be."""
    sets = {model: store.text_sets(model) for model in {run.model for run in wanted}}
    runs = [run for run in wanted if run.texts in sets[run.model]]
    for run in wanted:
        if run.texts not in sets[run.model] and store.model(run.model).has_text:
            raise EmbedStoreError(
                f"model {run.model!r} has not encoded the captions {run.texts!r}; run its "
                f"embedstore encode command of data set {run.dataset!r} again"
            )
    if wanted and not runs:
        raise EmbedStoreError(
            f"no model here has embeddings of the captions {wanted[0].texts!r}; encode data set "
            f"{wanted[0].dataset!r} with a model that has a text tower, such as an open_clip: one"
        )
    return runs


def count_captioned(store: Store, run: CaptionRun) -> Counted:
    """Find the pictures and captions that count, without reading an embedding.

    Raises
    ------
    DatasetError
        If a caption belongs to no picture of the data set, nothing counts, or pictures and captions
        have different dimensions.
    """
    stored = store.embeddings(run.model, run.dataset)
    read = np.ones(len(stored), np.bool_)
    read[store.failures(run.model, run.dataset)["row"].to_numpy()] = False
    texts = _with_rows(store, run, len(stored))
    counted = texts.filter(
        pl.col("text").str.contains(r"\S"), pl.Series(read[texts["sample_index"].to_numpy()])
    ).sort("sample_index", "row")
    if counted.is_empty():
        raise DatasetError(
            f"none of the {texts.height:,} captions {run.texts!r} has both a text and a picture "
            f"that could be read for model {run.model!r}; choose other captions with --texts, or "
            f"data sets other than {run.dataset!r} with --datasets"
        )
    rows, firsts = np.flatnonzero(read), counted["first"].to_numpy()
    picture_of = np.searchsorted(rows, counted["sample_index"].to_numpy())
    return Counted(
        run=run,
        stored_pictures=stored,
        stored_captions=_caption_embeddings(store, run, stored.shape[1]),
        picture_rows=rows,
        caption_rows=counted["row"].to_numpy(),
        first_rows=firsts,
        picture_of=picture_of,
        text_of=np.unique(firsts, return_inverse=True)[1],
        n_pictures_left_out=len(stored) - len(np.unique(picture_of)),
        n_captions_left_out=texts.height - counted.height,
    )


def _caption_embeddings(store: Store, run: CaptionRun, dim: int) -> StoredArray:
    """Return the embeddings of captions, and refuse those of another space than the pictures'."""
    embeddings = store.text_embeddings(run.model, run.texts)
    if embeddings.shape[1] != dim:
        raise DatasetError(
            f"embeddings of {run.texts!r} have {embeddings.shape[1]} dimensions and those of the "
            f"pictures {dim}; import both from one space of model {run.model!r}"
        )
    return embeddings


def _with_rows(store: Store, run: CaptionRun, n_samples: int) -> pl.DataFrame:
    """Return captions with their row, and the first row of an equal text."""
    _, texts = store.texts(run.texts)
    known = texts.with_row_index("row").select(
        "text",
        pl.col("row", "sample_index").cast(pl.Int64),
        first=pl.col("row").first().over("text").cast(pl.Int64),
    )
    lost = known.filter(~pl.col("sample_index").is_between(0, n_samples - 1).fill_null(value=False))
    if lost.height:
        raise DatasetError(
            f"caption {lost['row'][0]} of {run.texts!r} belongs to sample "
            f"{lost['sample_index'][0]} of {n_samples} of {run.dataset!r}; take these captions "
            "from the list that the pictures are from"
        )
    return known


def _chosen(rows: I64, numbers: I64 | None) -> I64:
    return rows if numbers is None else rows[numbers]


def _unit_rows(stored: StoredArray, rows: I64, what: str) -> F32:
    """Return rows in float32, of unit length: (n,) -> (n, D); `what` names one by its number."""
    out = np.empty((len(rows), stored.shape[1]), np.float32)
    for start in range(0, len(rows), ROWS):
        some = slice(start, start + ROWS)
        out[some] = unit(finite_rows(stored, rows[some], what))
    return out


__all__ = ["CaptionRun", "Counted", "caption_runs", "count_captioned"]
