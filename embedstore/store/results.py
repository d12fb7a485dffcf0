"""Results of analyses that are kept: tables, with what they were computed from.

A cache: what is stale, damaged or cannot be written is computed again, and nothing says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import polars as pl

from embedstore.errors import DamagedError, StoreError
from embedstore.store import layout
from embedstore.store.files import LocalFiles
from embedstore.store.manifest import commit, read_checked, read_manifest
from embedstore.store.observing import Observation
from embedstore.store.records import digest_of_record, read_record, write_record
from embedstore.store.tables import from_parquet, to_parquet

TABLE, INPUTS = "table.parquet", "inputs.json"
_DIGITS = 16


def load_result(
    files: LocalFiles, analysis: str, parameters: Mapping[str, Any], version: str
) -> pl.DataFrame | None:
    """Return the table that an analysis gave before; None where it would not give the same now.

    Parameters
    ----------
    files
        The store's.
    analysis, parameters
        What is asked: the name, and JSON values of all parameters.
    version
        Of the code that computes it.
    """
    for folder in _kept(files, analysis, parameters):
        with suppress(DamagedError, FileNotFoundError):
            manifest = read_manifest(files, folder)
            if manifest is None:
                continue
            inputs = read_record(read_checked(files, folder, INPUTS, manifest), folder)
            if inputs["version"] == version and Observation.from_record(inputs["seen"]).holds(
                files
            ):
                return from_parquet(read_checked(files, folder, TABLE, manifest))
    return None


def save_result(
    files: LocalFiles,
    analysis: str,
    parameters: Mapping[str, Any],
    version: str,
    seen: Observation,
    table: pl.DataFrame,
) -> None:
    """Keep a table in place of what the same analysis gave before, if the store can be written.

    Parameters
    ----------
    files, analysis, parameters, version
        As in :func:`load_result`.
    seen
        What the analysis read of the store.
    table
        What it found.
    """
    inputs = {
        "analysis": analysis,
        "parameters": dict(parameters),
        "version": version,
        "seen": seen.record(),
    }
    key = f"{_asked(parameters)}-{digest_of_record(inputs)[:_DIGITS]}"
    folder = layout.result(analysis, key)
    contents = {INPUTS: write_record(inputs), TABLE: to_parquet(table)}
    with suppress(StoreError, OSError):
        for old in _kept(files, analysis, parameters):  # stale, damaged, or not wanted any more
            files.delete_folder(old)
        commit(files, folder, "result", contents, {"n_rows": table.height})


def _asked(parameters: Mapping[str, Any]) -> str:
    return digest_of_record(parameters)[:_DIGITS]


def _kept(files: LocalFiles, analysis: str, parameters: Mapping[str, Any]) -> list[str]:
    start = _asked(parameters)
    names = files.folders(layout.results(analysis))
    return [layout.result(analysis, name) for name in names if name.startswith(start)]
