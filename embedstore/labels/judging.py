"""Judging a data set: its labels brought into each label space that fits a head.

Dimensions: N samples, C classes of the head, S classes of the space, M right classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt
import polars as pl

from embedstore.errors import DatasetError
from embedstore.kernels.outcomes import Outcomes
from embedstore.labels.class_map import ClassMap, class_map
from embedstore.labels.right import Labels
from embedstore.labels.space import LabelSpace, label_space
from embedstore.store.datasets import DatasetRecord
from embedstore.store.records import Record

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A label space, and what is right in it for each sample of a data set."""

    space: LabelSpace
    labels: Labels  # N samples
    rule: str = "max"
    column: str = "label"  # of the samples that the labels are from
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of a class map

    def __call__(self, logits: F32, start: int, failed: npt.NDArray[np.bool_]) -> Outcomes:
        """Judge a head's logits of the rows from `start` on: (B, C), (B,) -> columns of (B,)."""
        return self.labels.outcomes(self.space.cut(logits), start, failed)

    def record(self) -> Record:
        """Return what a reader of the outcomes must know of the space, as JSON values."""
        return {
            "name": self.space.name,
            "class_ids": list(self.space.class_ids),
            "rule": self.rule,
            "labels": self.column if self.space.labelled else "",
            "members": {class_id: list(members) for class_id, members in self.members.items()},
        }


def judgements(
    head_ids: Sequence[str], dataset: DatasetRecord, samples: pl.DataFrame
) -> list[Judgement]:
    """Return every judgement of a data set that fits a head.

    Its own label space comes first, unless the head does not know its classes and a class map of
    its record brings the two together; then those class maps.

    Parameters
    ----------
    head_ids
        (C,) class ids of the head.
    dataset
        The data set's record: its classes, and the class maps that it is to be judged in.
    samples
        N rows, annotations beside them.
    """
    own = label_space(head_ids, dataset.class_ids, dataset.name)
    labels = samples["label"].fill_null(-1).to_numpy().astype(np.int64)
    found = [Judgement(own, Labels(labels) if own.labelled else Labels.none(len(labels)))]
    for name in dataset.spaces:
        mapped = class_map(name)
        if name != own.name and not obstacle(mapped, head_ids, dataset, samples.columns):
            found.append(judgement(mapped, head_ids, dataset, samples))
    return found[1:] if len(found) > 1 and not own.labelled else found


def obstacle(
    mapped: ClassMap, head_ids: Sequence[str], dataset: DatasetRecord, columns: Sequence[str]
) -> str:
    """Say why a data set cannot be judged in a class map under a head; empty where it can."""
    if mapped.labels not in columns:
        return (
            f"it has no column {mapped.labels!r}; bring it in with: embedstore import annotations"
        )
    if not dataset.class_ids:
        return "it has no classes; give it labels, or choose another data set"
    known = set(head_ids)
    if not mapped.members and not set(dataset.class_ids) <= known:
        return "the head does not know all of its classes; choose another head"
    for class_id, members in mapped.members.items():
        if class_id not in known and not known.issuperset(members):
            return (
                f"the head lacks members of class {class_id!r}; choose one that has all of "
                f"{', '.join(members)}"
            )
    class_of = mapped.class_of
    if mapped.members and not any(i in class_of for i in dataset.class_ids):
        return "none of its classes is in the label space; choose another space"
    return ""


def judgement(
    mapped: ClassMap, head_ids: Sequence[str], dataset: DatasetRecord, samples: pl.DataFrame
) -> Judgement:
    """Return the judgement of a data set in a class map under a head.

    Raises
    ------
    DatasetError
        If there is an obstacle, or the column of labels holds no class ids and no indices.
    """
    problem = obstacle(mapped, head_ids, dataset, samples.columns)
    if problem:
        raise DatasetError(
            f"data set {dataset.name!r} cannot be judged in label space {mapped.name!r}: {problem}"
        )
    members = mapped.members or {class_id: (class_id,) for class_id in dataset.class_ids}
    column = {class_id: i for i, class_id in enumerate(head_ids)}
    columns = {  # a head that lacks members is over the space's own classes
        class_id: [column[m] for m in (names if column.keys() >= set(names) else (class_id,))]
        for class_id, names in members.items()
    }
    class_of = mapped.class_of or {class_id: class_id for class_id in dataset.class_ids}
    right = _right_ids(samples, mapped.labels, dataset, class_of.keys())
    if mapped.rule == "allowed":
        return _allowed(mapped, tuple(head_ids), columns, class_of, right)
    position = {class_id: i for i, class_id in enumerate(members)}
    targets = {i: [position[c]] for i, c in class_of.items() if c in position}
    space = LabelSpace(
        mapped.name,
        tuple(members),
        np.concatenate([np.array(c, np.int64) for c in columns.values()]),
        None if all(len(c) == 1 for c in columns.values()) else _offsets(list(columns.values())),
        mapped.rule,
    )
    labels = _labels(right, targets)
    return Judgement(space, labels, mapped.rule, mapped.labels, mapped.members)


