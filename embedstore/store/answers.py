"""A language model's answers in a store: one table a data set and protocol.

Dimensions: N samples, R answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from embedstore import schema
from embedstore.errors import IdentityError, UnknownNameError
from embedstore.store import layout
from embedstore.store.contents import committed
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import commit, read_checked, read_manifest
from embedstore.store.names import checked_name
from embedstore.store.tables import from_parquet, to_parquet

TABLE = "table.parquet"


def save_answers(
    files: LocalFiles,
    model: str,
    dataset: str,
    protocol: str,
    answers: pl.DataFrame,
    facts: Mapping[str, Any],
) -> None:
    """Commit answers, or find them committed.

    Parameters
    ----------
    files, model, dataset, protocol
        Where they belong.
    answers
        R rows, the columns of `schema.ANSWERS`.
    facts
        `inputs`: digests of what they are from; and why a column is null.

    Raises
    ------
    IdentityError
        If the store has other answers there.
    """
    checked_name("protocol", protocol)
    folder = layout.answers(model, dataset, protocol)
    answers = answers.select(pl.col(name).cast(dtype) for name, dtype in schema.ANSWERS.items())
    contents = {TABLE: to_parquet(answers)}
    commit(files, folder, "answers", contents, {"n_rows": answers.height, **facts})
    if not load_answers(files, model, dataset, protocol).equals(answers):
        raise IdentityError(
            f"the store has other answers of {model!r} on {dataset!r} by protocol {protocol!r}; "
            f"remove them first: embedstore rm {files.root} --model {model} --data {dataset}"
        )


def load_answers(files: LocalFiles, model: str, dataset: str, protocol: str) -> pl.DataFrame:
    """Return a model's answers: R rows, the columns of `schema.ANSWERS`."""
    folder = layout.answers(model, dataset, protocol)
    manifest = read_manifest(files, folder)
    if manifest is None:
        known = protocols(files, model, dataset)
        raise UnknownNameError(f"answers of {model!r} on {dataset!r}", protocol, known)
    return from_parquet(read_checked(files, folder, TABLE, manifest))


def protocols(files: LocalFiles, model: str, dataset: str) -> list[str]:
    """Return the protocols by which a model's answers on a data set are there."""
    return committed(files, f"models/{model}/answers/{dataset}")
