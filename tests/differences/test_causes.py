"""The order of causes, and what is said of those that do not suffice."""

from __future__ import annotations

import pytest

from embedstore.differences.causes import (
    ALL,
    BY_LABELS,
    BY_SCALE,
    Cause,
    Level,
    against,
    explain,
)

LABELS = Cause(Level.DATASET, "pets", "labels differ", BY_LABELS)
PARTLY = Cause(Level.DATASET, "pets", "labels differ", BY_LABELS, frozenset({"correct"}))
TRANSFORM = Cause(Level.IDENTITY, "vit", "transform differs")
SCALE = Cause(Level.HEAD, "vit / photo", "scale differs", BY_SCALE)
TORCH = Cause(Level.PROVENANCE, "vit", "perhaps torch", ALL)


@pytest.mark.parametrize(
    ("causes", "quantity", "because"),
    [
        ([], "correct", "unexplained"),
        ([SCALE], "correct", "unexplained"),
        ([SCALE], "confidence", "scale differs"),
        ([TORCH, SCALE, TRANSFORM, LABELS], "prediction", "transform differs; also perhaps torch"),
        (
            [TORCH, SCALE, TRANSFORM, LABELS],
            "nll",
            "labels differ; also transform differs; also scale differs; also perhaps torch",
        ),
        ([PARTLY], "correct", "unexplained; also in part labels differ"),
        ([PARTLY, TORCH], "correct", "perhaps torch; also in part labels differ"),
        ([PARTLY, TRANSFORM], "correct", "transform differs; also in part labels differ"),
        ([PARTLY], "nll", "labels differ"),
    ],
)
def test_what_is_said(causes, quantity, because):
    assert explain(causes, quantity) == because


def test_each_cause_is_said_once_and_many_are_counted():
    many = [Cause(Level.IDENTITY, f"m{i}", "transform differs") for i in range(7)]
    assert explain(many, "nll") == "transform differs"
    said = explain(many, "nll", subjects=True)
    assert said.split("; also ") == [*(f"m{i}: transform differs" for i in range(4)), "3 more"]


@pytest.mark.parametrize(
    ("name", "a", "b", "said"),
    [
        ("precision", "float32", "bfloat16", "precision float32 against bfloat16"),
        ("scale", 4.5, 100.0, "scale 4.5 against 100.0"),
        ("decoder", None, "libjpeg", "decoder none against libjpeg"),
        ("weights", "ab" * 32, "cd" * 32, "weights differ"),
        ("transform", "ab" * 32, None, "transform differs"),
    ],
)
def test_values_are_said_where_they_are_short(name, a, b, said):
    assert against(name, a, b) == said
