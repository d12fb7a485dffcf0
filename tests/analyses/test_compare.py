"""Two models side by side: published counts, oracles, naive references, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy.stats import bootstrap
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cli import main
from embedstore import Store, analysis
from embedstore.errors import EmbedStoreError
from embedstore.heads import Head
from embedstore.heads.applying import apply_head
from embedstore.heads.stored import load_head, save_head
from embedstore.schema.across import COMPARE
from embedstore.store.datasets import save_annotations
from embedstore.testing.simulate import simulate_store
from embedstore.testing.stores import random_store

N = 40


def call(*words: object) -> str:
    done = CliRunner().invoke(main, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def compared(store: Store, first: str = "a", second: str = "b", **options: object) -> list[dict]:
    return analysis.run("compare", store, first=first, second=second, **options).to_dicts()


# -- published decisions -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def decisions(tmp_path_factory, shared_data) -> Path:
    """LLaVA's answers on the cue-conflict pictures, and those of the CLIP that it sees through."""
    path, folder = (
        tmp_path_factory.mktemp("cue") / "c.store",
        shared_data / "cue-conflict-decisions",
    )
    to = (path, "--dataset", "cue-conflict", "--layout")
    names, said = folder / "subject-03.csv", folder / "clip-ViT-L-14-336-openai.csv"
    answers = shared_data / "lmm-answers" / "llava-1.5-7b-cue-conflict.csv"
    call("import", "samples", *to, "cue-conflict", "--file", names)
    for kind, model, protocol, file in (
        ("predictions", "clip", "names-16", said),
        ("answers", "llava", "letters-16", answers),
    ):
        words = ("--model", model, "--protocol", protocol, "--file", file)
        call("import", kind, *to, "vlm-shapebias", *words)
    return path


@pytest.mark.parametrize(
    ("words", "counts", "p"),
    [
        ((), (588, 81, 88, 523), 0.6445),
        (("--where", "shape <> texture"), (515, 80, 86, 519), 0.6981),
    ],
)
def test_llava_against_its_clip(decisions, words, counts, p):
    sides = ("--first", "llava", "--second", "clip")
    (row,) = json.loads(call("analyze", "compare", decisions, *sides, *words, "--format", "json"))
    assert list(row) == list(COMPARE)
    assert tuple(row[c] for c in ("both_right", "first_only", "second_only", "neither")) == counts
    assert row["mcnemar_p"] == pytest.approx(p, abs=5e-5)
    assert (row["n_samples"], row["n_left_out"]) == (sum(counts), 0)
    assert row["where"] == (words[1] if words else None)
    assert row["note"] == "protocols differ: letters-16 and names-16"
    assert row["difference_low"] < (counts[1] - counts[2]) / sum(counts) < row["difference_high"]


# -- oracles and naive references -----------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate_store(tmp_path_factory.mktemp("sim") / "s", n_samples=2_000, seed=5)


def test_counts_test_and_kappa_against_other_libraries(simulated):
    models = "model-000", "model-001"
    (row,) = compared(simulated.store, *models)
    tables = [simulated.store.outcomes(model).collect() for model in models]
    a, b = (table["correct"].to_numpy() for table in tables)
    cells = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    names = ("both_right", "first_only", "second_only", "neither")
    assert [row[c] for c in names] == np.ravel(cells).tolist()
    assert row["mcnemar_p"] == pytest.approx(mcnemar(cells, exact=True).pvalue, rel=1e-9)
    assert row["mcnemar_q"] == row["mcnemar_p"]
    assert row["error_consistency"] == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    same = tables[0]["prediction"] == tables[1]["prediction"]
    assert row["agreement"] == pytest.approx(same.mean(), abs=1e-12)
    assert (row["first_accuracy"], row["second_accuracy"]) == (a.mean(), b.mean())
    assert row["difference"] == pytest.approx(a.mean() - b.mean(), abs=1e-12)


def test_the_interval_is_scipys_and_holds_the_planted_difference(simulated):
    models = "model-000", "model-001"
    (row,) = compared(simulated.store, *models)
    a, b = (simulated.store.outcomes(m).collect()["correct"].to_numpy() for m in models)

    def difference(x, y, axis):
        return x.mean(axis) - y.mean(axis)

    random = np.random.default_rng(0)
    options = {"paired": True, "method": "percentile", "n_resamples": 4_000, "rng": random}
    oracle = bootstrap((a, b), difference, **options).confidence_interval
    assert row["difference_low"] == pytest.approx(oracle.low, abs=0.003)
    assert row["difference_high"] == pytest.approx(oracle.high, abs=0.003)
    planted = simulated.probabilities.mean(axis=1)
    assert row["difference_low"] < planted[0] - planted[1] < row["difference_high"]


