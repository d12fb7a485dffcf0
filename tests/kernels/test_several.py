"""Several right classes: against a loop over the rows, and against one right class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import EmbedStoreError
from embedstore.kernels.outcomes import outcomes
from embedstore.kernels.several import outcomes_of_several

RANDOM = np.random.default_rng(0)


def flat(rows):
    classes = np.array([c for row in rows for c in row], np.int64)
    return classes, np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)


@settings(deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=12),
    st.lists(st.integers(-2, 2), min_size=60, max_size=60),
)
def test_the_rank_is_the_best_right_classs(rows, values):
    logits = np.array(values[: 5 * len(rows)], np.float32).reshape(-1, 5)
    rows = rows[: len(logits)]
    said = outcomes_of_several(logits, *flat(rows), failed=np.zeros(len(rows), bool))
    order = np.argsort(-logits, axis=1, kind="stable")  # ties to the lower index
    for i, right in enumerate(rows):
        assert bool(said.labelled[i]) == bool(right)
        if right:
            assert said.label_rank[i] == min(list(order[i]).index(c) for c in right)
            assert bool(said.correct[i]) == (order[i, 0] in right)
    assert np.isnan(said.nll).all()
    assert np.isnan(said.brier).all()


def test_with_one_right_class_a_row_it_agrees_with_outcomes():
    logits = RANDOM.normal(size=(50, 9)).astype(np.float32)
    labels = RANDOM.integers(0, 9, 50)
    failed = RANDOM.random(50) < 0.2
    one = outcomes(logits, labels, failed=failed)
    several = outcomes_of_several(logits, *flat([[c] for c in labels]), failed=failed)
    for name in ("prediction", "correct", "confidence", "entropy", "margin", "valid", "labelled"):
        np.testing.assert_array_equal(getattr(several, name), getattr(one, name))
    np.testing.assert_array_equal(several.label_rank[~failed], one.label_rank[~failed])


def test_a_right_class_that_is_not_there_is_refused():
    with pytest.raises(EmbedStoreError, match="not among the 3"):
        outcomes_of_several(np.zeros((1, 3), np.float32), *flat([[3]]), failed=np.zeros(1, bool))


@pytest.mark.parametrize(
    ("classes", "offsets", "message"),
    [
        ([0, 1], [0, 2], "do not fit 3 samples"),
        ([0, 1], [0, 9, 1, 2], "do not fit 3 samples"),
        ([0, 1], [1, 1, 1, 2], "do not fit 3 samples"),
        ([0, 1], [0, 1, 2, 3], "end in 3, and there are 2 right classes"),
    ],
)
def test_offsets_that_do_not_fit_are_refused_before_compiled_code_sees_them(
    classes, offsets, message
):
    logits = np.zeros((3, 4), np.float32)
    with pytest.raises(EmbedStoreError, match=message):
        outcomes_of_several(logits, np.array(classes), np.array(offsets), failed=np.zeros(3, bool))
