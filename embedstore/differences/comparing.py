"""All differences of two stores: the one call of `embedstore diff`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from embedstore.differences.analyses import ACCURACY, compare_analysis
from embedstore.differences.asking import asked
from embedstore.differences.findings import findings_table
from embedstore.differences.ingredients import compare_ingredients
from embedstore.differences.lone import lone_findings
from embedstore.differences.pair import Pair
from embedstore.differences.runs import Comparison
from embedstore.store import Store

#: Absolute difference up to which numbers are the same: sums in another order, and no more.
TOLERANCE = 1e-9


def diff(
    a: Store,
    b: Store,
    *,
    models: str = "*",
    datasets: str = "*",
    analyses: Sequence[str] = (),
    tolerance: float = TOLERANCE,
    arrays: bool = False,
) -> pl.DataFrame:
    """Say which numbers differ between two stores, and what explains each.

    Models, data sets, heads and label spaces are matched by name, samples by id. Stores of the very
    same commits are known by their manifests, and nothing else is read.

    Parameters
    ----------
    a, b
        The stores.
    models, datasets
        Globs over names.
    analyses
        Analyses whose numbers are compared besides those of `accuracy`: names, perhaps with
        parameters, such as ``calibration?id_dataset=imagenet``.
    tolerance
        Absolute difference up to which numbers are the same.
    arrays
        Read embeddings and logits too, where their digests do not settle that they are the same.

    Returns
    -------
    pl.DataFrame
        Columns of `schema.across.DIFF`; no row where nothing differs.

    Raises
    ------
    EmbedStoreError
        If both are one store or share nothing, or an analysis lacks a parameter.
    StoreError
        If something is damaged; the message names the store.
    """
    pair = Pair.of(a, b, models, datasets)
    globs = {"models": models, "datasets": datasets}
    questions = [asked(words, globs) for words in dict.fromkeys([ACCURACY, *analyses])]
    if pair.same_commits():
        return findings_table([])
    findings = list(lone_findings(pair))
    ingredients, said = compare_ingredients(pair)
    findings += said
    causes, said = Comparison(pair, ingredients, tolerance, arrays).runs()
    findings += said
    for one in questions:
        findings += compare_analysis(pair, one, causes, ingredients, tolerance)
    return findings_table(findings)