def test_clusters_are_drawn_whole(tmp_path, say):
    """Each of 50 objects in 4 views that all models judge alike: as 50 samples, not 200."""
    store = random_store(tmp_path / "s", n_samples=200)
    random = np.random.default_rng(2)
    a, b = (random.random(50) < p for p in (0.8, 0.6))
    names = [f"object {i}" for i in range(50)]
    frame = pl.DataFrame({"object": np.repeat(names, 4)})
    save_annotations(store.files, "data", "objects", frame)
    for model, right in (("a", a), ("b", b)):
        say(store, model, np.repeat(right, 4).tolist())
    (whole,), (single,) = compared(store, clusters="object"), compared(store)
    draws = np.random.default_rng(3).integers(0, 50, (20_000, 50))
    low, high = np.quantile((a[draws].mean(1) - b[draws].mean(1)), [0.025, 0.975])
    assert whole["difference_low"] == pytest.approx(low, abs=0.021)  # one object is 0.02
    assert whole["difference_high"] == pytest.approx(high, abs=0.021)
    assert single["difference_high"] - single["difference_low"] < 0.6 * (high - low)
    assert "clusters of 'object' drawn whole" in whole["convention"]


def test_several_data_sets_are_corrected_together(tmp_path):
    datasets = ("x", "y", "z")
    store = random_store(tmp_path / "s", models=("a", "b"), datasets=datasets, n_samples=300)
    rows = compared(store)
    assert [row["dataset"] for row in rows] == list(datasets)
    adjusted = multipletests([row["mcnemar_p"] for row in rows], method="fdr_bh")[1]
    assert [row["mcnemar_q"] for row in rows] == pytest.approx(adjusted)
    (alone,) = compared(store, datasets="y")
    assert alone["mcnemar_q"] == alone["mcnemar_p"] == rows[1]["mcnemar_p"]


def test_a_model_and_itself_under_another_name(tmp_path, say):
    store = random_store(tmp_path / "s")
    right = [True, False] * 20
    say(store, "a", right, prediction=[0] * N)
    say(store, "b", right, prediction=[0] * 39 + [None])
    (row,) = compared(store)
    assert (row["difference"], row["difference_low"], row["difference_high"]) == (0, 0, 0)
    assert (row["mcnemar_p"], row["error_consistency"]) == (1, 1)
    assert row["agreement"] == 39 / 40  # an answer without a class agrees with none
    say(store, "c", [True] * N)
    say(store, "d", [True] * N)
    (always,) = compared(store, "c", "d")
    assert (always["first_accuracy"], always["error_consistency"]) == (1, None)


# -- heads and label spaces -----------------------------------------------------------------------


@pytest.fixture
def two_heads(tmp_path) -> Store:
    store = random_store(tmp_path / "s")
    own = load_head(store, "model", "own")
    order = (3, 1, 4, 0, 2)
    head = Head(
        tuple(own.class_ids[i] for i in order), own.weights[list(order)], scale=4.0, normalize=True
    )
    save_head(store, "model", "turned", head, {"kind": "zero-shot"})
    apply_head(store, "model", "data", "turned")
    return store


def test_two_heads_of_one_model(two_heads):
    (row,) = compared(two_heads, "model@own", "model@turned")
    assert (row["first_head"], row["second_head"]) == ("own", "turned")
    assert (row["agreement"], row["difference"]) == (1, 0)
    with pytest.raises(EmbedStoreError, match="several heads .* own, turned; name one as model@"):
        compared(two_heads, "model", "model@turned")


def test_predictions_that_count_classes_in_another_order_agree_by_class(tmp_path, say):
    store = random_store(tmp_path / "s")
    right = [True] * N
    say(store, "a", right, prediction=[0, 1, 2, 4] * 10, class_ids=("p", "q", "r", "s", "t"))
    say(store, "b", right, prediction=[4, 1, 3, 0] * 10, class_ids=("t", "q", "s", "r", "p"))
    (row,) = compared(store)
    assert row["agreement"] == 1
    say(store, "c", right, prediction=[0, 1, 2, 4] * 10, class_ids=("p", "q", "r", "s", "u"))
    with pytest.raises(EmbedStoreError, match="chooses among 5 classes and 'c' among others"):
        compared(store, "a", "c")


def test_names_may_hold_an_at_sign(tmp_path, say):
    store = random_store(tmp_path / "s")
    say(store, "soup@0.5", [True] * N, head="h@1")
    say(store, "b", [False] * N)
    for name in ("soup@0.5", "soup@0.5@h@1"):
        (row,) = compared(store, name, "b")
        assert (row["first"], row["first_head"], row["difference"]) == ("soup@0.5", "h@1", 1)


