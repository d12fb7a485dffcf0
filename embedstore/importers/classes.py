"""Classes as files write them: numbers, WordNet ids or names; brought to a data set's own.

Dimensions: R rows of a file, C classes.
"""

from __future__ import annotations

from collections import Counter

import polars as pl

from embedstore.errors import DatasetError
from embedstore.importers.tables import texts
from embedstore.prompts import ClassList, imagenet, resolve_classes

INTEGER = r"^[+-]?\d+$"
#: A whole number as a program wrote it among numbers that were none.
_AS_FRACTION = r"^[+-]?\d+(?:\.0*)?$"


def class_texts(column: pl.Series, where: str) -> pl.Series:
    """Return a column of labels or predictions as texts: (R,), `3.0` as `3`, null where empty."""
    values = texts(column, where)
    if values.drop_nulls().str.contains(_AS_FRACTION).all():
        return values.str.replace(r"\.0*$", "")
    return values


def class_indices(values: pl.Series, ids: pl.Series, classes: ClassList, where: str) -> pl.Series:
    """Return the classes that a file's values mean, as indices: (R,), null where empty.

    Values are all ids, all numbers counted from 0, or ids and names, which are compared without
    regard to case, `_` and `-` counting as spaces.

    Parameters
    ----------
    values
        (R,) texts.
    ids
        (R,) of the samples, for messages.
    classes
        C classes in the order in which labels count them.
    where
        The file, for messages.

    Raises
    ------
    DatasetError
        If a value is none of the classes, out of range, or the name of two.
    """
    by_id = {class_id: i for i, class_id in enumerate(classes.ids)}
    present = values.drop_nulls()
    if present.is_in(list(by_id)).all():
        return _replaced(values, by_id)
    own_numbers = all(class_id.isdigit() for class_id in by_id)
    if present.str.contains(INTEGER).all() and not own_numbers:
        indices = values.cast(pl.Int64, strict=False)
        wrong = values.is_not_null() & ~indices.is_between(0, len(by_id) - 1).fill_null(value=False)
        _refuse(values, ids, wrong, where, f"out of range: classes go from 0 to {len(by_id) - 1}")
        return indices.cast(pl.Int32)
    if present.str.contains(INTEGER).all():  # as they are: `-1` is not 1 with a dash for a space
        indices = _replaced(values, by_id)
        wrong = values.is_not_null() & indices.is_null()
        _refuse(values, ids, wrong, where, f"none of the {len(by_id)} classes, which are numbers")
        return indices
    names, said = _spoken(pl.Series(classes.names)).to_list(), _spoken(values)
    counts = Counter(names)
    by_name = {name: i for i, name in enumerate(names) if counts[name] == 1}
    by_name |= dict(zip(_spoken(pl.Series(classes.ids)), range(len(by_id)), strict=True))
    indices = _replaced(said, by_name)
    wrong = said.is_in([name for name, count in counts.items() if count > 1]) & indices.is_null()
    _refuse(values, ids, wrong, where, "the name of two classes: write ids")
    wrong = values.is_not_null() & indices.is_null()
    some = ", ".join(classes.ids[:3]) + (", ..." if len(by_id) > 3 else "")
    _refuse(values, ids, wrong, where, f"none of the {len(by_id)} classes ({some})")
    return indices


def own_classes(labels: pl.Series, where: str) -> tuple[ClassList, list[str]]:
    """Return the classes of a file's labels where no list is given, and notices.

    All thousand numbers from 0 to 999, WordNet ids and names of ImageNet's are its classes; what
    else there is, sorted, are the data set's own, in a list without a name.

    Parameters
    ----------
    labels
        (R,) texts.
    where
        The file, for messages.
    """
    distinct = labels.drop_nulls().unique().sort()
    if distinct.str.contains(INTEGER).all():
        values = distinct.cast(pl.Int64, strict=False).sort()
        if len(values) == len(imagenet().ids) and values[0] == 0 and values[-1] == len(values) - 1:
            return imagenet(), []
        if values.null_count() or values[0] < 0:
            raise DatasetError(
                f"label {distinct[0] if values.null_count() else values[0]} of {where} is out of "
                "range: numbers count classes from 0; leave it empty where there is no label"
            )
        numbers = tuple(str(value) for value in values)
        notice = (
            f"labels of {where} are numbers without names; where they count the classes of a list, "
            "name it: --classes imagenet, or --classes FILE"
        )
        return ClassList("", numbers, numbers), [notice]
    ids = distinct.to_list()
    found = resolve_classes(ids)
    return found or ClassList("", tuple(ids), tuple(i.replace("_", " ") for i in ids)), []


def _replaced(values: pl.Series, known: dict[str, int]) -> pl.Series:
    return values.replace_strict(known, default=None, return_dtype=pl.Int32)


def _refuse(values: pl.Series, ids: pl.Series, wrong: pl.Series, where: str, what: str) -> None:
    rows = wrong.fill_null(value=False).arg_true()
    if len(rows):
        raise DatasetError(
            f"{values[rows[0]]!r}, of sample {ids[rows[0]]!r} in {where}, is {what}; mend it "
            "there, or leave it empty"
        )


def _spoken(names: pl.Series) -> pl.Series:
    spaced = names.str.replace_all(r"[_\-\s]+", " ")
    return spaced.str.strip_chars().str.to_lowercase()
