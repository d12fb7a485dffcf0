"""A data set from a table: ids and labels of pictures that are not at hand.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from embedstore import schema
from embedstore.errors import DatasetError, UnknownNameError
from embedstore.importers.annotations import save_columns
from embedstore.importers.classes import class_indices, class_texts, own_classes
from embedstore.importers.matching import USUAL, checked_ids, sample_ids
from embedstore.importers.report import Report
from embedstore.importers.stimuli import USUAL as USUAL_STIMULI
from embedstore.importers.stimuli import cue_conflict
from embedstore.importers.tables import Table, texts
from embedstore.labels import class_map
from embedstore.prompts import ClassList, imagenet
from embedstore.store import Store
from embedstore.store.datasets import DatasetRecord, fingerprint, save_dataset
from embedstore.store.tables import table as frame_of

USUAL_LABELS = ("label", "wnid", "class_name", "class", "class_index", "target")
#: Annotations that come with the samples.
SOURCE = "source"
LAYOUTS = ("columns", "cue-conflict")


def import_samples(
    store: Store,
    table: Table,
    dataset: str,
    *,
    id_column: str | None = None,
    label_column: str | None = None,
    classes: ClassList | None = None,
    layout: str = "columns",
    spaces: Sequence[str] = (),
    captions: Sequence[str] = (),
) -> Report:
    """Make a data set of a table's rows, without pictures; other columns become annotations.

    Its fingerprint covers ids and labels alone, so it is another data set than the one that an
    encoder makes of the pictures.

    Parameters
    ----------
    store, table, dataset
        From where, and under which name.
    id_column, label_column
        Columns of ids and labels; by their usual names where they are None.
    classes
        The data set's classes; where None, ImageNet's if the labels are its WordNet ids, its names
        or all its numbers, else those that occur.
    layout
        `cue-conflict`: labels, shapes and textures are in the names of the pictures.
    spaces
        Label spaces to judge it in, besides its own.
    captions
        Text sets of its captions.

    Raises
    ------
    DatasetError
        If an id is empty or stands twice, a label is none of the classes, or the store has another
        data set of that name.
    """
    for space in spaces:
        class_map(space)
    if layout not in LAYOUTS:
        raise UnknownNameError("layout of samples", layout, LAYOUTS)
    rows, notices = (_columns if layout == "columns" else _stimuli)(table, id_column, label_column)
    where, labels = str(table.path), rows["label"]
    found, more = _classes(labels, classes, where)
    samples = frame_of(
        schema.SAMPLES,
        {
            "sample_id": rows["sample_id"],
            "path": rows["path"],
            "label": class_indices(labels, rows["sample_id"], found, where),
            "n_bytes": [0] * rows.height,
            "digest": [""] * rows.height,
        },
    )
    record = replace(_record(dataset, table, found, samples, spaces), captions=tuple(captions))
    already = _check_name(store, record)
    save_dataset(store.files, record, samples)
    rest = rows.drop("sample_id", "path", "label")
    _, said = save_columns(store, dataset, SOURCE, rest, table.origin)
    what = f"{dataset}: {samples.height:,} samples, {len(found.ids):,} classes"
    return Report(what, already, [*notices, *more, *said])


def _columns(
    table: Table, id_column: str | None, label_column: str | None
) -> tuple[pl.DataFrame, list[str]]:
    """Return `sample_id`, `path`, `label`, and all other columns: N rows."""
    where = str(table.path)
    ids = table.find(id_column, USUAL, "--id")
    label = label_column or next((c for c in USUAL_LABELS if c in table.columns), None)
    if label is not None:
        label = table.find(label, (), "--label")
    frame = table.select(table.columns)
    paths = checked_ids(texts(frame[ids], where), where)
    labels = [None] * len(paths) if label is None else class_texts(frame[label], where)
    rest = frame.drop({ids, label or ids})
    taken = [column for column in rest.columns if column in schema.TAKEN]
    notices = [f"column {c!r} is left out: the store has its own; rename it to keep" for c in taken]
    if label is None:
        notices.append("no column of labels: import samples takes one with --label")
    elif label_column is None:
        notices.append(f"labels are in column {label!r}")
    rows = pl.DataFrame(
        {
            "sample_id": sample_ids(paths),
            "path": paths,
            "label": pl.Series(labels, dtype=pl.String),
        }
    )
    return rows.hstack(rest.drop(taken)), notices


def _stimuli(
    table: Table, id_column: str | None, _label_column: str | None
) -> tuple[pl.DataFrame, list[str]]:
    """Return the same of cue-conflict pictures, from their names alone."""
    where = str(table.path)
    ids = table.find(id_column, USUAL_STIMULI, "--id")
    names = checked_ids(texts(table.select([ids])[ids], where), where)
    frame = cue_conflict(names, where)
    checked_ids(frame["sample_id"], where)
    return frame.with_columns(label="shape"), []


def _classes(
    labels: pl.Series, classes: ClassList | None, where: str
) -> tuple[ClassList, list[str]]:
    if classes is not None:
        return classes, []
    if not labels.count():
        return ClassList("", (), ()), []
    return own_classes(labels, where)


def _record(
    name: str, table: Table, classes: ClassList, samples: pl.DataFrame, spaces: Sequence[str]
) -> DatasetRecord:
    # A data set called `imagenet` may have classes of its own; their list is not ImageNet's.
    own_name = f"{name}-classes" if name == imagenet().name else name
    return DatasetRecord(
        name=name,
        source=f"imported:{table.path.name}",
        class_list=classes.name or own_name,
        class_ids=classes.ids,
        class_names=classes.names,
        n_samples=samples.height,
        fingerprint=fingerprint(samples, classes.ids),
        listing=listing_of(table),
        spaces=tuple(spaces),
    )


def listing_of(table: Table) -> str:
    """Return what the record of a data set keeps of the table that it was made of."""
    return f"sha256:{table.digest}"


def _check_name(store: Store, record: DatasetRecord) -> bool:
    """Return whether the store has the data set; raise if it has another of that name."""
    if record.name not in store.datasets:
        return False
    found = store.dataset(record.name)
    if (found.fingerprint, found.spaces) == (record.fingerprint, record.spaces):
        return True
    if found.fingerprint == record.fingerprint:
        raise DatasetError(
            f"data set {record.name!r} is in the store with other label spaces "
            f"({', '.join(found.spaces) or 'none'}); judge predictions in more of them with: "
            "embedstore import predictions --space"
        )
    raise DatasetError(
        f"data set {record.name!r} is in the store with other content ({found.n_samples:,} samples "
        f"from {found.source}); its annotations and predictions can be imported as it is, or give "
        "this one another name: --dataset NAME"
    )
