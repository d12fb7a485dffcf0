"""Logits that others computed, under a native head: stored, and judged as they were given.

Dimensions: N samples, R rows of the file, C classes, B rows of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedstore.errors import DatasetError, IdentityError
from embedstore.heads.head import Head
from embedstore.heads.run import HeadRun, logits_plan
from embedstore.heads.stored import head_digest, load_head, save_head
from embedstore.importers.annotations import dataset_of
from embedstore.importers.classes import INTEGER
from embedstore.importers.embeddings import STAGE, input_digests, refuse_non_finite
from embedstore.importers.labels import (
    LabelFile,
    in_order_of,
    numbered,
    order_by_labels,
    read_labels,
    refuse_other_labels,
)
from embedstore.importers.matching import Match
from embedstore.importers.matrices import I64, Matrix
from embedstore.importers.models import imported_model
from embedstore.importers.report import Report
from embedstore.importers.rows import Ids, find_ids, match_rows, row_numbers
from embedstore.importers.samples import import_samples
from embedstore.labels import judgements
from embedstore.prompts import ClassList, imagenet
from embedstore.store import Store, layout
from embedstore.store.contents import committed
from embedstore.store.datasets import DatasetRecord
from embedstore.store.names import checked_name
from embedstore.store.pointers import write_pointer
from embedstore.store.runs import BlockRun, Failure

#: Names that arrays and columns of logits have.
USUAL = ("logits", "outputs", "scores", "predictions")
#: The head of logits of which nothing more is known.
IMPORTED = "imported"
BLOCK_ROWS = 8192
_BLOCK_BYTES = 2**27  # of a block's logits in float32, where there are many classes


@dataclass(frozen=True, slots=True)
class Target:
    """Where logits belong."""

    model: str
    dataset: str
    head: str = IMPORTED


def import_logits(
    store: Store,
    logits: Matrix,
    target: Target,
    *,
    labels: Path | None = None,
    classes: ClassList | None = None,
    ids: str | None = None,
    order: str | None = None,
    advance: Callable[[int], None] = lambda _n: None,
) -> Report:
    """Keep logits, and the outcomes of the numbers as given, in each label space that fits.

    A sample without a row, or with a row that is NaN throughout, is null. A data set that is not in
    the store is made of the labels.

    Parameters
    ----------
    store, logits, target
        From where to where.
    labels
        File of a label for each row: makes the data set, or else is compared with its labels.
    classes
        C classes in the order of the columns; where None, the data set's, or ImageNet's.
    ids
        File or column of the rows' ids; by their usual names where it is None.
    order
        Which order rows without ids are stated to have.
    advance
        Called with the samples done since the last call.

    Raises
    ------
    DatasetError
        If rows or columns cannot be told apart, or labels contradict the data set's.
    NonFiniteError
        If a row is NaN in part, or infinite.
    IdentityError
        If the store has another model, head or other logits there.
    """
    checked_name("model", target.model)
    checked_name("head", target.head)
    file = None if labels is None else read_labels(labels, logits.shape[0])
    found = find_ids(logits, ids)
    if file is not None:
        file = in_order_of(file, found)
        found = found or file.ids
    notices = []
    made = target.dataset not in store.datasets and file is not None
    if made:
        assert file is not None
        notices += _made(store, target.dataset, logits, file, found, classes)
    samples = dataset_of(store, target.dataset)
    columns = _columns(logits, classes, store.dataset(target.dataset))
    if file is not None and found is None and order is None:
        order, said = order_by_labels(store, target.dataset, file, columns, made=made)
        notices += said
    matched = match_rows(logits, found, samples["sample_id"], order, target.dataset)
    if file is not None:
        refuse_other_labels(store, target.dataset, file, columns, matched)
    rows = row_numbers(matched)
    head_run = _start(store, target, logits, columns, rows)
    already = head_run.run.manifest is not None
    n_absent = _write(head_run, logits, matched, rows, advance)
    write_pointer(store.files, target.model, target.dataset)
    notices += [*matched.notices(logits.path.name, target.dataset), *_nulls(head_run, n_absent)]
    what = f"{target.model} on {target.dataset}, head {target.head!r}: "
    return Report(f"{what}{len(rows):,} x {logits.shape[1]:,} logits", already, notices)


def _nulls(head_run: HeadRun, n_absent: int) -> list[str]:
    """Say what is null, and why."""
    notices = [f"{n_absent:,} samples have no logits: null"] if n_absent else []
    if not head_run.judgements[0].space.labelled:
        notices.append(
            f"the columns are not the classes of {head_run.dataset!r}: nothing is right or wrong"
        )
    return notices


def _made(
    store: Store,
    dataset: str,
    logits: Matrix,
    file: LabelFile,
    ids: Ids | None,
    classes: ClassList | None,
) -> list[str]:
    """Make a data set of the labels, in the order of the rows; return notices."""
    n_classes = logits.shape[1]
    if classes is None and n_classes == len(imagenet().ids):
        classes = imagenet()
    if classes is None:
        if not file.labels.drop_nulls().str.contains(INTEGER).all():
            raise DatasetError(
                f"labels of {file.table.path} are names, and nothing says which of the "
                f"{n_classes} columns of {logits.path} is which; name them in their order with "
                "--classes FILE"
            )
        numbers = tuple(map(str, range(n_classes)))
        classes = ClassList("", numbers, numbers)
    _check_count(logits, classes)
    table = numbered(file, ids)
    report = import_samples(
        store,
        table,
        dataset,
        id_column="sample_id" if "sample_id" in table.columns or ids is None else ids.column,
        label_column=file.column,
        classes=classes,
    )
    return [f"made of {table.path.name}: {report.what}", *report.notices]


def _columns(logits: Matrix, classes: ClassList | None, record: DatasetRecord) -> ClassList:
    """Return the classes of the columns: as the user says, the data set's, or ImageNet's."""
    n_classes = logits.shape[1]
    if classes is None and len(record.class_ids) == n_classes:
        classes = ClassList("", record.class_ids, record.class_names)
    if classes is None and n_classes == len(imagenet().ids):
        classes = imagenet()
    if classes is None:
        raise DatasetError(
            f"{logits.path} has {n_classes:,} columns, and data set {record.name!r} "
            f"{len(record.class_ids):,} classes; say what the columns are, in their order, with "
            "--classes imagenet or --classes FILE"
        )
    _check_count(logits, classes)
    return classes


def _check_count(logits: Matrix, classes: ClassList) -> None:
    if len(classes.ids) != logits.shape[1]:
        raise DatasetError(
            f"{logits.path} has {logits.shape[1]:,} columns, and {len(classes.ids):,} classes are "
            "named; give the list of the columns' classes: --classes imagenet or --classes FILE"
        )


def _start(store: Store, target: Target, logits: Matrix, columns: ClassList, rows: I64) -> HeadRun:
    """Record model and head, and plan the run, or take over the plan that is there."""
    imported_model(store, target.model, origin=logits.origin)
    _refuse_other_head(store, target, columns)
    save_head(store, target.model, target.head, Head(columns.ids, None), {"kind": "imported"})
    record, samples = store.dataset(target.dataset), store.samples(target.dataset)
    fitting = _BLOCK_BYTES // (4 * logits.shape[1])
    block_rows = min(BLOCK_ROWS, len(rows), max(1, fitting))
    inputs = {
        "fingerprint": record.fingerprint,
        **input_digests(logits, rows),
        "head": head_digest(store, target.model, target.head),
    }
    plan = logits_plan((len(rows), logits.shape[1]), (block_rows, block_rows), inputs)
    folder = layout.logits(target.model, target.dataset, target.head)
    run = BlockRun.start(store.files, folder, plan)
    head = load_head(store, target.model, target.head)
    judged = tuple(judgements(head.class_ids, record, samples))
    return HeadRun(store, target.model, target.dataset, target.head, head, judged, run)


def _refuse_other_head(store: Store, target: Target, columns: ClassList) -> None:
    """Refuse a name that a head of weights or of other classes has, or predictions have."""
    what = ""
    if target.head in store.heads(target.model):
        found = load_head(store, target.model, target.head)
        what = "" if found.native else "a head of weights"
        what = what or ("" if found.class_ids == columns.ids else "a head of other classes")
    folder = f"models/{target.model}/outcomes/{target.dataset}/{target.head}"
    logits = layout.logits(target.model, target.dataset, target.head)
    if committed(store.files, folder) and not BlockRun.planned(store.files, logits):
        what = what or "predictions without logits"
    if what:
        raise IdentityError(
            f"model {target.model!r} has {what} named {target.head!r} in the store; give these "
            "logits another name: --head NAME"
        )


def _write(
    head_run: HeadRun, logits: Matrix, matched: Match, rows: I64, advance: Callable[[int], None]
) -> int:
    """Write what is missing, and finish; return how many samples have no logits."""
    run = head_run.run
    reasons = {True: f"its row in {logits.path.name} is NaN", False: "it has no row"}
    for block in run.missing():
        start, stop = run.plan.rows(block)
        taken = logits.take(rows[start:stop])
        absent = np.asarray(np.isnan(taken).all(axis=1))
        with np.errstate(over="ignore"):
            values = taken.astype(np.float32)
        refuse_non_finite(taken, values, absent, rows[start:stop], logits.path)
        failures = [
            Failure(start + int(i), STAGE, reasons[bool(rows[start + i] >= 0)])
            for i in np.flatnonzero(absent)
        ]
        # There are no embeddings: a column of zeros stands for them, NaN where there are no logits.
        beside = np.where(absent, np.float16(np.nan), np.float16(0))[:, None]
        head_run.commit(block, beside, values, failures)
        advance(stop - start)
    manifest = run.finish(
        {
            "fingerprint": run.plan.inputs["fingerprint"],
            "provenance": {"kind": "imported", **logits.origin, **matched.facts()},
        }
    )
    head_run.finish()
    return int(manifest.facts["n_failures"])
