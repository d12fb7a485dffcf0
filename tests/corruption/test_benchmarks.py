"""What is known of benchmarks agrees with their presets and with what was published."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore import published
from embedstore.corruption.benchmarks import (
    EXTRA,
    IMAGENET_3DCC,
    IMAGENET_C,
    KIND_OF,
    KINDS,
    SEVERITIES,
    benchmark_of,
    cells_of,
    corruptions_of,
    known_as,
)
from embedstore.corruption.normaliser import normalisers
from embedstore.datasets.presets.catalog import preset
from embedstore.errors import EmbedStoreError

#: AlexNet's mean errors over severities as its users cite them (Hendrycks & Dietterich, 2019).
PUBLISHED = {
    "gaussian_noise": 0.886428, "shot_noise": 0.894468, "impulse_noise": 0.922640,
    "defocus_blur": 0.819880, "glass_blur": 0.826268, "motion_blur": 0.785948,
    "zoom_blur": 0.798360, "snow": 0.866816, "frost": 0.826572, "fog": 0.819324,
    "brightness": 0.564592, "contrast": 0.853204, "elastic_transform": 0.646056,
    "pixelate": 0.717840, "jpeg_compression": 0.606500, "speckle_noise": 0.845388,
    "gaussian_blur": 0.787108, "spatter": 0.717512, "saturate": 0.658248,
}  # fmt: skip


def there(*cells: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(cells, schema=["corruption", "severity"], orient="row")


def alexnet(benchmark: str) -> pl.DataFrame:
    return normalisers(benchmark, there(("fog", 1)), {None: None}, None, None)[None].errors


@pytest.mark.parametrize("name", [IMAGENET_C, IMAGENET_3DCC])
def test_the_presets_have_the_same_corruptions(name):
    assert sorted(corruptions_of(name, extra=False)) == sorted(preset(name).corruptions)
    assert preset(name).severities == max(SEVERITIES)
    assert set(EXTRA) == set(preset(IMAGENET_C).extra_corruptions)
    assert set(preset(IMAGENET_C).inside) == {*KINDS[IMAGENET_C], "extra"}


def test_each_corruption_is_of_one_kind():
    assert len(KIND_OF) == 15 + 4 + 12
    assert {KIND_OF[c] for c in EXTRA} == set(KINDS[IMAGENET_C])


def test_alexnets_errors_on_imagenet_c_are_the_published_ones():
    errors = alexnet(IMAGENET_C)
    folders = errors.filter(pl.col("severity") > 0)
    assert folders["corruption"].value_counts()["count"].unique().to_list() == [5]
    means = folders.group_by("corruption").agg(pl.col("error").mean())
    assert dict(means.rows()) == pytest.approx(PUBLISHED, abs=1e-12)
    single = folders.filter("by_severity")
    assert single.height == 75
    counts = single["error"] * 50_000  # each is a proportion of so many pictures
    assert (counts - counts.round()).abs().max() < 1e-6
    (clean,) = errors.filter(severity=0)["error"]
    assert round(1 - clean, 5) == 0.56522


def test_alexnets_errors_on_imagenet_3dcc_are_robustbenchs():
    rows = published.results("robustbench-3dcc").filter(model="AlexNet")
    wanted = {(r["corruption"], r["severity"]): 1 - r["value"] for r in rows.to_dicts()}
    errors = alexnet(IMAGENET_3DCC)
    assert {(c, s): e for c, s, e, _ in errors.rows()} == wanted
    assert set(errors["corruption"]) == set(corruptions_of(IMAGENET_3DCC, extra=True))


def test_what_is_summed_over():
    known = cells_of(there(("spatter", 2), ("fog", 3)), IMAGENET_C, extra=False)
    assert known.height == 80
    assert known.filter("counted").height == 75
    assert known.filter(~pl.col("counted"))["corruption"].unique().to_list() == ["spatter"]
    whole = cells_of(there(("fog", 3)), IMAGENET_C, extra=True)
    assert whole.filter("counted").height == 95
    own = cells_of(there(("rain", 2), ("fog", 3), ("fog", 1)), None, extra=False)
    assert own.rows() == [
        ("fog", 1, "weather", True), ("fog", 3, "weather", True), ("rain", 2, None, True),
    ]  # fmt: skip


def test_a_severity_that_a_known_benchmark_cannot_have():
    with pytest.raises(EmbedStoreError, match="severities 1 to 5, and here is fog of 6; leave it"):
        cells_of(there(("fog", 6)), IMAGENET_C, extra=False)


def test_benchmarks_are_known_by_name_and_by_their_corruptions():
    assert known_as("imagenet-c--limit-100") == IMAGENET_C
    assert known_as("photos") is None
    assert benchmark_of(["fog", "saturate"]) == IMAGENET_C
    assert benchmark_of(["fog_3d"]) == IMAGENET_3DCC
    assert benchmark_of(["fog", "fog_3d"]) is None
