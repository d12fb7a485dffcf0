"""Points of models: two figures side by side, their groups, their places on the axes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import logit, ndtri

from embedstore.across.points import (
    POINTS,
    grouped,
    place,
    places,
    published_points,
    split,
    stored_points,
    tabled_points,
)
from embedstore.errors import EmbedStoreError, UnknownNameError
from embedstore.testing.simulate import add_shift, simulate_store
from embedstore.testing.stores import random_store

TOP1 = "accuracy.top1_accuracy?dataset="


def hits(n: int) -> list[bool]:
    return [True] * n + [False] * (10 - n)


@pytest.fixture
def store(tmp_path):
    return random_store(tmp_path / "s", models=(), datasets=("a", "b"), n_samples=10)


def points(store, x: str = f"{TOP1}a", y: str = f"{TOP1}b") -> pl.DataFrame:
    found = stored_points(store, x, y)
    assert found.schema == dict(POINTS)
    return found


def test_two_figures_side_by_side(tmp_path):
    sim = simulate_store(tmp_path / "s", groups={"imagenet": 2, "zero-shot": 1}, n_samples=300)
    add_shift(sim, "v2", intercept=-0.2, n_samples=200)
    found = points(sim.store, f"{TOP1}simulated", f"{TOP1}v2")
    outcomes = sim.store.outcomes().collect().sort("model")
    for column, dataset, n in (("x", "simulated", 300), ("y", "v2", 200)):
        rows = outcomes.filter(pl.col("dataset") == dataset)
        expected = rows.group_by("model", maintain_order=True).agg(pl.col("correct").mean())
        assert found[column].to_list() == expected["correct"].to_list()
        assert found[f"n_{column}"].to_list() == [n] * 3
    by = grouped(found, "group")["by"]
    assert by.to_list() == list(sim.groups)
    assert grouped(found, "architecture")["by"].to_list() == found["architecture"].to_list()


def test_a_model_that_lacks_either_is_kept(store, say):
    for model, dataset, n in (("p", "a", 4), ("p", "b", 6), ("q", "a", 5), ("r", "b", 7)):
        say(store, model, hits(n), dataset=dataset)
    found = points(store)
    rows = found.select("model", "x", "y", "n_x", "n_y").rows()
    assert rows == [("p", 0.4, 0.6, 10, 10), ("q", 0.5, None, 10, None), ("r", None, 0.7, None, 10)]


def test_heads_of_the_same_prompts_pair(store, say):
    for dataset, heads in (("a", {"name": 3, "openai-80": 5}), ("b", {"openai-80": 6, "cupl": 7})):
        for prompts, n in heads.items():
            say(store, "clip", hits(n), dataset=dataset, head=f"{prompts}--{dataset}")
    say(store, "vit", hits(8), dataset="a", head="own")
    say(store, "vit", hits(4), dataset="b", head="own")
    assert points(store).select("model", "prompts", "x", "y").rows() == [
        ("clip", "openai-80", 0.5, 0.6),
        ("vit", "none", 0.8, 0.4),
    ]


def test_one_head_of_each_pairs_whatever_its_name(store, say):
    say(store, "clip", hits(3), dataset="a", head="photo--a")
    say(store, "clip", hits(4), dataset="b", head="predicted")
    assert points(store).select("x", "y").rows() == [(0.3, 0.4)]


def test_a_second_head_on_one_side_is_no_other_pair(store, say):
    for head, n in (("name--a", 3), ("photo--a", 5)):
        say(store, "clip", hits(n), dataset="a", head=head)
    say(store, "clip", hits(6), dataset="b", head="photo--b")
    assert points(store).select("x", "y").rows() == [(0.5, 0.6)]


def test_several_pairs_ask_for_a_head(store, say):
    for dataset in "ab":
        for prompts, n in (("name", 3), ("photo", 5)):
            say(store, "clip", hits(n), dataset=dataset, head=f"{prompts}--{dataset}")
    message = r"'clip' has 2 pairs of .* of the heads name--a, name--b, photo--a, photo--b; choose"
    with pytest.raises(EmbedStoreError, match=message):
        points(store)
    chosen = points(store, f"{TOP1}a&head=photo*", f"{TOP1}b&head=photo*")
    assert chosen.select("x", "y").rows() == [(0.5, 0.5)]


def test_published_models_that_lack_either_are_kept_too():
    found = published_points(f"{TOP1}imagenet-val&space=imagenet-a", f"{TOP1}imagenet-a", "timm")
    assert found.schema == dict(POINTS)
    assert found["model"].n_unique() == found.height == 1_556
    assert found["x"].null_count() == 1
    assert found["y"].null_count() == 0
    assert found.filter(pl.col("x").is_not_null())["group"].value_counts().height == 5


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ImageNet 1k", ("ImageNet 1k", "")),
        (f"top1={TOP1}a&head=own", ("top1", f"{TOP1}a&head=own")),
        (f"{TOP1}a", (f"{TOP1}a", "")),
    ],
)
def test_a_column_and_what_it_is_in_a_store(text, parts):
    assert split(text) == parts


def test_points_of_files_by_a_column_of_theirs(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model,top1,shifted,family\na,0.5,0.3,cnn\nb,0.6,,vit\nc,0.7,0.5,\n")
    found = tabled_points("top1", f"shifted={TOP1}b", str(path), "family")
    assert found.schema == dict(POINTS)
    assert found.select("model", "x", "y").rows() == [
        ("a", 0.5, 0.3),
        ("b", 0.6, None),
        ("c", 0.7, 0.5),
    ]
    assert grouped(found, "family", tabled=True)["by"].to_list() == ["cnn", "vit", "other"]
    with pytest.raises(
        UnknownNameError, match="fact to group models by 'family'; choose one of: a"
    ):
        grouped(found, "family")


def test_places_on_the_axes():
    frame = pl.DataFrame(
        {
            "x": [0.2, 0.0, 1.0, None],
            "y": [0.5, -2.0, 3.0, 1.0],
            "n_x": [10, 10, 4, None],
            "n_y": None,
        },
        schema_overrides={"n_y": pl.Int64},
    )
    found = places(frame, ("probit", "linear"))
    np.testing.assert_allclose(found.x, [*ndtri([0.2, 0.05, 0.875]), np.nan])
    assert found.y.tolist() == [0.5, -2.0, 3.0, 1.0]
    assert found.clipped.tolist() == [False, True, True, False]
    np.testing.assert_allclose(places(frame, ("logit", "linear")).x[:3], logit([0.2, 0.05, 0.875]))


def test_counts_that_are_not_known():
    values, counts = pl.Series([0.0, 0.25, 1.0]), pl.Series([None, None, 8], dtype=pl.Int64)
    found, clipped = place(values, counts, "probit", 50)
    np.testing.assert_allclose(found, ndtri([0.01, 0.25, 15 / 16]))
    assert clipped.tolist() == [True, False, True]
    with pytest.raises(EmbedStoreError, match="say of how many: --n-samples, so that .* linear"):
        place(values, counts, "probit")
    with pytest.raises(EmbedStoreError, match=r"1\.5 is not a proportion; .* use the linear axis"):
        place(pl.Series([1.5, 0.5, 0.5]), counts, "logit", 50)
