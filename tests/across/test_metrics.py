"""The language of metrics: what is read, what is passed on, which rows are meant."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore.across.metrics import Metric, matching
from embedstore.errors import EmbedStoreError, UnknownNameError

TOP1 = "accuracy.top1_accuracy"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (TOP1, ("accuracy", "top1_accuracy", {})),
        (f"{TOP1}?", ("accuracy", "top1_accuracy", {})),
        (
            "shape-bias.shape_bias?class_name=none",
            ("shape-bias", "shape_bias", {"class_name": "none"}),
        ),
        (
            f" {TOP1}?dataset = v2 & head=a=b,c*",
            ("accuracy", "top1_accuracy", {"dataset": "v2", "head": "a=b,c*"}),
        ),
    ],
)
def test_parts(text, parts):
    metric = Metric.parse(text)
    assert (metric.analysis, metric.column, dict(metric.keys)) == parts
    assert Metric.parse(str(metric)) == metric


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accuracy",
        "accuracy.",
        ".top1",
        "?dataset=v2",
        f"{TOP1}?dataset",
        f"{TOP1}?dataset=",
        f"{TOP1}?=v2",
        f"{TOP1}?dataset=v2&dataset=sketch",
        f"{TOP1}?dataset=v2&dataset =sketch",
    ],
)
def test_other_forms_are_refused(text):
    with pytest.raises(EmbedStoreError, match="is no metric; write ANALYSIS.COLUMN"):
        Metric.parse(text)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("calibration.ece?n_bins=10&binning=equal-mass", {"n_bins": 10, "binning": "equal-mass"}),
        (f"{TOP1}?dataset=v2&head=own", {"datasets": "v2"}),
        (f"{TOP1}?dataset=v2,sketch", {}),
        (f"{TOP1}?dataset=v2&datasets=*", {"datasets": "*"}),
        ("residuals.residual?x=a&y=b&others=true", {"x": "a", "y": "b", "others": True}),
        (
            "trend.slope?x=a&y=b&x_axis=logit&n_samples=9",
            {"x": "a", "y": "b", "x_axis": "logit", "n_samples": 9},
        ),
    ],
)
def test_keys_that_are_parameters_have_their_type(text, parameters):
    found = Metric.parse(text).parameters()
    assert found == parameters
    assert [type(v) for v in found.values()] == [type(v) for v in parameters.values()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("calibration.ece?n_bins=ten", "n_bins=ten cannot be; give a value of type int"),
        ("calibration.ece?binning=equal", "unknown binning 'equal'; choose one of: equal-mass, eq"),
        ("residuals.residual?x=a&y=b&others=maybe", "others=maybe cannot be; give true or false"),
        ("compare.difference?first=a", r"lacks what .* 'compare' .* give second=\.\.\., or choose"),
        ("calib.ece", "unknown analysis 'calib'; choose one of: accuracy, "),
    ],
)
def test_parameters_that_are_refused(text, message):
    with pytest.raises(EmbedStoreError, match=message):
        Metric.parse(text).parameters()


FRAME = pl.DataFrame(
    {
        "dataset": ["v2", "sketch", None, "V2"],
        "k": [1, 5, 10, None],
        "scaled": [True, False, True, None],
        "temperature": [1.0, 0.5, 2.0, None],
    }
).with_row_index("row")


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ({}, [0, 1, 2, 3]),
        ({"dataset": "v2"}, [0]),
        ({"dataset": "*v*,sketch"}, [0, 1]),
        ({"dataset": "none, [vV]2"}, [0, 2, 3]),
        ({"k": "1"}, [0]),
        ({"k": "1*"}, [0, 2]),
        ({"k": "none"}, [3]),
        ({"scaled": "true"}, [0, 2]),
        ({"temperature": "1,0.5"}, [0, 1]),
        ({"scaled": "true", "k": "5,10"}, [2]),
        ({"dataset": "v3"}, []),
    ],
)
def test_rows_that_match(filters, rows):
    assert matching(FRAME, filters)["row"].to_list() == rows


def test_keys_are_columns_unless_they_are_parameters():
    metric = Metric.parse("calibration.temperature?n_bins=10&dataset=v2")
    frame = FRAME.with_columns(n_bins=15)
    assert metric.filters(frame) == {"dataset": "v2"}
    with pytest.raises(UnknownNameError, match=r"key .* 'head'; choose one of: .*dataset.*n_bins"):
        Metric.parse("calibration.temperature?head=own").filters(frame)
    for column in ("ece", "dataset", "scaled"):
        with pytest.raises(UnknownNameError, match=f"'{column}'; choose one of: k, .*temperature"):
            Metric.parse(f"calibration.{column}").filters(frame)
