"""Points: models by two figures, and where they lie on the scales of a plot.

Dimensions: N models.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.across.facts import FACTS
from embedstore.across.figures import published_figures, stored_figures, tabled_figures
from embedstore.across.metrics import Metric
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.stats.axes import Axis, to_axis

if TYPE_CHECKING:
    from embedstore.store import Store

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]

#: Group of the points whose group is not known.
OTHER = "other"
#: Columns of points.
POINTS = MappingProxyType(
    {
        "source": pl.String,
        "model": pl.String,
        **FACTS,
        "x": pl.Float64,
        "y": pl.Float64,
        "n_x": pl.Int64,  # samples that x is a proportion of; null where that is not known
        "n_y": pl.Int64,
    }
)


@dataclass(frozen=True, slots=True)
class Places:
    """Points on the scales of a plot."""

    x: F64  # (N,) NaN where a model has no such figure
    y: F64  # (N,)
    clipped: Bool  # (N,) either was brought to half a sample from 0 or 1


def stored_points(store: Store, x: str, y: str, models: str = "*") -> pl.DataFrame:
    """Return the points of a store's models: columns `POINTS`, null what a model lacks.

    Raises
    ------
    EmbedStoreError
        If a text is no metric, or a model has several figures of one.
    """
    first, second = (stored_figures(store, Metric.parse(text), models) for text in (x, y))
    return _points(first, second, x, y)


def published_points(x: str, y: str, source: str) -> pl.DataFrame:
    """Return the points of the models that a source published: columns `POINTS`."""
    first, second = (published_figures(source, Metric.parse(text)) for text in (x, y))
    return _points(first, second, x, y)


def tabled_points(x: str, y: str, paths: str, group: str | None = None) -> pl.DataFrame:
    """Return the points of the models of a user's files, x and y columns: columns `POINTS`.

    `group` is a fact, or a column of the files that stands for the models' group.
    """
    first, second = (tabled_figures(paths, split(text)[0], group) for text in (x, y))
    return _points(first, second, x, y)


def split(text: str) -> tuple[str, str]:
    """Split `COLUMN=METRIC`: a column of a file, and what the same is in a store (or nothing)."""
    column, equals, metric = text.partition("=")
    return (column, metric) if equals and "?" not in column else (text, "")


def grouped(points: pl.DataFrame, column: str, *, tabled: bool = False) -> pl.DataFrame:
    """Add the column `by`: the models' group, of a column of `FACTS`, as a text.

    Parameters
    ----------
    points
        Columns `POINTS`.
    column
        Of `FACTS`, or of a user's files.
    tabled
        Whether such files are there: a column of theirs was taken for the group.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    """
    if tabled and column not in FACTS:
        column = "group"
    if column not in FACTS:
        raise UnknownNameError("fact to group models by", column, FACTS)
    return points.with_columns(by=pl.col(column).cast(pl.String).fill_null(OTHER))


def places(points: pl.DataFrame, axes: tuple[Axis, Axis], n_samples: int | None = None) -> Places:
    """Place points on two scales: N rows -> Places.

    Parameters
    ----------
    points
        Columns `POINTS`.
    axes
        Of x and of y.
    n_samples
        Of how many samples a figure is a proportion where that is not known.

    Raises
    ------
    EmbedStoreError
        If a value is no proportion and its scale wants one, or 0 or 1 of an unknown number.
    """
    x, clipped_x = place(points["x"], points["n_x"], axes[0], n_samples)
    y, clipped_y = place(points["y"], points["n_y"], axes[1], n_samples)
    return Places(x, y, clipped_x | clipped_y)


def place(
    values: pl.Series, counts: pl.Series, axis: Axis, n_samples: int | None = None
) -> tuple[F64, Bool]:
    """Place figures on a scale: (N,) values, (N,) samples -> (N,) places, (N,) which were clipped.

    What is null is NaN; `n_samples` stands for counts that are not known.
    """
    numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    n = counts.fill_null(n_samples or 0).to_numpy()
    counted, out, clipped = n > 0, np.empty(len(n)), np.zeros(len(n), np.bool_)
    out[counted], clipped[counted] = to_axis(numbers[counted], axis, n_samples=n[counted])
    try:
        out[~counted], _ = to_axis(numbers[~counted], axis)
    except EmbedStoreError as error:
        text = str(error).replace("give the number of samples", "say of how many: --n-samples")
        raise EmbedStoreError(text) from error
    return out, clipped


def _points(x: pl.DataFrame, y: pl.DataFrame, x_name: str, y_name: str) -> pl.DataFrame:
    """Put figures side by side: of a model's heads, those of the same prompts."""
    left, other = (
        figures.rename({"value": axis, "n_samples": f"n_{axis}"})
        for axis, figures in (("x", x), ("y", y))
    )
    right = other.select("source", "model", "head", "prompts", "y", "n_y")
    one = ["source", "model"]
    alike = ["prompts"] if _by_prompts(x, y) else []
    found = left.join(right, one + alike, suffix="_y", nulls_equal=True, maintain_order="left")
    several = found.filter(pl.struct(one).is_duplicated())
    if not several.is_empty():
        model = several["model"][0]
        heads = several.filter(pl.col("model") == model).select("head", "head_y")
        named = sorted({str(h) for column in heads for h in column if h is not None})
        raise EmbedStoreError(
            f"model {model!r} has {heads.height} pairs of {x_name} and {y_name}, of the heads "
            f"{', '.join(named)}; choose with head=..., globs parted by commas, in both"
        )
    lone = pl.concat([left, other], how="diagonal").join(found, one, how="anti")
    lone = lone.unique(one, keep="first", maintain_order=True)
    return pl.concat([found.select(*POINTS), lone.select(*POINTS)])


def _by_prompts(x: pl.DataFrame, y: pl.DataFrame) -> bool:
    """Whether a model has several heads, and both figures tell which one they are of."""
    known = all(figures["head"].null_count() == 0 for figures in (x, y))
    one = pl.struct("source", "model").is_duplicated().any()
    return known and any(figures.select(one).item() for figures in (x, y))
