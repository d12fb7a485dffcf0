"""A language model's answers that others recorded: what was asked, what it said, what that means.

Dimensions: N samples, R answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

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
from embedstore.importers.matching import RepeatedError, match
from embedstore.importers.models import imported_model
from embedstore.importers.predictions import Target, check_target, reasons, save_decisions
from embedstore.importers.report import Report
from embedstore.importers.tables import Table, texts, typed
from embedstore.interaction import deciding
from embedstore.interaction.options import check_options, named_classes
from embedstore.prompts import ClassList
from embedstore.store import Store
from embedstore.store.answers import protocols, save_answers
from embedstore.store.datasets import DatasetRecord

#: Columns of `schema.ANSWERS` that a file may have -> what else they are called.
USUAL = {
    "order": (),
    "question": ("prompt",),
    "options": ("choices",),
    "option_classes": (),
    "scores": (),
    "scores_per_token": (),
    "answer": (vlm_shapebias.ANSWER,),
    "text": ("raw_text", "raw", "output"),
}


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """Which columns of a file say what, besides the decisions; None: by their usual names."""

    answer: str | None = None
    text: str | None = None


@contextmanager
def _several_orders() -> Iterator[None]:
    """Say of rows about one sample that each may be an order of its options: to be kept too."""
    try:
        yield
    except RepeatedError as error:
        remedy = "number them in a column order, from 0, if options were put in several"
        raise RepeatedError(error.what, f"{remedy}; else keep one") from error


@_several_orders()
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

    Where a sample was asked about in several orders, one row each (column `order`), the outcomes
    are what its answers decide together (:func:`embedstore.interaction.deciding.decisions`).

    Raises
    ------
    DatasetError
        If an id is none, stands twice in an order, or a class is unknown; if options are not what
        their classes say, or other orders offer.
    IdentityError
        If the store has other answers there.
    """
    if not target.protocol:
        raise DatasetError(f"answers of {table.path} need a protocol; name it with --protocol")
    samples = dataset_of(store, target.dataset)
    layout = file_layout(layout_name)
    columns, answer_columns = columns or Columns(), answer_columns or AnswerColumns()
    parts = _by_order(table)
    said = [read_decisions(part, layout, columns, allow_missing=True) for part in parts]
    check_target(store, target)
    found = [
        _answers(store, part, target, one, samples["sample_id"], answer_columns)
        for part, one in zip(parts, said, strict=True)
    ]
    answers = pl.concat(frame for frame, *_ in found).sort("sample_index", "order")
    nulls = found[0][1]
    record, where = store.dataset(target.dataset), str(table.path)
    check_options(answers, record, samples["sample_id"], where)
    facts = {
        "inputs": {"file": table.digest, "fingerprint": record.fingerprint},
        "provenance": {"kind": "imported", **table.origin},
        "nulls": nulls,
    }
    imported_model(store, target.model, spec=target.spec, origin=table.origin)
    there = target.protocol in protocols(store.files, target.model, target.dataset)
    save_answers(store.files, target.model, target.dataset, target.protocol, answers, facts)
    together, unsure = said[0], list[str]()
    if len(said) > 1:
        score = deciding.score_of("auto", target.protocol)
        together, unsure = _together(answers, said, samples, record, where, score)
    outcomes = save_decisions(store, table, target, together)
    place = f"{target.model} on {target.dataset}, protocol {target.protocol!r}"
    notices = [*outcomes.notices, *(notice for *_, of_order in found for notice in of_order)]
    notices += [*unsure, *(f"answers: {reason}" for reason in reasons(nulls))]
    already = there and outcomes.already
    return Report(f"{place}: {answers.height:,} answers", already, list(dict.fromkeys(notices)))


