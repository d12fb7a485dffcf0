"""Predictions that others computed, as outcomes: the class, whether it is right, its confidence.

There are no logits, so whatever needs them is null, and the record says why.

Dimensions: N samples, R rows of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from embedstore.errors import DatasetError, IdentityError, UnknownNameError
from embedstore.heads.outcomes import save_outcomes
from embedstore.importers.annotations import dataset_of
from embedstore.importers.classes import class_indices
from embedstore.importers.decisions import Columns, Decisions, file_layout, read_decisions
from embedstore.importers.matching import Match, match
from embedstore.importers.models import imported_model, spec_notices
from embedstore.importers.outcomes import Said, followed, said_outcomes
from embedstore.importers.report import Report
from embedstore.importers.tables import Table
from embedstore.labels import Judgement, class_map, judgement, judgements
from embedstore.prompts import ClassList
from embedstore.store import Store, layout
from embedstore.store.datasets import DatasetRecord
from embedstore.store.manifest import read_checked, read_manifest
from embedstore.store.names import checked_name
from embedstore.store.outcomes import TABLE, OutcomeRun
from embedstore.store.pointers import write_pointer
from embedstore.store.tables import from_parquet

#: The head of predictions of which nothing more is known.
IMPORTED = "imported"
#: How classes were asked for; numbers of different protocols are not to be compared.
PROTOCOLS = ("imagenet-1000", "names-16", "letters-16", "human")


@dataclass(frozen=True, slots=True)
class Target:
    """Where imported results belong."""

    model: str
    dataset: str
    head: str = ""  # by default the protocol, else `imported`
    protocol: str = ""
    spec: str | None = None  # of the model, where it is known
    spaces: Sequence[str] = ()  # label spaces to judge in, besides the data set's own

    @property
    def head_name(self) -> str:
        """The head's name."""
        return self.head or self.protocol or IMPORTED


def import_predictions(
    store: Store,
    table: Table,
    target: Target,
    *,
    columns: Columns | None = None,
    layout_name: str = "columns",
    allow_missing: bool = False,
) -> Report:
    """Keep one prediction a sample as outcomes; a sample without a row gets nulls.

    Parameters
    ----------
    store, table, target
        From where to where.
    columns
        Which columns say what, where their names do not.
    layout_name
        Whose file it is: `columns`, `model-vs-human`, `vlm-shapebias`.
    allow_missing
        Keep a NaN or empty confidence as unknown.

    Raises
    ------
    DatasetError
        If an id stands twice, none is a sample's, a class is unknown, or a confidence no
        probability.
    IdentityError
        If the store has other outcomes under this model, data set and head.
    """
    chosen = file_layout(layout_name)
    if chosen.protocol and not target.protocol:
        raise DatasetError(
            f"decisions of {table.path} mean nothing without their protocol; name it with "
            f"--protocol: {', '.join(PROTOCOLS)}"
        )
    if target.protocol and target.protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", target.protocol, PROTOCOLS)
    decisions = read_decisions(table, chosen, columns or Columns(), allow_missing=allow_missing)
    return save_decisions(store, table, target, decisions)


def save_decisions(store: Store, table: Table, target: Target, decisions: Decisions) -> Report:
    """Keep decisions as outcomes, in each label space that one class can be followed into.

    Parameters
    ----------
    store, table, target
        From where to where.
    decisions
        What the file says.
    """
    samples = dataset_of(store, target.dataset)
    record, where = store.dataset(target.dataset), str(table.path)
    check_target(store, target)
    classes = ClassList("", record.class_ids, record.class_names)
    indices = class_indices(decisions.predictions, decisions.ids, classes, where)
    matched = match(decisions.ids, samples["sample_id"], where, record.name)
    said = _gathered(decisions, indices, matched)
    judged = _judgements(target, record, samples)
    model = imported_model(store, target.model, spec=target.spec, origin=table.origin)
    facts = _facts(table, target, decisions, matched, record.fingerprint)
    already, notices = True, _notices(table, target, decisions, matched)
    notices += spec_notices(model, target.spec)
    for one in judged:
        place = followed(one, len(record.class_ids))
        if place is None:
            notices.append(
                f"label space {one.space.name!r} is passed over: it leaves out or averages "
                "classes, which needs logits"
            )
            continue
        outcomes, nulls = said_outcomes(one, place, said)
        already &= _save(store, target, one, outcomes, facts | {"nulls": nulls})
        notices += [n for n in reasons(nulls) if n not in notices]
    write_pointer(store.files, target.model, target.dataset)
    n_said = int((said.classes >= 0).sum())
    what = f"{target.model} on {target.dataset}, head {target.head_name!r}: {n_said:,} predictions"
    return Report(what, already, notices)


