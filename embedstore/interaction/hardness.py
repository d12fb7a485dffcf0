"""Classes that are hard or easy for a model, chosen on one half of the samples for the other.

Halves are parted by a hash of sample ids: chance errors of one half do not choose what is measured
on it, so that noise does not regress to the mean.

Dimensions: N samples.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from embedstore.errors import EmbedStoreError
from embedstore.heads.splits import hashed

Side = Literal["hardest", "easiest"]
SIDES: tuple[Side, ...] = ("hardest", "easiest")

#: Share of the classes that are hard, and that are easy.
QUANTILE = 0.25


def on_classes(
    judged: pl.DataFrame, by: str, side: Side, *, dataset: str, seed: int = 0
) -> pl.DataFrame:
    """Return the samples of classes that are hard or easy on the half that they are not in.

    Parameters
    ----------
    judged
        (N,) rows with `sample_id`, `label`, and who is right.
    by
        Column of who is right, which makes a class hard.
    side
        Which classes.
    dataset
        For messages.
    seed
        Of the halves.

    Raises
    ------
    EmbedStoreError
        If no class has samples in both halves.
    """
    ids = judged["sample_id"].to_list()
    first = pl.Series(hashed(ids, seed, "hard classes") < 0.5)
    halves = judged.filter(~first), judged.filter(first)
    parts = [
        half.join(chosen_classes(other, by, side), "label", "semi", maintain_order="left")
        for half, other in (halves, halves[::-1])
    ]
    kept = pl.concat(parts)
    if kept.is_empty():
        raise EmbedStoreError(
            f"no class of {dataset!r} has samples in both halves; compare language models on more "
            "samples"
        )
    return kept


def chosen_classes(judged: pl.DataFrame, by: str, side: Side) -> pl.DataFrame:
    """Return the hard or easy classes by column `by`: N rows -> `label`, a row a class."""
    accuracy = judged.group_by("label").agg(pl.col(by).mean()).sort("label")
    if side == "hardest":
        chosen = pl.col(by) <= pl.col(by).quantile(QUANTILE, "lower")
    else:
        chosen = pl.col(by) >= pl.col(by).quantile(1 - QUANTILE, "higher")
    return accuracy.filter(chosen).select("label")
