"""A language model's answers in a store: one table a data set and protocol.

Dimensions: N samples, R answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from embedstore import schema
from embedstore.errors import IdentityError, UnknownNameError
from embedstore.store import layout
from embedstore.store.contents import committed
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import Manifest, commit, read_checked, read_manifest
from embedstore.store.names import checked_name
from embedstore.store.runs import (
    FAILURES_TABLE,
    BlockRun,
    Failure,
    clear_blocks,
    failures_table,
)
from embedstore.store.tables import from_parquet, to_parquet

TABLE = "table.parquet"


def save_answers(
    files: LocalFiles,
    model: str,
    dataset: str,
    protocol: str,
    answers: pl.DataFrame,
    facts: Mapping[str, Any],
    failures: Sequence[Failure] | None = None,
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
    failures
        Samples that could not be asked about; None where others asked.

    Raises
    ------
    IdentityError
        If the store has other answers there.
    """
    checked_name("protocol", protocol)
    folder = layout.answers(model, dataset, protocol)
    answers = answers.select(pl.col(name).cast(dtype) for name, dtype in schema.ANSWERS.items())
    contents = {TABLE: to_parquet(answers)}
    counts = {"n_rows": answers.height}
    if failures is not None:
        contents[FAILURES_TABLE] = to_parquet(failures_table(failures))
        counts["n_failures"] = len(failures)
    commit(files, folder, "answers", contents, {**counts, **facts})
    if not load_answers(files, model, dataset, protocol).equals(answers):
        raise IdentityError(
            f"the store has other answers of {model!r} on {dataset!r} by protocol {protocol!r}; "
            f"remove them first: embedstore rm {files.root} --model {model} --data {dataset} "
            f"--protocol {protocol}"
        )
    clear_blocks(files, folder)


def load_answers(files: LocalFiles, model: str, dataset: str, protocol: str) -> pl.DataFrame:
    """Return a model's answers: R rows, the columns of `schema.ANSWERS`."""
    folder = layout.answers(model, dataset, protocol)
    manifest = read_manifest(files, folder)
    if manifest is None:
        known = protocols(files, model, dataset)
        raise UnknownNameError(f"answers of {model!r} on {dataset!r}", protocol, known)
    return from_parquet(read_checked(files, folder, TABLE, manifest))


def answers_manifest(files: LocalFiles, model: str, dataset: str, protocol: str) -> Manifest | None:
    """Return the manifest of a model's answers; None where they are not finished."""
    return read_manifest(files, layout.answers(model, dataset, protocol))


def answer_failures(files: LocalFiles, model: str, dataset: str, protocol: str) -> pl.DataFrame:
    """Return the samples that could not be asked about: row, stage, reason; none of an import."""
    manifest = answers_manifest(files, model, dataset, protocol)
    if manifest is None or FAILURES_TABLE not in manifest.files:
        return failures_table(())
    folder = layout.answers(model, dataset, protocol)
    return from_parquet(read_checked(files, folder, FAILURES_TABLE, manifest))


def protocols(files: LocalFiles, model: str, dataset: str) -> list[str]:
    """Return the protocols by which a model's answers on a data set are there."""
    return committed(files, f"models/{model}/answers/{dataset}")


def answer_folders(files: LocalFiles, model: str, dataset: str, protocol: str) -> list[str]:
    """Return what is there by one protocol: outcomes of its answers, then these, begun ones too.

    Outcomes are a head's of the protocol's name; of an import, any that say protocol and file.
    """
    folder, heads = layout.answers(model, dataset, protocol), f"models/{model}/outcomes/{dataset}"
    manifest = read_manifest(files, folder)
    file = manifest.facts.get("inputs", {}).get("file") if manifest else None

    def ours(head: str) -> bool:
        if head == protocol:
            return not files.path(layout.logits(model, dataset, head)).is_dir()
        spaces = committed(files, f"{heads}/{head}")
        found = (read_manifest(files, layout.outcomes(model, dataset, head, s)) for s in spaces)
        said = [
            (m.facts.get("protocol"), m.facts.get("inputs", {}).get("file")) for m in found if m
        ]
        return file is not None and (protocol, file) in said

    return [*(f"{heads}/{head}" for head in files.folders(heads) if ours(head)), folder]


def asking_rows(files: LocalFiles, model: str, dataset: str) -> list[tuple[object, ...]]:
    """Return one row a protocol whose answers are under way, as `answers/PROTOCOL`."""
    rows: list[tuple[object, ...]] = []
    for protocol in files.folders(f"models/{model}/answers/{dataset}"):
        run = BlockRun.planned(files, layout.answers(model, dataset, protocol))
        if run is not None and run.manifest is None:
            counts = (run.plan.n_rows, len(run.failures()), 0)
            rows.append((model, dataset, f"answers/{protocol}", *counts, run.state))
    return rows