def _gathered(decisions: Decisions, indices: pl.Series, matched: Match) -> Said:
    """Bring what is said into the samples' order: (R,) -> (N,)."""
    found = decisions.confidences
    return Said(
        matched.gather(indices).fill_null(-1).to_numpy().astype(np.int64),
        matched.gather(decisions.no_class).fill_null(value=False).to_numpy(),
        None if found is None else matched.gather(found),
    )


def _judgements(target: Target, record: DatasetRecord, samples: pl.DataFrame) -> list[Judgement]:
    """Return the data set's own judgements, and those in the spaces that the user names."""
    judged = judgements(record.class_ids, record, samples)
    names = {j.space.name for j in judged}
    wanted = [class_map(space) for space in target.spaces]
    wanted = [mapped for mapped in wanted if mapped.name not in names]
    return judged + [judgement(mapped, record.class_ids, record, samples) for mapped in wanted]


def _facts(
    table: Table, target: Target, decisions: Decisions, matched: Match, fingerprint: str
) -> dict[str, object]:
    return {
        "n_rows": len(matched.rows),
        "inputs": {"file": table.digest, "fingerprint": fingerprint},
        "protocol": target.protocol,
        "provenance": {
            "kind": "imported",
            **table.origin,
            "columns": dict(decisions.columns),
            **matched.facts(),
            "n_answers_without_class": int(decisions.no_class.sum()),
        },
    }


def _save(
    store: Store,
    target: Target,
    judged: Judgement,
    outcomes: pl.DataFrame,
    facts: Mapping[str, object],
) -> bool:
    """Commit outcomes, or find the same; return whether they were there."""
    run = OutcomeRun(target.model, target.dataset, target.head_name, judged.space.name)
    already = read_manifest(store.files, run.folder) is not None
    save_outcomes(store, run, outcomes, judged.record(), facts)
    manifest = read_manifest(store.files, run.folder)
    assert manifest is not None
    found = from_parquet(read_checked(store.files, run.folder, TABLE, manifest))
    if not found.equals(outcomes):
        file = manifest.facts.get("provenance", {}).get("file", "a run of the model")
        raise IdentityError(
            f"the store has other outcomes of {target.model!r} on {target.dataset!r} under head "
            f"{target.head_name!r}, from {file}; give these another name with --head, or remove "
            f"those with: embedstore rm {store.files.root} --model {target.model} --data "
            f"{target.dataset}"
        )
    return already


def check_target(store: Store, target: Target) -> None:
    """Refuse names that cannot be, a data set without classes, a head that has logits."""
    checked_name("model", target.model)
    checked_name("head", target.head_name)
    if not store.dataset(target.dataset).class_ids:
        raise DatasetError(
            f"data set {target.dataset!r} has no classes that predictions could name; import it "
            "under another name with --label or --classes"
        )
    logits = layout.logits(target.model, target.dataset, target.head_name)
    if read_manifest(store.files, logits) is not None:
        raise IdentityError(
            f"the store has logits of {target.model!r} on {target.dataset!r} under head "
            f"{target.head_name!r}; give the predictions another name with --head"
        )


def _notices(table: Table, target: Target, decisions: Decisions, matched: Match) -> list[str]:
    used = ", ".join(f"{what} from {column!r}" for what, column in decisions.columns.items())
    notices = [f"read {used}", *matched.notices(table.path.name, target.dataset)]
    n_none = int(decisions.no_class.sum())
    if n_none:
        notices.append(f"{n_none:,} answers name no class: prediction null, counted as wrong")
    n_empty = decisions.predictions.null_count() - n_none
    if n_empty:
        notices.append(f"{n_empty:,} rows have no prediction: null")
    return notices


def reasons(nulls: Mapping[str, str]) -> list[str]:
    """Say which columns are null and why, a line a reason."""
    columns: dict[str, list[str]] = {}
    for column, reason in nulls.items():
        columns.setdefault(reason, []).append(column)
    return [f"null: {', '.join(names)} ({reason})" for reason, names in columns.items()]
