"""Judging: labels in spaces that cut, merge and allow, against loops over the rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.errors import DatasetError
from embedstore.labels import ClassMap, judgement, judgements, label_space
from embedstore.store.datasets import DatasetRecord

IDS = tuple("abcdef")
RANDOM = np.random.default_rng(0)


def dataset(class_ids, n, spaces=()):
    return DatasetRecord("d", "folder:d", "d", class_ids, class_ids, n, "", spaces=spaces)


def samples(labels, **columns):
    return pl.DataFrame({"label": pl.Series(labels, dtype=pl.Int32), **columns})


def judged(mapped, class_ids, frame, logits):
    judge = judgement(mapped, IDS, dataset(class_ids, frame.height), frame)
    return judge, judge(logits, 0, np.zeros(len(logits), bool))


def logits_of(n):
    return RANDOM.normal(size=(n, 6)).astype(np.float32)


@settings(deadline=None)
@given(st.permutations(range(6)))
def test_a_map_that_keeps_all_classes_changes_nothing_but_their_order(order):
    frame, logits = samples([0, 1, 5, None]), logits_of(4)
    keep = ClassMap("keep", {IDS[i]: (IDS[i],) for i in order})
    judge, said = judged(keep, IDS, frame, logits)
    (own,) = judgements(IDS, dataset(IDS, 4), frame)
    plain = own(logits, 0, np.zeros(4, bool))
    assert judge.space.class_ids == tuple(IDS[i] for i in order)
    np.testing.assert_array_equal(np.array(order)[said.prediction], plain.prediction)
    np.testing.assert_array_equal(said.labelled, [True, True, True, False])
    for name in ("correct", "label_rank"):
        np.testing.assert_array_equal(getattr(said, name), getattr(plain, name))
    for name in ("confidence", "entropy", "nll", "brier"):  # sums in another order
        np.testing.assert_allclose(getattr(said, name), getattr(plain, name), rtol=1e-5)


def test_a_subset_of_the_data_sets_classes_leaves_other_samples_without_label():
    frame, logits = samples([0, 1, 2, 4]), logits_of(4)
    _, said = judged(ClassMap("few", {"e": ("e",), "b": ("b",)}), IDS, frame, logits)
    np.testing.assert_array_equal(said.labelled, [False, True, False, True])
    np.testing.assert_array_equal(said.prediction, logits[:, [4, 1]].argmax(1))
    p = np.exp(logits[3, 4]) / np.exp(logits[3, [4, 1]]).sum()
    assert said.nll[3] == pytest.approx(-np.log(p), rel=1e-5)


def test_many_to_one_takes_the_largest_member():
    frame, logits = samples([0, 1, 1]), logits_of(3)
    groups = ClassMap("two", {"x": ("a", "c"), "y": ("b", "f")})
    judge, said = judged(groups, ("x", "y"), frame, logits)
    reduced = np.stack([logits[:, [0, 2]].max(1), logits[:, [1, 5]].max(1)], axis=1)
    assert judge.space.class_ids == ("x", "y")
    np.testing.assert_array_equal(said.prediction, reduced.argmax(1))
    np.testing.assert_array_equal(said.correct, reduced.argmax(1) == [0, 1, 1])


def test_allowed_lets_all_members_compete_and_any_of_the_labels_is_right():
    frame, logits = samples([0, 1, 1]), logits_of(3)
    groups = ClassMap("two", {"x": ("a", "c"), "y": ("b", "f")}, rule="allowed")
    judge, said = judged(groups, ("x", "y"), frame, logits)
    assert judge.space.class_ids == ("a", "b", "c", "f")
    best = logits[:, [0, 1, 2, 5]].argmax(1)
    np.testing.assert_array_equal(said.prediction, best)
    right = [{0, 2}, {1, 3}, {1, 3}]
    np.testing.assert_array_equal(said.correct, [b in r for b, r in zip(best, right, strict=True)])
    assert np.isnan(said.nll).all()


def test_members_of_the_data_sets_own_classes_are_merged_too():
    # ImageNet judged in a space of groups: its label `c` stands for the group `x`.
    frame, logits = samples([2, 3, 5]), logits_of(3)
    _, said = judged(ClassMap("two", {"x": ("a", "c"), "y": ("b", "f")}), IDS, frame, logits)
    np.testing.assert_array_equal(said.labelled, [True, False, True])


@pytest.mark.parametrize("by_name", [True, False])
def test_several_right_labels_come_from_a_column_of_lists(by_name):
    values = [["a", "b"], [], None, ["f"]] if by_name else [[0, 1], [], None, [5]]
    frame, logits = samples([0, 0, 0, 0], real=values), logits_of(4)
    judge, said = judged(ClassMap("real", {}, labels="real"), IDS, frame, logits)
    np.testing.assert_array_equal(said.labelled, [True, False, False, True])
    assert bool(said.correct[0]) == (logits[0].argmax() in (0, 1))
    assert judge.record()["labels"] == "real"


def test_a_head_over_the_spaces_own_classes_is_not_grouped():
    mapped = ClassMap("two", {"a": ("u", "v"), "b": ("w",)})
    frame, logits = samples([0, 1]), logits_of(2)
    _, said = judged(mapped, ("a", "b"), frame, logits)
    np.testing.assert_array_equal(said.prediction, logits[:, :2].argmax(1))


def test_a_class_that_is_a_member_of_itself_keeps_its_other_members():
    frame = samples([1, 0, 2])
    logits = np.float32([[0, 2, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]])
    judge, said = judged(ClassMap("two", {"a": ("a", "b"), "c": ("c", "d")}), IDS, frame, logits)
    assert judge.space.class_ids == ("a", "c")
    np.testing.assert_array_equal(said.prediction, [0, 0, 1])
    assert said.correct.all()


@pytest.mark.parametrize(
    ("values", "right"),
    [
        (pl.Series([["a", None], None, ["b", "c"]]), [{0}, set(), {1, 2}]),
        (pl.Series([[0, None], [], [1, 2]]), [{0}, set(), {1, 2}]),
        (pl.Series([[0, 3], [1, 1], [5, 4]], dtype=pl.Array(pl.Int64, 2)), [{0, 3}, {1}, {5, 4}]),
        (pl.Series(["a", None, "c"], dtype=pl.Enum(["a", "c"])), [{0}, set(), {2}]),
        (pl.Series(["a", "tench", "c"]), [{0}, set(), {2}]),
        (pl.Series([None, None, None]), [set()] * 3),
    ],
)
def test_labels_come_in_any_column_of_ids_or_indices(values, right):
    frame, logits = samples([0, 1, 2], real=values), logits_of(3)
    _, said = judged(ClassMap("real", {}, labels="real"), IDS, frame, logits)
    np.testing.assert_array_equal(said.labelled, [bool(r) for r in right])
    best = logits.argmax(1)
    np.testing.assert_array_equal(said.correct, [b in r for b, r in zip(best, right, strict=True)])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["tench", "goldfish"], "holds no class id .but 'goldfish', where one is 'a'.; give ids"),
        ([0.5, 1.5], "holds Float64; labels are class ids, or whole numbers"),
        ([[True], [False]], "holds Boolean; labels are"),
    ],
)
def test_a_column_that_holds_no_labels_is_refused(values, message):
    frame = samples([0, 1], real=values)
    with pytest.raises(DatasetError, match=message):
        judgement(ClassMap("s", {}, labels="real"), IDS, dataset(IDS, 2), frame)


def test_a_data_set_without_classes_is_judged_in_no_class_map():
    frame, bare = samples([None, None], real_labels=[["a"], []]), dataset((), 2, ("imagenet-real",))
    (only,) = judgements(IDS, bare, frame)
    assert only.space.name == "head"
    with pytest.raises(DatasetError, match="it has no classes; give it labels"):
        judgement(ClassMap("s", {}, labels="real_labels"), IDS, bare, frame)


@pytest.mark.parametrize(
    ("mapped", "class_ids", "message"),
    [
        (ClassMap("s", {"x": ("a", "z")}), ("x",), "lacks members of class 'x'"),
        (ClassMap("s", {"a": ("a",)}), ("q",), "none of its classes is in the label space"),
        (ClassMap("s", {}, labels="real"), IDS, "has no column 'real'"),
        (ClassMap("s", {}), ("z",), "does not know all of its classes"),
    ],
)
def test_an_obstacle_is_named(mapped, class_ids, message):
    with pytest.raises(DatasetError, match=message):
        judgement(mapped, IDS, dataset(class_ids, 1), samples([0]))


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(DatasetError, match="none of its 6 classes; give 0 to 5"):
        judgement(ClassMap("s", {}, labels="real"), IDS, dataset(IDS, 1), samples([0], real=[[6]]))


def test_no_space_that_fits_leaves_the_heads_own():
    (only,) = judgements(IDS, dataset(("q",), 2), samples([0, None]))
    assert (only.space.name, only.space.labelled) == ("head", False)
    assert only.record()["labels"] == ""
    assert not only(logits_of(2), 0, np.zeros(2, bool)).labelled.any()


def test_an_automatic_space_names_the_data_set():
    assert label_space(IDS, ("b", "a"), "d").name == "d"
