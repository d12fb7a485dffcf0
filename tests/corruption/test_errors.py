"""Corruption errors against loops over rows, and where something is missing."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

from embedstore.corruption.benchmarks import cells_of
from embedstore.corruption.errors import figures
from embedstore.corruption.normaliser import ERRORS, Normaliser
from embedstore.schema.corruption import CORRUPTIONS, UNDER_CORRUPTION
from embedstore.stats.intervals import clopper_pearson

CORRUPTIONS_THERE = ("fog", "frost", "contrast", "rain")
SEVERITIES = (1, 2, 3)
KINDS = {"fog": "weather", "frost": "weather", "contrast": "digital", "rain": None}
CELLS = list(itertools.product(CORRUPTIONS_THERE, SEVERITIES))


def measured(random, models=("a", "b"), n=200, lacking=(), clean=True) -> pl.DataFrame:
    """Random accuracies of models; `lacking` are (model, corruption, severity)."""
    rows = []
    for model in models:
        for corruption, severity in [*CELLS, *([(None, 0)] if clean else [])]:
            if (model, corruption, severity) in lacking:
                continue
            k = int(random.integers(0, n // 2)) if severity else 3 * n // 4
            row = (model, "own", "all", "photos", corruption, severity, f"d{severity}", n, k, 0)
            rows.append((*row, k / n))
    return pl.DataFrame(rows, schema=dict(UNDER_CORRUPTION), orient="row")


def divisors(random, lacking=(), clean: float | None = 0.2, by_severity=True) -> Normaliser:
    rows = [
        (c, s, float(random.uniform(0.5, 0.9)), by_severity)
        for c, s in CELLS
        if (c, s) not in lacking
    ]
    rows += [] if clean is None else [(None, 0, clean, True)]
    return Normaliser("x", "made up", pl.DataFrame(rows, schema=dict(ERRORS), orient="row"))


def found(rows, normaliser, by, partial=False) -> pl.DataFrame:
    cells = cells_of(pl.DataFrame(CELLS, schema=["corruption", "severity"], orient="row"), None,
                     extra=False)  # fmt: skip
    frame = figures(rows, cells, normaliser, by=by, partial=partial, no_clean=pl.lit("no clean"))
    assert dict(frame.schema) == dict(CORRUPTIONS)
    return frame


def naive(rows, normaliser, model, corruption, severities=SEVERITIES) -> tuple[float, float, float]:
    """Accuracy, corruption error and relative one, summed in a loop."""
    own = {
        (r["corruption"], r["severity"]): r["accuracy"]
        for r in rows.to_dicts()
        if r["model"] == model
    }
    theirs = {(r["corruption"], r["severity"]): r["error"] for r in normaliser.errors.to_dicts()}
    clean, clean_divisor = 1 - own[None, 0], theirs[None, 0]
    error = divisor = more = divisor_more = 0.0
    for s in severities:
        error += 1 - own[corruption, s]
        divisor += theirs[corruption, s]
        more += 1 - own[corruption, s] - clean
        divisor_more += theirs[corruption, s] - clean_divisor
    accuracy = sum(own[corruption, s] for s in severities) / len(severities)
    return accuracy, error / divisor, more / divisor_more


@pytest.fixture
def random():
    return np.random.default_rng(4)


def test_each_level_is_what_loops_find(random):
    rows, divided = measured(random), divisors(random)
    columns = ("accuracy", "corruption_error", "relative_corruption_error")
    by_corruption = {}
    for row in found(rows, divided, "corruption").to_dicts():
        expected = naive(rows, divided, row["model"], row["corruption"])
        assert [row[c] for c in columns] == pytest.approx(expected)
        assert (row["kind"], row["n_samples"]) == (KINDS[row["corruption"]], 600)
        assert (row["dataset"], row["accuracy_low"], row["note"]) == (None, None, None)
        by_corruption[row["model"], row["corruption"]] = expected
    assert len(by_corruption) == 8

    for row in found(rows, divided, "severity").to_dicts():
        s = row["severity"]
        expected = naive(rows, divided, row["model"], row["corruption"], [s])
        assert [row[c] for c in columns] == pytest.approx(expected)
        low, high = clopper_pearson(round(200 * row["accuracy"]), 200)
        assert (row["accuracy_low"], row["accuracy_high"]) == (low, high)
        assert row["dataset"] == f"d{s}"

    means = ("accuracy", "mean_corruption_error", "relative_mean_corruption_error")
    for by in ("benchmark", "kind"):
        for row in found(rows, divided, by).to_dicts():
            of = [c for c in CORRUPTIONS_THERE if by == "benchmark" or KINDS[c] == row["kind"]]
            expected = np.mean([by_corruption[row["model"], c] for c in of], axis=0) * (1, 100, 100)
            assert [row[c] for c in means] == pytest.approx(expected)
            assert (row["n_corruptions"], row["corruption_error"]) == (len(of), None)


def test_what_is_missing_is_null_unless_the_rest_is_asked_for(random):
    rows, divided = measured(random, lacking={("b", "fog", 2), ("b", "rain", 1)}), divisors(random)
    a, b = found(rows, divided, "benchmark").to_dicts()
    assert a["mean_corruption_error"] is not None
    assert [b[c] for c in ("accuracy", "mean_corruption_error")] == [None, None]
    assert b["note"] == "2 of 12 missing: fog 2, rain 1; sum over the rest with --partial"
    kinds = {r["kind"]: r for r in found(rows, divided, "kind").filter(model="b").to_dicts()}
    assert kinds["digital"]["mean_corruption_error"] is not None
    assert kinds["weather"]["note"].startswith("1 of 6 missing: fog 2; ")

    _, rest = found(rows, divided, "benchmark", partial=True).to_dicts()
    severities = {"fog": (1, 3), "rain": (2, 3)}
    expected = [
        naive(rows, divided, "b", c, severities.get(c, SEVERITIES)) for c in CORRUPTIONS_THERE
    ]
    assert rest["mean_corruption_error"] == pytest.approx(100 * np.mean([e[1] for e in expected]))
    assert rest["accuracy"] == pytest.approx(np.mean([e[0] for e in expected]))
    assert rest["note"] == "2 of 12 missing: fog 2, rain 1; summed over the rest"


def test_what_the_normaliser_lacks_leaves_accuracies(random):
    rows, divided = measured(random), divisors(random, {("fog", s) for s in SEVERITIES})
    a, _ = found(rows, divided, "benchmark").to_dicts()
    assert a["mean_corruption_error"] is None
    assert a["accuracy"] is not None
    assert a["note"].startswith("3 of 12 of x missing: fog 1, fog 2, fog 3; sum over")
    rest, _ = found(rows, divided, "benchmark", partial=True).to_dicts()
    expected = [naive(rows, divided, "a", c)[1] for c in CORRUPTIONS_THERE if c != "fog"]
    assert rest["mean_corruption_error"] == pytest.approx(100 * np.mean(expected))


def test_a_divisor_over_all_severities_alone(random):
    rows, divided = measured(random), divisors(random, by_severity=False)
    (row, *_) = found(rows, divided, "corruption").to_dicts()
    expected = naive(rows, divided, "a", row["corruption"])
    assert row["corruption_error"] == pytest.approx(expected[1])
    assert found(rows, divided, "severity")["corruption_error"].null_count() == 24
    few = measured(random, lacking={("a", "fog", 1)})
    row = found(few, divided, "corruption", partial=True).row(1, named=True)
    assert (row["corruption"], row["corruption_error"]) == ("fog", None)


def test_without_clean_errors_there_are_no_relative_ones(random):
    for rows, divided, note in (
        (measured(random, clean=False), divisors(random), "no clean"),
        (
            measured(random),
            divisors(random, clean=None),
            "x's error on clean pictures is not known",
        ),
    ):
        for by in ("benchmark", "severity"):
            frame = found(rows, divided, by)
            assert frame["relative_mean_corruption_error"].null_count() == frame.height
            assert frame["relative_corruption_error"].null_count() == frame.height
            assert frame["note"].unique().to_list() == [note]
        assert found(rows, divided, "benchmark")["mean_corruption_error"].null_count() == 0


def test_a_normaliser_that_errs_no_more_than_on_clean_pictures_divides_nothing(random):
    frame = found(measured(random), divisors(random, clean=0.95), "corruption")
    assert frame["relative_corruption_error"].null_count() == frame.height
    assert frame["corruption_error"].null_count() == 0
    assert frame["note"][0] == (
        "x errs no more under contrast than on clean pictures: no relative error"
    )
    (row, _) = found(measured(random), divisors(random, clean=0.95), "benchmark").to_dicts()
    assert row["note"].startswith("x errs no more under contrast, fog, frost, ... than on clean")


def with_errors(random, *errors: tuple[str, float]) -> Normaliser:
    """A normaliser whose errors under these corruptions are given, at every severity."""
    given = pl.col("corruption").replace_strict(dict(errors), default=None, return_dtype=pl.Float64)
    plain = divisors(random, clean=0.3)
    kept = plain.errors.with_columns(error=pl.coalesce(given, "error"))
    return Normaliser("x", "made up", kept)


def test_what_a_normaliser_cannot_divide_is_named_with_and_without_the_rest(random):
    rows, divided = measured(random), with_errors(random, ("fog", 0.3), ("rain", 0.0))
    said = (
        "x does not err under rain: no corruption error{0}; "
        "x errs no more under fog than on clean pictures: no relative error{0}"
    )
    whole, _ = found(rows, divided, "benchmark").to_dicts()
    assert whole["mean_corruption_error"] is whole["relative_mean_corruption_error"] is None
    assert whole["note"] == said.format("; means of the rest with --partial")
    rest, _ = found(rows, divided, "benchmark", partial=True).to_dicts()
    assert rest["note"] == said.format(", means are of the rest")
    left = {c: naive(rows, divided, "a", c) for c in ("fog", "frost", "contrast") if c != "fog"}
    fog = sum(1 - r["accuracy"] for r in rows.filter(model="a", corruption="fog").to_dicts()) / 0.9
    own = [fog, *(e for _, e, _ in left.values())]
    assert rest["mean_corruption_error"] == pytest.approx(100 * np.mean(own))
    more = [e for *_, e in left.values()]
    assert rest["relative_mean_corruption_error"] == pytest.approx(100 * np.mean(more))
    notes = dict(found(rows, divided, "kind").filter(model="a").select("kind", "note").rows())
    assert notes["digital"] is None
    single = found(rows, divided, "severity").filter(model="a", corruption="fog", severity=2)
    assert (
        single["note"][0] == "x errs no more under fog 2 than on clean pictures: no relative error"
    )


def test_a_model_is_100_beside_itself(random):
    rows = measured(random)
    own = rows.filter(model="a").select(
        "corruption", "severity", error=1 - pl.col("accuracy"), by_severity=pl.lit(value=True)
    )
    a, b = found(rows, Normaliser("a", "store", own), "benchmark").to_dicts()
    assert (a["mean_corruption_error"], a["relative_mean_corruption_error"]) == (100, 100)
    assert b["mean_corruption_error"] != 100


def test_folders_without_a_judged_picture(random):
    rows = measured(random).with_columns(
        accuracy=pl.when(pl.col("corruption") == "fog").then(None).otherwise("accuracy"),
        n_samples=pl.when(pl.col("corruption") == "fog").then(0).otherwise("n_samples"),
        n_correct=pl.when(pl.col("corruption") == "fog").then(0).otherwise("n_correct"),
    )
    a, _ = found(rows, divisors(random), "benchmark").to_dicts()
    assert a["mean_corruption_error"] is None
    assert a["note"].startswith("3 of 12 missing: fog 1, fog 2, fog 3; ")
    assert "fog" not in found(rows, divisors(random), "severity")["corruption"].to_list()
