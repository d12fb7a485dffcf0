"""Two stores that differ in one planted thing: it is named, and nothing else is blamed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from embedstore import Store, analysis
from embedstore.differences.comparing import diff
from embedstore.labels import ClassMap
from embedstore.schema.across import DIFF

RELABELLED = (3, 9, 20)
OTHER = "77" * 32  # a digest
MEMBERS = {"kept": ("cat", "dog"), "wild": ("fox", "owl")}


@pytest.fixture
def relabelled(recipe) -> tuple[int, ...]:
    """The labels, three of them others."""
    return tuple((c + 1) % 4 if i in RELABELLED else c for i, c in enumerate(recipe.labels))


def reasons(found: pl.DataFrame) -> set[str]:
    """What explains numbers, all of them."""
    return set(found.filter(pl.col("kind") == "number")["because"])


def ingredients(found: pl.DataFrame) -> list[tuple[str, str, str]]:
    rows = found.filter(pl.col("kind") != "number")
    return rows.select("kind", "where", "what").rows()


def one(found: pl.DataFrame, what: str) -> dict[str, object]:
    return found.row(by_predicate=pl.col("what") == what, named=True)


def test_stores_made_alike_do_not_differ(compared):
    found = compared({})
    assert found.schema == dict(DIFF)
    assert found.is_empty()


def test_labels_of_three_samples(compared, recipe, relabelled):
    found = compared({"labels": relabelled})
    assert reasons(found) == {"data set fingerprint differs: 3 labels"}
    assert ingredients(found) == [("dataset", "pets", "fingerprint"), ("dataset", "pets", "label")]
    classes = ("cat", "dog", "fox", "owl")
    label = one(found, "label")
    assert (label["a"], label["b"]) == (
        classes[recipe.labels[3]],
        classes[relabelled[3]],
    )
    assert (label["difference"], label["because"]) == (3.0, "at '003', '009' and 1 more")
    # a label moves what is right, and neither what is predicted nor how sure of it a model is
    whats = found["what"].str.split(" ").list.first().to_list()
    assert "correct" in whats
    assert not {"prediction", "confidence", "embeddings", "logits"} & set(whats)


def test_numbers_are_those_of_each_store(compared, relabelled, tmp_path):
    found = one(compared({"labels": relabelled}), "accuracy: top1_accuracy")
    a, b = (
        analysis.run("accuracy", Store.open(tmp_path / name))["top1_accuracy"].item()
        for name in "ab"
    )
    assert (found["a"], found["b"]) == (f"{a:.10g}", f"{b:.10g}")
    assert found["difference"] == pytest.approx(b - a, abs=1e-15)
    assert a != b


def test_counts_agree_with_the_tables(compared, recipe, tmp_path):
    found = compared({"identity": recipe.identity | {"transform": OTHER}, "seed": 5})
    a, b = (Store.open(tmp_path / name).outcomes().collect() for name in "ab")
    for what in ("prediction", "correct"):
        count = sum(x != y for x, y in zip(a[what], b[what], strict=True))
        assert one(found, f"{what} (samples that differ)")["difference"] == count > 0
    gap = np.abs(a["confidence"].to_numpy() - b["confidence"].to_numpy()).max()
    assert one(found, "confidence (largest difference)")["difference"] == pytest.approx(gap)
    nll = one(found, "nll (mean)")["difference"]
    assert nll == pytest.approx(b["nll"].mean() - a["nll"].mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "because"),
    [
        ("precision", "bfloat16", "precision float32 against bfloat16"),
        ("transform", OTHER, "transform differs"),
        ("weights", OTHER, "weights differ"),
        ("decoder", "torchvision", "decoder none against torchvision"),
    ],
)
def test_a_field_of_the_identity(compared, recipe, field, value, because):
    found = compared({"identity": recipe.identity | {field: value}, "seed": 5})
    assert reasons(found) == {because}
    assert ingredients(found) == [("identity", "vit", field)]
    assert {"embeddings", "logits"} <= set(found["what"])


def test_a_tokenizer_moves_heads_and_no_embedding(compared, recipe):
    found = compared({"identity": recipe.identity | {"tokenizer": OTHER}, "text_seed": 5})
    assert reasons(found) == {"tokenizer differs"}
    assert "embeddings" not in set(found["what"])
    assert one(found, "weights")["because"] == "tokenizer differs"


def test_an_identity_without_effect_is_named_and_blamed_for_nothing(compared, recipe):
    found = compared({"identity": recipe.identity | {"precision": "bfloat16"}})
    assert ingredients(found) == [("identity", "vit", "precision")]
    assert reasons(found) == set()


def test_an_identity_without_effect_is_acquitted_by_equal_arrays(compared, recipe, relabelled):
    identity = recipe.identity | {"precision": "bfloat16", "tokenizer": OTHER}
    found = compared({"identity": identity, "labels": relabelled})
    assert reasons(found) == {"data set fingerprint differs: 3 labels"}


def test_a_tokenizer_is_not_blamed_for_what_the_transform_did(compared, recipe):
    others = {"tokenizer": OTHER, "transform": OTHER}
    found = compared({"identity": recipe.identity | others, "seed": 5})
    assert reasons(found) == {"transform differs"}


def test_templates(compared):
    templates = tuple(f"a photo of {i} {{}}." for i in range(7))
    found = compared(
        {"templates": (*templates[:2], "a {}."), "text_seed": 3}, {"templates": templates}
    )
    assert reasons(found) == {"templates differ: 7 against 3"}
    assert ingredients(found) == [
        ("head", "photo--pets", "templates"),
        ("head", "vit / photo--pets", "weights"),
    ]
    row = one(found, "templates")
    assert (row["a"], row["b"]) == ("7", "3")
    assert row["because"].endswith("only in B: 'a {}.'")
    assert "'a photo of 2 {}.', 'a photo of 3 {}.' and 3 more" in row["because"]


def test_class_names(compared, recipe):
    names = ("cat", "hound", "fox", "owl")
    found = compared({"class_names": names, "text_seed": 3})
    assert reasons(found) == {"class names differ: 1 of 4"}
    assert one(found, "class_names")["because"] == "only in A: 'dog'; only in B: 'hound'"


def test_a_scale_moves_confidences_and_no_prediction(compared):
    found = compared({"scale": 6.0})
    assert reasons(found) == {"scale 5.0 against 6.0"}
    assert not [w for w in found["what"] if w.startswith(("prediction", "accuracy"))]


def test_a_scale_is_not_blamed_for_predictions(compared):
    found = compared({"scale": 6.0, "seed": 5})
    assert one(found, "prediction (samples that differ)")["because"] == "unexplained"
    assert one(found, "confidence (largest difference)")["because"] == "scale 5.0 against 6.0"


def test_heads_of_other_names_are_not_compared(compared):
    found = compared({"head": "name--pets", "scale": 6.0})
    assert found.select("kind", "where", "what").rows() == [
        ("only in A", "vit / photo--pets", "head"),
        ("only in B", "vit / name--pets", "head"),
    ]


def test_the_rule_of_a_label_space(compared):
    spaces = [(ClassMap("two", MEMBERS, rule),) for rule in ("max", "mean")]
    found = compared({"spaces": spaces[1]}, {"spaces": spaces[0]})
    assert reasons(found) == {"label space differs: rule max against mean"}
    assert ingredients(found) == [("space", "pets / two", "rule")]
    places = found.filter(pl.col("kind") == "number")["where"]
    assert all(place.endswith("/ two") for place in places)


def test_the_members_of_a_label_space(compared):
    others = {"kept": ("cat", "fox"), "wild": ("dog", "owl")}
    found = compared(
        {"spaces": (ClassMap("two", others),)}, {"spaces": (ClassMap("two", MEMBERS),)}
    )
    assert reasons(found) == {"label space differs: members differ"}


def test_right_labels_of_a_column(compared, relabelled, recipe):
    spaces = (ClassMap("real", {}, labels="real"),)
    names = ("cat", "dog", "fox", "owl")
    columns = [{"real": [names[i] for i in labels]} for labels in (recipe.labels, relabelled)]
    found = compared({"annotations": columns[1]}, {"annotations": columns[0], "spaces": spaces})
    assert reasons(found) == {"right labels differ: annotation real"}
    assert set(found.filter(pl.col("kind") == "number")["where"]) == {
        "vit / pets / photo--pets / real"
    }


def test_provenance_is_a_possibility(compared):
    found = compared({"provenance": {"torch": "2.15.0", "device": "cpu"}, "seed": 5})
    assert reasons(found) == {"perhaps torch 2.14.0 against 2.15.0"}
    assert ingredients(found) == [("provenance", "vit", "torch")]


def test_what_nothing_explains_is_said_to_be_unexplained(compared):
    found = compared({"seed": 5})
    assert reasons(found) == {"unexplained"}
    assert ingredients(found) == []


def test_other_pictures(compared):
    found = compared({"pictures": (4, 7)}, arrays=True)
    assert reasons(found) == {"data set fingerprint differs: 2 pictures"}
    assert one(found, "prediction (samples that differ)")["difference"] <= 2
    assert one(found, "embeddings (largest cosine distance)")["difference"] == pytest.approx(2.0)


def test_samples_of_one_store_alone(compared):
    found = compared({"rows": tuple(range(50))}, arrays=True)
    assert reasons(found) == {"data set fingerprint differs: 10 samples only in A"}
    assert one(found, "10 samples")["kind"] == "only in A"
    assert one(found, "accuracy: n_samples")["difference"] == -10.0
    whats = set(found["what"].str.split(" ").list.first())
    assert not {"prediction", "correct", "confidence", "embeddings", "logits"} & whats


@pytest.mark.parametrize("arrays", [False, True])
def test_samples_are_matched_by_id_in_any_order(compared, arrays):
    found = compared({"rows": tuple(range(59, -1, -1))}, arrays=arrays)
    assert reasons(found) == set()
    (row,) = found.to_dicts()
    assert (row["what"], row["because"]) == (
        "fingerprint",
        "the order alone: 60 samples in other rows",
    )


def test_a_picture_that_failed_in_one_store(compared):
    found = compared({"failed": (7,)})
    assert reasons(found) == {
        "failed pictures: 0 in A alone, 1 in B alone",
        "samples without an outcome: 0 in A alone, 1 in B alone",
    }


def test_blocks_of_other_sizes_are_no_difference(compared):
    assert compared({"block_rows": 32}).is_empty()


def test_factors_of_design(compared):
    found = compared({"factors": {"loss": "sigmoid"}}, {"factors": {"loss": "softmax"}})
    assert ingredients(found) == [("factor", "vit", "loss")]
    assert reasons(found) == set()


def test_the_first_sufficient_cause_comes_first_and_others_after_it(compared, recipe, relabelled):
    """Three labels do not make forty predictions differ: the transform does."""
    found = compared(
        {
            "labels": relabelled,
            "identity": recipe.identity | {"transform": OTHER},
            "provenance": {"torch": "2.15.0", "device": "cpu"},
            "templates": ("a {}.",),
            "text_seed": 3,
            "seed": 5,
        }
    )
    because = one(found, "accuracy: top1_accuracy")["because"]
    assert because.split("; also ") == [
        "transform differs",
        "templates differ: 1 of 1",
        "in part data set fingerprint differs: 3 labels",
        "perhaps torch 2.14.0 against 2.15.0",
    ]
    prediction = one(found, "prediction (samples that differ)")["because"]
    assert "fingerprint" not in prediction


def test_labels_that_account_for_all_come_before_a_transform(compared, recipe, relabelled):
    """The transform differs too, but only samples whose labels differ are judged otherwise."""
    identity = recipe.identity | {"transform": OTHER}
    found = compared({"labels": relabelled, "identity": identity, "block_rows": 32})
    because = one(found, "accuracy: top1_accuracy")["because"]
    assert because == "data set fingerprint differs: 3 labels; also transform differs"


def test_arrays_settle_what_digests_leave_open(build, recipe, relabelled):
    """In other blocks, equal embeddings have other digests: read, they acquit the transform."""
    a = build("a")
    identity = recipe.identity | {"transform": OTHER}
    b = build("b", labels=relabelled, identity=identity, block_rows=32)
    assert "transform" in one(diff(a, b), "accuracy: top1_accuracy")["because"]
    assert reasons(diff(a, b, arrays=True)) == {"data set fingerprint differs: 3 labels"}


def test_numbers_come_first_and_the_largest_difference_first(compared):
    found = compared({"seed": 5, "factors": {"loss": "sigmoid"}})
    n_numbers = (found["kind"] == "number").sum()
    assert set(found["kind"][:n_numbers]) == {"number"}
    sizes = found["difference"][:n_numbers].abs().to_list()
    known = [size for size in sizes if size is not None]
    assert known == sorted(known, reverse=True)
    assert sizes[: len(known)] == known


def test_a_tolerance_leaves_out_what_is_smaller(compared):
    found = compared({"seed": 5}, tolerance=0.2)
    numbers = found.filter((pl.col("kind") == "number") & pl.col("difference").is_not_null())
    assert numbers.height > 0
    assert (numbers["difference"].abs() > 0.2).all()
