"""Classes and labels from what sources say of them: folders, names, WordNet ids, numbers.

Dimensions: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from embedstore.datasets import access
from embedstore.datasets.readers import cannot_read
from embedstore.errors import DatasetError
from embedstore.prompts import ClassList, imagenet, resolve_classes

#: A file beside the data that names the classes, a line each, in the order of the labels.
CLASSES_FILE = "classes.txt"
INTEGER = r"^\s*[+-]?\d+(?:\.0*)?\s*$"


def named_classes(ids: Sequence[str], names: Sequence[str] | None = None) -> ClassList:
    """Return the classes of these ids: ImageNet's if all are, else of the data set's own.

    Parameters
    ----------
    ids
        (C,) as folders or labels say them: WordNet ids or names.
    names
        (C,) what prompts should say, where that is known; else the ids, `_` as spaces.
    """
    known = resolve_classes(ids)
    if known is None and len(ids) == len(imagenet().ids) and _mostly_imagenets(names or ids):
        known = imagenet()
    return known or ClassList("", tuple(ids), tuple(names or [i.replace("_", " ") for i in ids]))


def labelled(
    labels: pl.Series, where: str, classes: Sequence[str] | None, names: pl.Series | None = None
) -> tuple[pl.Series, ClassList | None, list[str]]:
    """Return labels as indices, their classes, and notices.

    Parameters
    ----------
    labels
        (N,) numbers or texts, null where there is none.
    where
        What messages call the place: a file's path.
    classes
        (C,) in the order in which numbers count them, if it is known.
    names
        (N,) of each sample's class, beside its label.

    Raises
    ------
    DatasetError
        If a label is a list, out of range, no class of the list, or has two names.
    """
    if labels.dtype.is_nested():
        raise DatasetError(
            f"labels in column {labels.name!r} of {where} are {labels.dtype}, where a picture has "
            "one; rename the column"
        )
    if labels.dtype.is_float():  # how pandas writes whole numbers with gaps
        labels = labels.fill_nan(None)
    labels = labels.cast(pl.String).str.strip_chars()
    labels = labels.set(labels == "", None)
    present = labels.drop_nulls()
    if present.is_empty():
        return pl.Series([None] * len(labels), dtype=pl.Int32), None, []
    numbers = present.str.contains(INTEGER).all()
    if classes is not None:
        indices = _numbers(labels, where) if numbers else _positions(labels, classes, where)
        _refuse_out_of_range(indices, len(classes), where)
        return indices.cast(pl.Int32), named_classes(classes), []
    if numbers:
        labels = _numbers(labels, where)
        _refuse_out_of_range(labels, None, where)
    ids = labels.drop_nulls().unique().sort()
    indices = labels.replace_strict(ids, pl.int_range(len(ids), eager=True), default=None)
    if names is not None:
        return indices.cast(pl.Int32), _by_their_names(labels, ids, names, where), []
    if not numbers:
        return indices.cast(pl.Int32), named_classes(ids.to_list()), []
    if len(ids) == len(imagenet().ids) and ids[-1] == len(ids) - 1:
        return indices.cast(pl.Int32), imagenet(), []
    own = named_classes([str(i) for i in ids])
    notice = (
        f"labels of {where} are numbers without names, which no prompt can say; put the names, one "
        f"a line, into {CLASSES_FILE} beside it"
    )
    return indices.cast(pl.Int32), own, [notice]


def classes_file(folder: str) -> list[str] | None:
    """Return the lines of the folder's `classes.txt`, if there is one."""
    path = access.joined(folder, CLASSES_FILE)
    try:
        text = access.read(path).decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8; save it as UTF-8") from error
    lines = [line.strip() for line in text.strip().split("\n")]
    if "" in lines or len(set(lines)) < len(lines):
        raise DatasetError(f"{path} has an empty or a repeated line; write each class once")
    return lines


def _mostly_imagenets(names: Sequence[str]) -> bool:
    """Whether 1,000 names are ImageNet's, in its order, in longer words: `tench, Tinca tinca`."""
    ours = [name.casefold() for name in imagenet().names]
    theirs = [[part.strip().casefold() for part in name.split(",")] for name in names]
    return 2 * sum(own in parts for own, parts in zip(ours, theirs, strict=True)) > len(ours)


def _numbers(labels: pl.Series, where: str) -> pl.Series:
    try:
        return labels.str.replace(r"\.0*$", "").cast(pl.Int64)
    except pl.exceptions.InvalidOperationError as error:
        raise DatasetError(
            f"a label of {where} is no whole number of 64 bits; mend it there"
        ) from error


def _positions(labels: pl.Series, classes: Sequence[str], where: str) -> pl.Series:
    unknown = labels.filter(labels.is_not_null() & ~labels.is_in(list(classes)))
    if len(unknown):
        raise DatasetError(
            f"label {unknown[0]!r} of {where} is none of the {len(classes)} classes, such as "
            f"{classes[0]!r}; mend it, or the list of classes"
        )
    return labels.replace_strict(list(classes), list(range(len(classes))), default=None)


def _refuse_out_of_range(labels: pl.Series, n_classes: int | None, where: str) -> None:
    wrong = labels < 0 if n_classes is None else (labels < 0) | (labels >= n_classes)
    rows = wrong.fill_null(value=False).arg_true()
    if len(rows):
        bound = "are counted from 0" if n_classes is None else f"go from 0 to {n_classes - 1}"
        raise DatasetError(
            f"label {labels[rows[0]]} of sample {rows[0] + 1} in {where} is out of range: labels "
            f"{bound}; mend it, or leave it empty for a sample without a label"
        )


def _by_their_names(labels: pl.Series, ids: pl.Series, names: pl.Series, where: str) -> ClassList:
    pairs = pl.DataFrame({"label": labels, "name": names.cast(pl.String)}).drop_nulls().unique()
    named = pairs.sort("label", "name")
    repeated = named.filter(pl.col("label").is_duplicated())
    if repeated.height:
        label, first = repeated.row(0)
        raise DatasetError(
            f"label {label!r} of {where} has two names, {first!r} and {repeated.row(1)[1]!r}; keep "
            "one"
        )
    spoken = dict(named.iter_rows())
    said = [str(spoken.get(i, i)) for i in ids]
    if ids.dtype == pl.String:
        return named_classes(ids.to_list(), said)
    return named_classes(said if len(set(said)) == len(said) else [str(i) for i in ids], said)
