"""Options that are what they are said to be, and those that are not."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import schema
from embedstore.errors import DatasetError
from embedstore.interaction.options import check_options, named_classes
from embedstore.store.datasets import DatasetRecord

PETS = DatasetRecord(
    "pets", "folder:pets", "pets", ("n1", "n2", "n3", "n4"), ("cat", "red_fox", "crane", "crane"),
    2, "",
)  # fmt: skip
IDS = pl.Series(["a", "b"])


def answer(index: int, order: int, options=None, classes=None, **more) -> dict:
    return {"sample_index": index, "order": order, "options": options, "option_classes": classes,
            **more}  # fmt: skip


def check(*rows: dict) -> None:
    check_options(pl.DataFrame(rows, schema=dict(schema.ANSWERS)), PETS, IDS, "answers of 'm'")


def test_options_name_classes_by_id_or_by_a_name_of_its_own():
    options = pl.Series([["Red fox", "n1"], ["cat", "crane"], None, ["n3", "red-fox"]])
    assert named_classes(options, PETS).to_list() == [[1, 0], None, None, [2, 1]]


def test_what_is_in_order_passes():
    check(
        answer(0, 0, ["cat", "red fox"], [0, 1], scores=[-1, -2], scores_per_token=[-1, -1]),
        answer(0, 1, ["red fox", "cat"], [1, 0], scores=[-1, -2], scores_per_token=[-1, -1]),
        answer(1, 0, ["crane", "a fox"], [2, 1]),  # names that say nothing are not compared
        answer(1, 1, None, None),
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([answer(0, 0, ["cat", "red fox"], [1, 0])], "sample 'a' in order 0 .*another order than"),
        ([answer(0, 0, None, [0, 1]), answer(0, 1, None, [0, 1])], "as another order does"),
        ([answer(1, 0, None, [0, 1]), answer(1, 1, None, [2, 0])], "'b' in order 0.*other classes"),
        ([answer(0, 0, None, [0, 0])], "offers a class twice"),
        ([answer(0, 0, None, [0, 4])], "a class beyond the 4 of 'pets'"),
        ([answer(0, 0, None, [0, 1], scores=[-1.0])], "another number of scores than of options"),
        ([answer(0, 0, ["cat"], [0, 1])], "another number of option_classes than of options"),
        ([answer(0, 0), answer(0, 0)], "sample 'a' in order 0 of answers of 'm' stands twice"),
        ([answer(2, 0)], "sample 2 in order 0 .*none of the 2 samples of 'pets'"),
        ([answer(-1, 0)], "sample -1 in order 0 .*none of the 2 samples"),
    ],
)
def test_what_is_not_is_refused_by_sample_and_order(rows, message):
    with pytest.raises(DatasetError, match=message):
        check(answer(1, 5, ["n1", "n3"], [0, 2]), *rows) if "other classes" not in message else (
            check(*rows)
        )
