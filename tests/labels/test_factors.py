"""Columns of samples as factors."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore.errors import DatasetError
from embedstore.labels.factors import factor_columns, factors_of, flags

SAMPLES = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c"],
        "label": [0, 1, 1],
        "dark": [True, None, False],
        "multi_dark": [1, 0, None],
        "place": ["sea", None, "land"],
        "year": [1999, 2004, 1999],
        "unknown": pl.Series([None] * 3, dtype=pl.Boolean),
        "prototype": [True, False, False],
    }
)


@pytest.mark.parametrize(
    ("patterns", "prefix", "columns"),
    [
        ([], "", ["dark", "multi_dark"]),  # labels of 0 and 1 are the samples' own
        ([], "multi_", ["multi_dark"]),
        (["*dark", "year"], "", ["dark", "multi_dark", "year"]),
        (["dark"], "multi_", ["multi_dark"]),
        (["unknown", "prototype"], "", ["unknown", "prototype"]),
        (["label", "fog"], "", []),
    ],
)
def test_columns_that_are_asked_for(patterns, prefix, columns):
    assert factor_columns(SAMPLES, patterns, prefix, "prototype") == columns


def test_values_become_factors_and_nulls_are_not_known():
    found = factors_of(SAMPLES, ["multi_dark", "place", "year"])
    assert found.names == ("multi_dark", "place=land", "place=sea", "year=1999", "year=2004")
    assert found.groups == ("multi_", "", "", "", "")
    assert found.marked.T.tolist() == [
        [True, False, False],
        [False, False, True],
        [True, False, False],
        [True, False, True],
        [False, True, False],
    ]
    assert found.known[:, :2].T.tolist() == [[True, True, False], [True, False, True]]
    left = found.without(SAMPLES["prototype"].to_numpy())
    assert left.marked[0].tolist() == left.known[0].tolist() == [False] * 5
    assert left.marked[1:].tolist() == found.marked[1:].tolist()


def test_flags_are_true_and_false_or_0_and_1():
    assert flags(SAMPLES["multi_dark"]).to_list() == [True, False, None]
    assert flags(SAMPLES["year"]) is None
    assert flags(SAMPLES["place"]) is None


def test_lists_sort_no_samples():
    lists = SAMPLES.with_columns(seen=pl.Series([[1], [2], []]))
    with pytest.raises(DatasetError, match="column 'seen' holds List.Int64., which sorts no sampl"):
        factors_of(lists, ["seen"])
