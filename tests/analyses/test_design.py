"""`design`, `design-effects`, `matched-pairs`: planted effects, naive pairs, published models."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from cli import main
from embedstore import Store, analysis, zoo
from embedstore.across.design import SIX
from embedstore.errors import EmbedStoreError
from embedstore.published import results
from embedstore.testing.simulate import EFFECTS, Design, simulate_store
from embedstore.testing.stores import random_store

METRIC = "accuracy.top1_accuracy?dataset=simulated"
PUBLISHED = "accuracy.top1_accuracy?dataset=imagenet-val"


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Store:
    path = tmp_path_factory.mktemp("design") / "s"
    return simulate_store(path, n_models=120, n_samples=3_000, design=Design(), seed=1).store


@pytest.fixture
def empty(tmp_path) -> Store:
    return Store.open(tmp_path / "empty", create=True)


def test_planted_effects_are_recovered(planted):
    found = analysis.run("design-effects", planted, metric=METRIC, axis="probit")
    facts = {fact: factor for factor, named in SIX.items() for fact in named}
    for row in found.to_dicts():
        fact, _, level = row["term"].removeprefix("log10 ").partition("=")
        truth = EFFECTS[fact]
        expected = truth[level] - truth[row["reference"]] if level else 0.2
        assert row["factor"] == facts[fact]
        assert row["effect"] == pytest.approx(expected, abs=0.05)
        assert row["effect_low"] - 0.02 < expected < row["effect_high"] + 0.02
    assert found.height == 2 + 2 + 1 + 1 + 1 + 1


def test_factors_explain_as_much_as_was_planted(planted):
    found = analysis.run("design", planted, metric=METRIC, axis="probit")
    models = [planted.model(m).factors for m in planted.models]
    total = {}
    for factor, facts in SIX.items():
        (fact,) = [f for f in facts if f in EFFECTS]
        total[factor] = np.var([EFFECTS[fact][m[fact]] for m in models])
    share = {factor: variance / sum(total.values()) for factor, variance in total.items()}
    for row in found.to_dicts():
        assert row["drop_r2"] == pytest.approx(share[row["factor"]], abs=0.07)
        assert row["drop_r2_low"] < row["drop_r2"] < row["drop_r2_high"]
        assert row["q_value"] >= row["p_value"]
        assert (row["n_models"], row["n_left_out"], row["note"]) == (120, 0, None)
    assert found["drop_r2"].is_sorted(descending=True)
    assert found["r2"].unique().item() > 0.9


def test_intervals_are_seeded(planted):
    first, again, other = (
        analysis.find("design")(planted, metric=METRIC, n_resamples=100, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first.equals(again)
    assert not first["drop_r2_low"].equals(other["drop_r2_low"])


def equal(a, b, facts, tolerance):
    for fact in facts:
        if fact in ("n_parameters", "training_samples"):
            if a[fact] is None or b[fact] is None:
                return False
            if max(a[fact], b[fact]) > tolerance * min(a[fact], b[fact]):
                return False
        elif a[fact] != b[fact] or (a[fact] is None and fact != "patch"):
            return False
    return True


def test_pairs_beside_a_naive_search(empty):
    frame = analysis.run("matched-pairs", empty, metric=PUBLISHED, published="open_clip")
    found = {(r["factor"], frozenset((r["first"], r["second"]))) for r in frame.to_dicts()}
    assert len(found) == frame.height
    rows = []
    for row in published_models():
        rows.append({**zoo.find(row["spec"]), "model": row["model"]})
    naive = set()
    for a, b in combinations(rows, 2):
        for factor, facts in SIX.items():
            others = [f for name, named in SIX.items() if name != factor for f in named]
            differs = any(
                not equal(a, b, [f], 1.25) and a[f] is not None and b[f] is not None
                if f != "patch"
                else a[f] != b[f]
                for f in facts
            )
            if equal(a, b, others, 1.25) and differs:
                naive.add((factor, frozenset((a["model"], b["model"]))))
    assert found == naive
    assert len({factor for factor, _ in naive}) == 5  # of prompts nothing differs


def published_models():
    frame = results("open_clip").select("model", "spec").unique()
    return frame.sort("model").to_dicts()


def test_means_of_pairs_of_the_same_levels(empty):
    frame = analysis.run("matched-pairs", empty, metric=PUBLISHED, published="open_clip")
    levels = ["factor", "first_level", "second_level"]
    for part in frame.partition_by(levels):
        difference = part["second_value"] - part["first_value"]
        assert part["difference"].to_list() == difference.to_list()
        assert part["mean_difference"][0] == pytest.approx(difference.mean())
        assert set(part["n_pairs"]) == {part.height}
        if part.height == 1:
            assert part["mean_low"].null_count() == 1
        else:
            assert part["mean_low"][0] <= part["mean_difference"][0] <= part["mean_high"][0] + 1e-12
    sizes = frame.filter(factor="training_size")
    first, second = (sizes[f"{side}_level"].cast(pl.Int64) for side in ("first", "second"))
    assert (second > 1.25 * first).all()


def test_published_models_through_the_command(tmp_path):
    store = str(random_store(tmp_path / "s").files.root)
    words = ["--metric", PUBLISHED, "--published", "open_clip", "--axis", "probit"]
    done = CliRunner().invoke(main, ["analyze", "design", store, *words, "--format", "json"])
    assert done.exit_code == 0, done.stderr
    rows = {row["factor"]: row for row in json.loads(done.stdout)}
    assert set(rows) == set(SIX)
    assert rows["prompts"]["note"] == "all models have the same"
    assert rows["prompts"]["drop_r2"] is None
    assert rows["loss"]["collinear_with"] == "training_distribution"  # WebLI's are all sigmoid
    assert rows["training_size"]["n_models"] + rows["training_size"]["n_left_out"] == 121
    assert rows["training_size"]["p_value"] < 1e-20


def test_terms_that_others_add_up_to_have_no_effect_and_say_so(empty):
    asked = {"metric": PUBLISHED, "axis": "probit", "published": "open_clip"}
    found = analysis.run("design-effects", empty, **asked)
    notes = dict(found.filter(pl.col("effect").is_null()).select("term", "note").iter_rows())
    assert notes == dict.fromkeys(["patch=none", "loss=sigmoid"], "other terms tell the same")
    assert found.filter(pl.col("note").is_not_null()).height == 2
    sizes = found.filter(term="log10 training_samples")
    assert sizes["effect"].item() > 0.5


def test_bad_input(planted, tmp_path):
    for name in ("matched-pairs", "design"):
        with pytest.raises(EmbedStoreError, match="give a factor of 1 or more"):
            analysis.run(name, planted, metric=METRIC, tolerance=0.5)
    with pytest.raises(EmbedStoreError, match="choose at least 3$"):
        analysis.run("design", planted, metric=METRIC, models="model-00[01]")
    with pytest.raises(EmbedStoreError, match="cannot tell"):
        analysis.run("design-effects", planted, metric=METRIC, models="model-00[0-4]")
    with pytest.raises(EmbedStoreError, match="choose one"):
        analysis.run("design", planted, metric="a", published="open_clip", table="b.csv")
    with pytest.raises(EmbedStoreError, match="factor of design 'size'"):
        analysis.run("matched-pairs", planted, metric=METRIC, factor="size")
