"""Classes that are hard or easy for a model, chosen on one half of the samples for the other.

Halves are parted by a hash of sample ids: chance errors of one half do not choose what is measured
on it, so that noise does not regress to the mean.

Dimensions: N samples, C classes that have samples in both halves.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import polars as pl

from embedstore.errors import EmbedStoreError
from embedstore.heads.splits import hashed
from embedstore.store.datasets import DatasetRecord

Side = Literal["hardest", "easiest"]
SIDES: tuple[Side, ...] = ("hardest", "easiest")

#: Share of the classes that are hard, and that are easy.
QUANTILE = 0.25


@dataclass(frozen=True, slots=True)
class OnClasses:
    """The samples of hard or of easy classes."""

    samples: pl.DataFrame  # rows of those judged
    note: str | None  # that chance has chosen some of the classes


def on_classes(
    judged: pl.DataFrame, by: str, side: Side, record: DatasetRecord, *, seed: int = 0
) -> OnClasses:
    """Return the samples of classes that are hard or easy on the half that they are not in.

    Parameters
    ----------
    judged
        (N,) rows with `sample_id`, `label`, and who is right.
    by
        Column of who is right, which makes a class hard.
    side
        Which classes.
    record
        Of the data set, whose classes labels count.
    seed
        Of the halves, and of the order of classes of equal accuracy.

    Raises
    ------
    EmbedStoreError
        If fewer than two classes have samples in both halves.
    """
    first = pl.Series(hashed(judged["sample_id"].to_list(), seed, "hard classes") < 0.5)
    halves = judged.filter(~first), judged.filter(first)
    kept, n_tied = [], 0
    for half, other in (halves, halves[::-1]):
        there = other.join(half, "label", "semi")
        chosen, tied = chosen_classes(there, by, side, record, seed=seed)
        kept.append(half.join(chosen, "label", "semi", maintain_order="left"))
        n_tied = max(n_tied, tied)
    samples = pl.concat(kept)
    if samples.is_empty():
        raise EmbedStoreError(
            f"fewer than two classes of {record.name!r} have samples in both halves, of which one "
            "chooses hard classes for the other; compare language models on more samples"
        )
    note = (
        f"the {side} classes end among {n_tied:,} of equal accuracy, of which a hash of class ids "
        "chooses"
    )
    return OnClasses(samples, note if n_tied else None)


def chosen_classes(
    judged: pl.DataFrame, by: str, side: Side, record: DatasetRecord, *, seed: int = 0
) -> tuple[pl.DataFrame, int]:
    """Return the hard or easy classes by column `by`, and among how many equal ones they end.

    As many are hard as are easy, a quarter rounded up, and none is both.

    Returns
    -------
    pl.DataFrame
        `label`, a row a class; none where there are fewer than two classes.
    int
        0 where the last that is chosen and the first that is not differ.
    """
    accuracy = judged.group_by("label").agg(pl.col(by).mean())
    ids = pl.Series(record.class_ids, dtype=pl.String).gather(accuracy["label"])
    ordered = accuracy.with_columns(
        chance=pl.Series(hashed(ids.to_list(), seed, "classes of equal accuracy"))
    ).sort(by, "chance", descending=side == "easiest")
    if ordered.height < 2:
        return ordered.select("label").clear(), 0
    n_chosen = ceil(QUANTILE * ordered.height)
    last, next_ = ordered[by][n_chosen - 1], ordered[by][n_chosen]
    n_tied = int((ordered[by] == last).sum()) if last == next_ else 0
    return ordered.select("label").head(n_chosen), n_tied
