"""Figures that others published, in the words of our own analyses: a row a figure.

`results.parquet` beside this module is made by :mod:`embedstore.published.building` from the files
that `origin` names, and a test compares the two. The figures are facts, taken down as they were
published; what nobody says of them is null. It knows no store and no model library.

Conventions. Every value is a fraction from 0 to 1. `analysis` and `column` are ours where one of
our tables holds such a figure. `n_samples` stands only beside a proportion of so many samples.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import polars as pl

from embedstore.errors import UnknownNameError

#: Columns of the data file, and of what :func:`results` returns. All but the last two are the key.
COLUMNS = MappingProxyType(
    {
        "source": pl.String,  # open_clip, timm, imagenet-testbed, imagenet-x, robustbench-3dcc
        "origin": pl.String,  # the file that the figure is from
        "date": pl.String,  # year and month in which it was taken down
        "model": pl.String,  # one name a model and size within the source
        "spec": pl.String,  # what --model takes; null where we cannot tell which weights they are
        "group": pl.String,  # of the zoo; in the testbed `zero-shot` or `baseline`
        "resolution": pl.Int32,  # side of the picture that the model was given, in pixels
        "analysis": pl.String,  # ours that has the column; null where none does
        "column": pl.String,  # of our table
        "dataset": pl.String,  # a preset's name where there is a preset
        "space": pl.String,  # label space; null where it is the data set's own
        "factor": pl.String,  # of ImageNet-X
        "kind": pl.String,  # of its annotation: top, one factor a picture, or multi, several
        "direction": pl.String,  # of retrieval: text-to-image or image-to-text
        "k": pl.Int32,  # neighbours of retrieval
        "corruption": pl.String,
        "severity": pl.Int32,  # 1 to 5
        "value": pl.Float64,
        "n_samples": pl.Int64,  # that the value is a proportion of
    }
)

#: The data file.
DATA = Path(str(files("embedstore.published").joinpath("results.parquet")))


def results(source: str | None = None) -> pl.DataFrame:
    """Return the published figures, columns `COLUMNS`; those of one source if it is given.

    Raises
    ------
    UnknownNameError
        If there is no such source.
    """
    if source is None:
        return _results()
    found = _results().filter(pl.col("source") == source)
    if found.is_empty():
        raise UnknownNameError(
            "source of published results", source, _results()["source"].unique().to_list()
        )
    return found


def sources() -> pl.DataFrame:
    """Return where the figures are from: a row a file, with its date, models and figures."""
    return (
        _results()
        .group_by("source", "origin", "date")
        .agg(n_models=pl.col("model").n_unique().cast(pl.Int64), n_figures=pl.len().cast(pl.Int64))
        .sort("source", "origin")
    )


@cache
def _results() -> pl.DataFrame:
    return pl.read_parquet(DATA)
