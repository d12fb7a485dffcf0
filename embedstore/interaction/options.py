"""The options that a language model was given: which classes they are, and in which order.

Dimensions: R answers, N samples, K options of an answer, C classes.
"""

from __future__ import annotations

from collections import Counter

import polars as pl

from embedstore.errors import DatasetError
from embedstore.store.datasets import DatasetRecord

#: Lists of an answer that go through its options one by one.
BESIDE = ("option_classes", "scores", "scores_per_token")


def classes_by_name(record: DatasetRecord) -> dict[str, int]:
    """Return the classes that an option may name: by id, and by name where no two share it.

    Case, `_` and `-` make no difference.
    """
    ids, names = (
        pl.Series(c, dtype=pl.String).to_frame("name").select(_spoken())["name"].to_list()
        for c in (record.class_ids, record.class_names)
    )
    counts = Counter(names)
    by_name = {name: i for i, name in enumerate(names) if counts[name] == 1}
    return by_name | {class_id: i for i, class_id in enumerate(ids)}


def _spoken() -> pl.Expr:
    """Return column `name` as names are compared."""
    spaced = pl.col("name").str.replace_all(r"[_\-\s]+", " ")
    return spaced.str.strip_chars().str.to_lowercase()


def named_classes(options: pl.Series, record: DatasetRecord) -> pl.Series:
    """Return the classes that options name: (R,) lists; null where one of them names none."""
    known = classes_by_name(record)
    named = (
        options.to_frame("name")
        .with_row_index("row")
        .explode("name")
        .with_columns(_spoken().replace_strict(known, default=None, return_dtype=pl.UInt16))
        .group_by("row", maintain_order=True)
        .agg(pl.col("name"))
    )["name"]
    whole = named.list.eval(pl.element().is_not_null()).list.all()
    return named.set(~whole, None)


def check_options(answers: pl.DataFrame, record: DatasetRecord, ids: pl.Series, where: str) -> None:
    """Refuse answers whose options are not the classes that they are said to be.

    Parameters
    ----------
    answers
        (R,) rows, columns of `schema.ANSWERS`.
    record
        Of the data set that they are about.
    ids
        (N,) of its samples.
    where
        What messages call the answers.

    Raises
    ------
    DatasetError
        By sample and order, if lists differ in length, an option is another class than
        `option_classes` says, or stands twice; if two orders of a sample are the same, or offer
        different classes; if an answer is about a sample that the data set lacks.
    """
    n_samples, n_classes = len(ids), len(record.class_ids)
    _refuse(
        answers.filter(~pl.col("sample_index").is_between(0, n_samples - 1)), ids, where,
        f"is about none of the {n_samples:,} samples of {record.name!r}",
    )  # fmt: skip
    lists, classes = pl.col("options"), pl.col("option_classes")
    for beside in BESIDE:
        unlike = pl.coalesce(lists, "option_classes").list.len() != pl.col(beside).list.len()
        what = f"has another number of {beside} than of options"
        _refuse(answers.filter(unlike), ids, where, what)
    _refuse(
        answers.filter(classes.list.max() >= n_classes), ids, where,
        f"offers a class beyond the {n_classes:,} of {record.name!r}",
    )  # fmt: skip
    _refuse(
        answers.filter(classes.list.n_unique() != classes.list.len()), ids, where,
        "offers a class twice",
    )  # fmt: skip
    given = answers.filter(lists.is_not_null(), classes.is_not_null())
    named = named_classes(given["options"], record)
    _refuse(
        given.filter(named.is_not_null() & (named != given["option_classes"])), ids, where,
        "lists its options in another order than their option_classes",
    )  # fmt: skip
    _check_orders(answers, ids, where)


def _check_orders(answers: pl.DataFrame, ids: pl.Series, where: str) -> None:
    """Refuse orders that are none, of the answers of one sample."""
    repeated = answers.filter(answers.select("sample_index", "order").is_duplicated())
    _refuse(repeated, ids, where, "stands twice")
    offered = answers.filter(pl.col("option_classes").is_not_null())
    put, classes = (_keys(offered, ordered=ordered) for ordered in (True, False))
    _refuse(
        offered.filter(pl.struct(offered["sample_index"], put).is_duplicated()), ids, where,
        "lists its options as another order does",
    )  # fmt: skip
    n_sets = classes.to_frame().select(pl.col("key").n_unique().over(offered["sample_index"]))
    _refuse(offered.filter(n_sets["key"] > 1), ids, where, "offers other classes than other orders")


def _keys(offered: pl.DataFrame, *, ordered: bool) -> pl.Series:
    """Return the options of each answer as one text: (R,)."""
    lists = offered["option_classes"]
    lists = lists if ordered else lists.list.sort()
    return lists.cast(pl.List(pl.String)).list.join(",").alias("key")


def _refuse(wrong: pl.DataFrame, ids: pl.Series, where: str, what: str) -> None:
    if wrong.is_empty():
        return
    index, order = wrong["sample_index"][0], wrong["order"][0]
    sample = f"sample {ids[index]!r}" if 0 <= (index or 0) < len(ids) else f"sample {index}"
    raise DatasetError(
        f"the answer about {sample} in order {order} of {where} {what} (one of {wrong.height:,}); "
        "write options, option_classes and scores of an answer in the one order in which they were "
        "put, and bring the answers in anew"
    )