def test_spaces_are_never_mixed(tmp_path, say):
    store = random_store(tmp_path / "s")
    say(store, "a", [True] * N, space="all")
    say(store, "a", [False] * N, space="coarse")
    say(store, "b", [True] * N, space="coarse")
    (row,) = compared(store)
    assert (row["space"], row["difference"]) == ("coarse", -1)
    say(store, "c", [True] * N, space="fine")
    with pytest.raises(EmbedStoreError, match="'a' is judged in label space all, coarse .* fine"):
        compared(store, "a", "c")
    with pytest.raises(EmbedStoreError, match="unknown label space .* 'all'; choose one of: coars"):
        compared(store, space="all")


# -- rows -----------------------------------------------------------------------------------------


@pytest.fixture
def partial(tmp_path, say) -> Store:
    """The first failed on 3 samples; the second, a fitted head, has seen 10 others."""
    store = random_store(tmp_path / "s")
    save_annotations(store.files, "data", "n", pl.DataFrame({"n": range(N)}))
    say(store, "a", [None] * 3 + [True] * 37)
    say(store, "b", [False] * 30 + [None] * 10, space="all--held-out")
    return store


def test_other_rows_are_refused_or_intersected(partial):
    with pytest.raises(
        EmbedStoreError, match="27 both, 10 the first alone, 3 the second alone; .* --rows common"
    ):
        compared(partial)
    (row,) = compared(partial, rows="common")
    assert (row["n_samples"], row["n_left_out"], row["rows"]) == (27, 13, "common")
    assert (row["first_accuracy"], row["second_accuracy"], row["space"]) == (1, 0, "all")


def test_a_condition_comes_before_the_rows(partial):
    (row,) = compared(partial, where="n BETWEEN 3 AND 29")
    assert (row["n_samples"], row["n_left_out"]) == (27, 0)
    (row,) = compared(partial, where="n > 20", rows="common")
    assert (row["n_samples"], row["n_left_out"]) == (9, 10)


# -- what is refused ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd(tmp_path_factory, say) -> Store:
    """Models of which few can be compared."""
    path = tmp_path_factory.mktemp("odd") / "s"
    store = random_store(path, models=("a", "b"), datasets=("data", "other"))
    view = ["one"] * N
    frame = pl.DataFrame({"view": view, "part": [*view[1:], None]})
    save_annotations(store.files, "data", "views", frame)
    say(store, "single", [True] + [None] * 39, dataset="other")
    say(store, "blind", [None] * N, dataset="other")
    say(store, "dumb", [None] * N, dataset="other")
    say(store, "elsewhere", [True] * N, dataset="data")
    return store


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": "z"}, "unknown model 'z'; choose one of: a, b"),
        ({"first": "a@z"}, "unknown head of model 'a' 'z'; choose one of: own"),
        ({"datasets": "z"}, "unknown data set 'z'; choose one of: data, other"),
        ({"second": "a"}, "'a' and 'a' are the same run; name another model, or another head"),
        ({"second": "a@own"}, "'a' and 'a@own' are the same run"),
        (
            {"first": "blind", "second": "elsewhere"},
            "no data set in common \\(other; data\\); encode or import one for both",
        ),
        ({"first": "dumb", "second": "blind"}, "no sample of other has a label .* --datasets"),
        (
            {"first": "single", "rows": "common"},
            "judged 1 of the samples chosen of data set 'other' .* 2 or more",
        ),
        ({"first": "blind", "rows": "common"}, "judged 0 of the samples chosen"),
        ({"where": "fog"}, "cannot be chosen by 'fog': unable to find column \"fog\""),
        ({"where": "label ="}, "cannot be chosen by 'label =': .* such as: shape <> texture"),
        ({"where": "label"}, "'label' is not true or false of each sample of 'data'"),
        ({"where": "label > 99"}, "no sample of 'data' meets the condition 'label > 99'"),
        ({"clusters": "z", "datasets": "data"}, "no column 'z' of clusters; .* --clusters"),
        (
            {"clusters": "part", "datasets": "data"},
            "says no cluster of 1 samples; choose others with --where 'part IS NOT NULL'",
        ),
        ({"clusters": "view", "datasets": "data"}, "all samples of 'data' are in one cluster"),
        ({"n_resamples": 0}, "0 resamples asked for"),
    ],
)
def test_what_cannot_be_compared(odd, options, message):
    with pytest.raises(EmbedStoreError, match=message) as refused:
        compared(odd, **({"first": "a", "second": "b"} | options))
    assert "\n" not in str(refused.value)


def test_data_sets_without_labels_are_passed_over(odd, say, tmp_path):
    store = random_store(tmp_path / "s", datasets=("data", "other"))
    for model in ("a", "b"):
        say(store, model, [None] * N, dataset="other")
        say(store, model, [True, False] * 20, dataset="data")
    assert [row["dataset"] for row in compared(store)] == ["data"]


def test_the_command_says_so_in_one_line(odd):
    words = ["analyze", "compare", str(odd.files.root), "--first", "a", "--second", "z"]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 1
    assert "unknown model 'z'; choose one of: a, b" in done.stderr
    assert done.stderr.count("\n") == 1
