"""Outcomes as tables, and as commits of a store.

Dimensions: N samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from embedstore import schema
from embedstore.kernels.outcomes import Outcomes
from embedstore.store import Store, layout
from embedstore.store.manifest import commit, read_manifest
from embedstore.store.outcomes import SPACE, TABLE, OutcomeRun
from embedstore.store.records import Record, write_record
from embedstore.store.runs import clear_blocks
from embedstore.store.tables import to_parquet


def outcome_table(said: Outcomes) -> pl.DataFrame:
    """Return outcomes as a table: null where the picture failed, or the label is not known."""
    of_label = {"correct", "label_rank", "nll", "brier"}
    of_one_label = {"nll", "brier"}  # NaN where several classes are right
    columns: dict[str, Any] = {}
    for name, dtype in schema.OUTCOMES.items():
        known = said.valid & said.labelled if name in of_label else said.valid
        if name in of_one_label:
            known = known & ~np.isnan(getattr(said, name))
        column = pl.Series(name, getattr(said, name), dtype=dtype)
        columns[name] = column.set(pl.Series(~known), None)
    return pl.DataFrame(columns)


def save_outcomes(
    store: Store,
    run: OutcomeRun,
    table: pl.DataFrame,
    space: Record,
    facts: Mapping[str, Any],
) -> None:
    """Commit a table of outcomes, and what a reader must know of its label space.

    Parameters
    ----------
    store, run
        Where it belongs.
    table
        N rows, the columns of `schema.OUTCOMES`.
    space
        Name, class ids in the order in which predictions count them, rule and column of labels.
    facts
        `n_rows`, and `inputs`: digests of what they were computed from.
    """
    contents = {TABLE: to_parquet(table), SPACE: write_record(space)}
    commit(store.files, run.folder, "outcomes", contents, facts)
    clear_blocks(store.files, run.folder)


def is_judged(store: Store, run: OutcomeRun) -> bool:
    """Whether outcomes are committed, of the head that the model has now."""
    head = read_manifest(store.files, layout.head(run.model, run.head))
    outcomes_ = read_manifest(store.files, run.folder)
    if head is None or outcomes_ is None:
        return False
    return bool(outcomes_.facts["inputs"].get("head") == head.digest)


def is_finished(store: Store, run: OutcomeRun) -> bool:
    """Whether logits and outcomes are committed, of the head that the model has now."""
    logits = read_manifest(store.files, layout.logits(run.model, run.dataset, run.head))
    return logits is not None and is_judged(store, run)