def _allowed(
    mapped: ClassMap,
    head_ids: tuple[str, ...],
    columns: Mapping[str, list[int]],
    class_of: Mapping[str, str],
    right: pl.Series,
) -> Judgement:
    """All members compete, as the head counts them; every member of the label's class is right."""
    kept = sorted({c for group in columns.values() for c in group})
    place = {column: i for i, column in enumerate(kept)}
    targets = {i: sorted(place[c] for c in columns[class_id]) for i, class_id in class_of.items()}
    space = LabelSpace(mapped.name, tuple(head_ids[c] for c in kept), np.array(kept, np.int64))
    labels = _labels(right, targets)
    return Judgement(space, labels, mapped.rule, mapped.labels, mapped.members)


def _right_ids(
    samples: pl.DataFrame, column: str, dataset: DatasetRecord, known: Iterable[str]
) -> pl.Series:
    """Return the class ids that are right for each sample, one or a list of them each: (N,)."""
    values = samples[column]
    values = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
    several = isinstance(values.dtype, pl.List)
    flat = values.list.explode(keep_nulls=False, empty_as_null=False) if several else values
    ids = _class_ids(flat, dataset)
    found = set(ids.drop_nulls().unique())
    if found and found.isdisjoint([*known, *dataset.class_ids]):
        raise DatasetError(
            f"column {column!r} of data set {dataset.name!r} holds no class id (but "
            f"{min(found)!r}, where one is {dataset.class_ids[0]!r}); give ids, or indices"
        )
    if not several:
        return ids
    named = iter(ids)
    rows = [list(islice(named, n)) for n in values.list.len().fill_null(0)]
    return pl.Series(rows, dtype=pl.List(pl.String))


def _class_ids(labels: pl.Series, dataset: DatasetRecord) -> pl.Series:
    """Return class ids of ids, or of indices into the data set's classes; nulls stay."""
    if labels.dtype.is_integer():
        n_classes, present = len(dataset.class_ids), labels.drop_nulls().to_numpy()
        if len(present) and not 0 <= present.min() <= present.max() < n_classes:
            raise DatasetError(
                f"column {labels.name!r} of data set {dataset.name!r} holds a label that is none "
                f"of its {n_classes} classes; give 0 to {n_classes - 1}"
            )
        return pl.Series(dataset.class_ids, dtype=pl.String).gather(labels)
    if isinstance(labels.dtype, pl.String | pl.Categorical | pl.Enum | pl.Null):
        return labels.cast(pl.String)
    raise DatasetError(
        f"column {labels.name!r} of data set {dataset.name!r} holds {labels.dtype}; labels are "
        "class ids, or whole numbers from 0: convert it"
    )


def _labels(right: pl.Series, targets: Mapping[str, list[int]]) -> Labels:
    """Bring class ids into the space; one a sample stays one where every target is single."""
    single = not isinstance(right.dtype, pl.List)
    if single and all(len(target) == 1 for target in targets.values()):
        known = {class_id: target[0] for class_id, target in targets.items()}
        classes = right.replace_strict(known, default=-1, return_dtype=pl.Int64)
        return Labels(classes.fill_null(-1).to_numpy())
    rows = [[i] for i in right.to_list()] if single else [row or [] for row in right.to_list()]
    groups = [sorted({t for i in row for t in targets.get(i, [])}) for row in rows]
    return Labels(np.array([c for group in groups for c in group], np.int64), _offsets(groups))


def _offsets(groups: Sequence[Sequence[int]]) -> I64:
    return np.concatenate([[0], np.cumsum([len(g) for g in groups])]).astype(np.int64)
