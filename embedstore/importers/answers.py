"""A language model's answers that others recorded: what was asked, what it said, what that means.

Dimensions: N samples, R answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from embedstore import schema
from embedstore.errors import DatasetError
from embedstore.importers import vlm_shapebias
from embedstore.importers.annotations import dataset_of
from embedstore.importers.classes import class_indices
from embedstore.importers.decisions import (
    Columns,
    Decisions,
    file_layout,
    read_decisions,
)
from embedstore.importers.matching import match
from embedstore.importers.models import imported_model
from embedstore.importers.predictions import Target, check_target, reasons, save_decisions
from embedstore.importers.report import Report
from embedstore.importers.tables import Table, texts, typed
from embedstore.prompts import ClassList
from embedstore.store import Store
from embedstore.store.answers import protocols, save_answers

#: Columns of `schema.ANSWERS` that a file may have -> what else they are called.
USUAL = {
    "order": (),
    "question": ("prompt",),
    "options": ("choices",),
    "scores": (),
    "answer": (vlm_shapebias.ANSWER,),
    "text": ("raw_text", "raw", "output"),
}


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """Which columns of a file say what, besides the decisions; None: by their usual names."""

    answer: str | None = None
    text: str | None = None


def import_answers(
    store: Store,
    table: Table,
    target: Target,
    *,
    columns: Columns | None = None,
    answer_columns: AnswerColumns | None = None,
    layout_name: str = "columns",
) -> Report:
    """Keep answers, and as outcomes the classes that they stand for.

    Parameters
    ----------
    store, table, target
        From where to where; the target's protocol names the answers.
    columns, answer_columns
        Which columns say what, where their names do not.
    layout_name
        Whose file it is: `columns`, `vlm-shapebias`.

    Raises
    ------
    DatasetError
        If an id is none, stands twice, or a class is unknown.
    IdentityError
        If the store has other answers there.
    """
    if not target.protocol:
        raise DatasetError(f"answers of {table.path} need a protocol; name it with --protocol")
    samples = dataset_of(store, target.dataset)
    layout = file_layout(layout_name)
    decisions = read_decisions(table, layout, columns or Columns(), allow_missing=True)
    check_target(store, target)
    answers, nulls = _answers(store, table, target, decisions, samples["sample_id"], answer_columns)
    facts = {
        "inputs": {"file": table.digest, "fingerprint": store.dataset(target.dataset).fingerprint},
        "provenance": {"kind": "imported", **table.origin},
        "nulls": nulls,
    }
    imported_model(store, target.model, spec=target.spec, origin=table.origin)
    there = target.protocol in protocols(store.files, target.model, target.dataset)
    save_answers(store.files, target.model, target.dataset, target.protocol, answers, facts)
    outcomes = save_decisions(store, table, target, decisions)
    place = f"{target.model} on {target.dataset}, protocol {target.protocol!r}"
    notices = [f"answers: {reason}" for reason in reasons(nulls)]
    return Report(
        f"{place}: {answers.height:,} answers",
        there and outcomes.already,
        [*outcomes.notices, *notices],
    )


def _answers(
    store: Store,
    table: Table,
    target: Target,
    decisions: Decisions,
    sample_ids: pl.Series,
    columns: AnswerColumns | None,
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return a row an answer, in the samples' order, and why a column is null where it is."""
    where, record = str(table.path), store.dataset(target.dataset)
    classes = ClassList("", record.class_ids, record.class_names)
    matched = match(decisions.ids, sample_ids, where, target.dataset)
    found = _columns(table, columns or AnswerColumns())
    read = table.select(list(found.values())) if found else pl.DataFrame()
    kept: dict[str, pl.Series] = {
        name: _in_type(read[column], name, where) for name, column in found.items()
    }
    kept["prediction"] = class_indices(decisions.predictions, decisions.ids, classes, where)
    kept["order"] = kept.get("order", pl.Series([0] * len(decisions.ids)))
    empty = pl.Series([None] * len(decisions.ids))
    frame = pl.DataFrame({name: kept.get(name, empty) for name in schema.ANSWERS})
    rows = pl.DataFrame({"row": matched.rows}).with_row_index("sample").drop_nulls("row")
    frame = frame[rows["row"]].with_columns(sample_index=rows["sample"])
    frame = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.ANSWERS.items())
    lacking = [name for name in USUAL if name not in kept]
    return frame, dict.fromkeys(lacking, "the file has no such column")


def _columns(table: Table, columns: AnswerColumns) -> dict[str, str]:
    found = {}
    wanted = {"answer": columns.answer, "text": columns.text}
    for name, others in USUAL.items():
        usual: Sequence[str] = (name, *others)
        if wanted.get(name) or any(column in table.columns for column in usual):
            found[name] = table.find(wanted.get(name), usual, f"--{name}")
    return found


def _in_type(column: pl.Series, name: str, where: str) -> pl.Series:
    """Return a column as `schema.ANSWERS` has it; a CSV holds lists as JSON."""
    dtype = schema.ANSWERS[name]
    try:
        return (texts(column, where) if dtype == pl.String else typed(column)).cast(dtype)
    except pl.exceptions.PolarsError as error:
        raise DatasetError(
            f"column {column.name!r} of {where} holds {column.dtype} where {name} are {dtype}; "
            "write lists as JSON, or rename the column"
        ) from error
