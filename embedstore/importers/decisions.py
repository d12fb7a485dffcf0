"""What a file says of samples: one class each, in any of the layouts that others write.

Dimensions: R rows of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from embedstore.errors import DatasetError, UnknownNameError
from embedstore.importers import model_vs_human, vlm_shapebias
from embedstore.importers.classes import class_texts
from embedstore.importers.matching import USUAL as USUAL_IDS
from embedstore.importers.matching import checked_ids
from embedstore.importers.tables import Table, numbers, texts

#: How far a confidence may exceed 1 by rounding.
ROUNDING = 1e-3
USUAL_PREDICTIONS = ("prediction", "predicted_class", "predicted_label", "pred_label", "pred")
USUAL_CONFIDENCES = ("confidence", "predicted_probability", "pred_conf", "probability")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file say what; None: by their usual names."""

    id: str | None = None
    prediction: str | None = None
    confidence: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a project's files keep what they say."""

    columns: Columns
    no_class: str = ""  # the answer that names no class
    picture_names: Callable[[pl.Series], pl.Series] = lambda names: names
    check: Callable[[Table], None] = lambda _table: None
    protocol: bool = True  # whether decisions mean nothing without it


#: By name.
LAYOUTS: Mapping[str, Layout] = {
    "columns": Layout(Columns(), protocol=False),
    "model-vs-human": Layout(
        Columns(*model_vs_human.COLUMNS),
        model_vs_human.NO_CLASS,
        model_vs_human.picture_names,
        model_vs_human.check,
    ),
    "vlm-shapebias": Layout(Columns(*vlm_shapebias.COLUMNS), vlm_shapebias.NO_CLASS),
}


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a file says, in its order."""

    ids: pl.Series  # (R,)
    predictions: pl.Series  # (R,) texts, null where there is none
    no_class: pl.Series  # (R,) whether the answer names no class
    confidences: pl.Series | None  # (R,) float64
    columns: Mapping[str, str]  # what was read -> column


def file_layout(name: str) -> Layout:
    """Return a layout by its name."""
    if name not in LAYOUTS:
        raise UnknownNameError("layout", name, LAYOUTS)
    return LAYOUTS[name]


def read_decisions(
    table: Table, layout: Layout, columns: Columns, *, allow_missing: bool = False
) -> Decisions:
    """Read one decision a row.

    Parameters
    ----------
    table, layout
        The file, and whose it is.
    columns
        What the user names instead of the layout's columns.
    allow_missing
        Take a NaN for a confidence that is not known.

    Raises
    ------
    DatasetError
        If a column is missing, an id is empty or stands twice, or a confidence is no probability.
    """
    layout.check(table)
    used = _used(table, layout.columns, columns)
    frame, where = table.select(list(dict.fromkeys(used.values()))), str(table.path)
    ids = layout.picture_names(checked_ids(texts(frame[used["id"]], where), where))
    said = class_texts(frame[used["prediction"]], where)
    no_class = (said == layout.no_class).fill_null(value=False)
    confidences = None
    if "confidence" in used:
        confidences = numbers(frame[used["confidence"]], where)
        _check_confidences(confidences, ids, said.is_not_null(), where, allow_missing=allow_missing)
        confidences = confidences.fill_nan(None).clip(upper_bound=1)
    return Decisions(ids, said.set(no_class, None), no_class, confidences, used)


def _used(table: Table, usual: Columns, wanted: Columns) -> dict[str, str]:
    ids = (usual.id,) if usual.id else USUAL_IDS
    predictions = (usual.prediction,) if usual.prediction else USUAL_PREDICTIONS
    used = {
        "id": table.find(wanted.id, ids, "--id"),
        "prediction": table.find(wanted.prediction, predictions, "--prediction"),
    }
    confidences = (usual.confidence,) if usual.confidence else USUAL_CONFIDENCES
    if wanted.confidence or any(c in table.columns for c in confidences):
        used["confidence"] = table.find(wanted.confidence, confidences, "--confidence")
    return used


def _check_confidences(
    confidences: pl.Series, ids: pl.Series, said: pl.Series, where: str, *, allow_missing: bool
) -> None:
    missing = ((confidences.is_null() | confidences.is_nan()) & said).arg_true()
    if len(missing) and not allow_missing:
        raise DatasetError(
            f"the confidence of {ids[missing[0]]!r} in {where} is missing or NaN, one of "
            f"{len(missing)}; mend them, or keep them as unknown with --allow-missing-confidence"
        )
    wrong = ~confidences.fill_nan(None).is_between(0, 1 + ROUNDING).fill_null(value=True)
    rows = wrong.arg_true()
    if len(rows):
        raise DatasetError(
            f"the confidence of {ids[rows[0]]!r} in {where} is {confidences[rows[0]]:g}, no "
            "probability; give numbers from 0 to 1, or name another column with --confidence"
        )
