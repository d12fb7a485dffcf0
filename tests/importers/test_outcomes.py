"""Predictions followed into label spaces: where one class can be followed, logits agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from embedstore.heads.outcomes import outcome_table
from embedstore.importers.outcomes import Said, followed, right, said_outcomes
from embedstore.labels import ClassMap, Judgement, Labels, LabelSpace, judgement, judgements
from embedstore.store.datasets import DatasetRecord

IDS = ("a", "b", "c", "d")
RECORD = DatasetRecord("data", "imported:x", "data", IDS, IDS, 30, "")
RANDOM = np.random.default_rng(0)
SAMPLES = pl.DataFrame(
    {
        "label": pl.Series([*RANDOM.integers(0, 4, 29), None], dtype=pl.Int32),
        "several": [[0, 2], [], [3]] * 10,
    }
)
LOGITS = RANDOM.normal(size=(30, 4)).astype(np.float32)
MAPS = [
    ClassMap("order", {i: (i,) for i in reversed(IDS)}),
    ClassMap("merged", {"x": ("a", "c"), "y": ("d", "b")}),
    ClassMap("several", {}, labels="several"),
    ClassMap("any", {"x": ("a", "c"), "y": ("d", "b")}, rule="allowed"),
]


def said(logits=LOGITS) -> Said:
    powers = np.exp(logits.astype(np.float64))
    confidences = (powers / powers.sum(1, keepdims=True)).max(1)
    return Said(logits.argmax(1), np.zeros(len(logits), bool), pl.Series(confidences))


def everywhere() -> list[Judgement]:
    return [*judgements(IDS, RECORD, SAMPLES), *(judgement(m, IDS, RECORD, SAMPLES) for m in MAPS)]


def test_the_class_alone_says_what_the_logits_say():
    for judged in everywhere():
        place = followed(judged, 4)
        assert place is not None, judged.space.name
        found, nulls = said_outcomes(judged, place, said())
        expected = outcome_table(judged(LOGITS, 0, np.zeros(30, bool)))
        for column in ("prediction", "correct"):
            assert found[column].to_list() == expected[column].to_list(), judged.space.name
        ranks = expected["label_rank"].set(expected["label_rank"] != 0, None)
        assert found["label_rank"].to_list() == ranks.to_list()
        if "confidence" not in nulls:
            np.testing.assert_allclose(found["confidence"], expected["confidence"], rtol=1e-6)
        assert found.schema == expected.schema
        null = {c for c in found.columns if found[c].null_count() == 30}
        assert null == set(nulls) - {"label_rank"}
    assert "confidence" in said_outcomes(everywhere()[2], followed(everywhere()[2], 4), said())[1]


def test_what_needs_logits_is_not_followed():
    some = ClassMap("some", {"a": ("a",), "b": ("b",)})
    mean = ClassMap("mean", {"x": ("a", "c"), "y": ("d", "b")}, rule="mean")
    allowed = ClassMap("part", {"x": ("a", "c")}, rule="allowed")
    for mapped in (some, mean, allowed):
        assert followed(judgement(mapped, IDS, RECORD, SAMPLES), 4) is None
    twice = LabelSpace("twice", ("x", "y"), np.array([0, 1, 1, 2]), np.array([0, 2, 4]))
    assert followed(replace(everywhere()[0], space=twice), 4) is None


@given(
    st.lists(
        st.tuples(st.integers(-1, 3), st.booleans(), st.none() | st.integers(0, 3)), min_size=1
    )
)
def test_who_names_no_class_is_wrong_and_who_says_nothing_is_not_known(rows):
    classes = np.array([-1 if none else c for c, none, _ in rows])
    no_class = np.array([none for _, none, _ in rows])
    labels = np.array([-1 if label is None else label for _, _, label in rows])
    judged = Judgement(LabelSpace("all", IDS, None), Labels(labels))
    found, _ = said_outcomes(judged, np.arange(4), Said(classes, no_class, None))
    for i, (c, none, label) in enumerate(rows):
        known = label is not None and (none or c >= 0)
        hit = (not none and c == label) if known else None
        assert found["correct"][i] == hit
        assert found["label_rank"][i] == (0 if hit else None)
        assert found["prediction"][i] == (None if none or c < 0 else c)


def test_several_right_classes_against_sets():
    groups = [[0, 2], [], [1], [0, 1, 2, 3]]
    offsets = np.cumsum([0, *map(len, groups)])
    judged = Judgement(
        LabelSpace("all", IDS, None), Labels(np.concatenate(groups).astype(np.int64), offsets)
    )
    for predictions in np.stack(np.meshgrid(*[np.arange(-1, 4)] * 4), -1).reshape(-1, 4):
        hit, labelled = right(judged, predictions)
        assert hit.tolist() == [p in group for p, group in zip(predictions, groups, strict=True)]
        assert labelled.tolist() == [True, False, True, True]
