"""Metrics by name: one column of an analysis's table, of the rows that are meant.

`accuracy.top1_accuracy?dataset=imagenet-a` is the column `top1_accuracy` of the analysis
`accuracy`, of rows whose `dataset` is imagenet-a. A key that is a parameter of the analysis is
passed to it (`calibration.ece?n_bins=10`); any other is a column, its value one or several globs
parted by commas. It knows no store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import polars as pl

from embedstore import analysis
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.parameters import typed

#: Columns of counts that a table's proportions are of, where it is not `n_samples`.
TRIALS = {
    "overall_accuracy": "n_overall",
    "shape_accuracy": "n_conflict",
    "shape_bias": "n_conflict",
    "ece_scaled": "n_scaled",
    "nll_scaled": "n_scaled",
    "id_accuracy": "n_id",
    "recall": "n_queries",
}
#: What a column's value holds where it may mean several, beyond what the parameter understands.
_SEVERAL = {"dataset": ",", "score": "*?["}


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of an analysis's table, and which rows of it."""

    analysis: str
    column: str
    keys: Mapping[str, str]  # parameters and columns, as they were written

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read a metric such as `factors.accuracy?factor=pose&dataset=imagenet-val`.

        Raises
        ------
        EmbedStoreError
            If the text has another form.
        """
        name, _, query = text.partition("?")
        analysis_, dot, column = name.strip().partition(".")
        pairs = [[p.strip() for p in part.partition("=")] for part in query.split("&") if part]
        keys = {key: value for key, _, value in pairs}
        filled = all(key and value for key, value in keys.items())
        if not (analysis_ and dot and column and filled and len(keys) == len(pairs)):
            raise EmbedStoreError(
                f"{text!r} is no metric; write ANALYSIS.COLUMN?KEY=VALUE&..., each key once, such "
                "as accuracy.top1_accuracy?dataset=imagenet-val"
            )
        return cls(analysis_, column, keys)

    def __str__(self) -> str:
        """Return the metric as it is written."""
        query = "&".join(f"{k}={v}" for k, v in self.keys.items())
        return f"{self.analysis}.{self.column}" + (f"?{query}" if query else "")

    def parameters(self) -> dict[str, Any]:
        """Return the keys that are the analysis's own parameters, each of its type.

        The data sets and scores that are asked for by their column are passed too, so that no other
        is looked at.

        Raises
        ------
        UnknownNameError
            If there is no such analysis, or a value is none of those that its parameter takes.
        EmbedStoreError
            If a value is not of its parameter's type, or a parameter without a default is missing.
        """
        known = analysis.find(self.analysis).parameters
        own = {k: typed(known[k], v) for k, v in self.keys.items() if k in known}
        missing = [k for k, p in known.items() if p.default is p.empty and k not in own]
        if missing:
            raise EmbedStoreError(
                f"{self} lacks what the analysis {self.analysis!r} cannot do without; give "
                f"{missing[0]}=..., or choose another analysis, such as accuracy"
            )
        for key in ("dataset", "score"):
            wanted = self.keys.get(key, "")
            if f"{key}s" in known and wanted and not set(wanted) & set(_SEVERAL[key]):
                own.setdefault(f"{key}s", wanted)
        return own

    def filters(self, frame: pl.DataFrame) -> dict[str, str]:
        """Return the keys that are columns of the analysis's table and none of its parameters.

        Raises
        ------
        UnknownNameError
            If a key is neither a column nor a parameter, or the metric's column is not there.
        """
        known = analysis.find(self.analysis).parameters
        if self.column not in frame.columns or not frame.schema[self.column].is_numeric():
            numbers = [c for c, t in frame.schema.items() if t.is_numeric()]
            raise UnknownNameError(
                f"number of the analysis {self.analysis!r}", self.column, numbers
            )
        filters = {k: v for k, v in self.keys.items() if k not in known}
        for key in filters:
            if key not in frame.columns:
                raise UnknownNameError(
                    f"key of the analysis {self.analysis!r}", key, [*frame.columns, *known]
                )
        return filters


def matching(frame: pl.DataFrame, filters: Mapping[str, str]) -> pl.DataFrame:
    """Return the rows whose columns match: texts by globs, all else by what it is written as."""
    for key, wanted in filters.items():
        globs = [glob.strip() for glob in wanted.split(",")]
        there = frame[key].unique().to_list()
        kept = [v for v in there if any(fnmatchcase(written(v), glob) for glob in globs)]
        known = pl.Series(kept, dtype=frame.schema[key])
        frame = frame.filter(pl.col(key).is_in(known.implode(), nulls_equal=True))
    return frame


def written(value: object) -> str:
    """Return a value as a user would write it: null as `none`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