def _answers(
    store: Store,
    table: Table,
    target: Target,
    decisions: Decisions,
    sample_ids: pl.Series,
    columns: AnswerColumns,
) -> tuple[pl.DataFrame, dict[str, str], list[str]]:
    """Return a row an answer, in the samples' order; why a column is null; and notices."""
    where, record = str(table.path), store.dataset(target.dataset)
    classes = ClassList("", record.class_ids, record.class_names)
    matched = match(decisions.ids, sample_ids, where, target.dataset)
    found = _columns(table, columns)
    read = table.select(list(found.values())) if found else pl.DataFrame()
    kept: dict[str, pl.Series] = {
        name: _in_type(read[column], name, where)
        for name, column in found.items()
        if name != "option_classes"
    }
    if "option_classes" in found:
        kept["option_classes"] = _given_classes(read[found["option_classes"]], record, where)
    elif "options" in kept:
        kept["option_classes"] = named_classes(kept["options"], record)
    kept["prediction"] = class_indices(decisions.predictions, decisions.ids, classes, where)
    kept["order"] = kept.get("order", pl.Series([0] * len(decisions.ids)))
    empty = pl.Series([None] * len(decisions.ids))
    if decisions.no_class.any():  # an answer, and not none
        answer = kept.get("answer", empty.cast(pl.String))
        kept["answer"] = answer.set(decisions.no_class & answer.is_null(), vlm_shapebias.NO_CLASS)
    frame = pl.DataFrame({name: kept.get(name, empty) for name in schema.ANSWERS})
    rows = pl.DataFrame({"row": matched.rows}).with_row_index("sample").drop_nulls("row")
    frame = frame[rows["row"]].with_columns(sample_index=rows["sample"])
    frame = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.ANSWERS.items())
    lacking = [name for name in USUAL if name not in kept]
    nulls = dict.fromkeys(lacking, "the file has no such column")
    if "options" in kept and not frame["option_classes"].count():
        nulls["option_classes"] = "options name no classes of the data set"
    return frame, nulls, matched.notices(table.path.name, target.dataset)


def _by_order(table: Table) -> list[Table]:
    """Return the rows of each order in which options were put, in the order of the file."""
    if "order" not in table.columns:
        return [table]
    orders = table.select(["order"])["order"].unique(maintain_order=True)
    return [replace(table, lazy=table.lazy.filter(pl.col("order").eq_missing(o))) for o in orders]


def _together(
    answers: pl.DataFrame,
    said: Sequence[Decisions],
    samples: pl.DataFrame,
    record: DatasetRecord,
    where: str,
    score: deciding.Score,
) -> tuple[Decisions, list[str]]:
    """Return one decision a sample over all orders, and what to know about them."""
    ids = samples["sample_id"]
    found = deciding.decisions(answers, score, f"answers of {where}", ids)
    joint = found.samples
    class_ids = pl.Series(record.class_ids, dtype=pl.String)
    columns = {k: v for k, v in said[0].columns.items() if k != "confidence"}
    together = Decisions(
        ids.gather(joint["sample_index"]),
        class_ids.gather(joint["decision"]),
        joint["decision"].is_null(),
        None,
        columns,
    )
    n_tied = int(joint["tied"].sum())
    tied = (
        f"the answers about {n_tied:,} samples tie: of mean scores the lower class decides, of "
        "classes named as often the one that a hash of the sample's id draws"
    )
    return together, [*([found.note] if found.note else []), *([tied] if n_tied else [])]


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


def _given_classes(column: pl.Series, record: DatasetRecord, where: str) -> pl.Series:
    """Return a column of lists of classes as indices: (R,) indices, or ids or names."""
    lists = typed(column)
    if lists.dtype == pl.List(pl.String):
        classes = named_classes(lists, record)
    else:
        classes = _in_type(column, "option_classes", where)
    wrong = (classes.is_null() & column.is_not_null()).arg_true()
    if len(wrong):
        raise DatasetError(
            f"row {wrong[0] + 1} of {where} has option_classes that are not all classes of "
            f"{record.name!r}; write indices, ids or names of these"
        )
    return classes
