"""ImageNet-X into a store by four commands, beside reading the same files with Polars."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import polars as pl
import pytest

EMBEDSTORE = (sys.executable, "-c", "from cli import main; main()", "import")


def test_imagenet_x_in_four_commands(benchmark, tmp_path, shared_data):
    found = importlib.util.find_spec("imagenet_x")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no imagenet-x; install it with: pip install --no-deps imagenet-x")
    folder = Path(found.submodule_search_locations[0]) / "annotations"
    labels, factors = folder / "filename_label.csv", folder / "imagenet_x_val_top_factor.jsonl"
    said = [shared_data / "imagenet-x" / f"predictions-{m}.csv.gz" for m in ("ViT", "ResNet50")]
    numbers = count()

    def four_commands() -> None:
        store = tmp_path / str(next(numbers))
        for words in (
            ("samples", store, "--file", labels),
            ("annotations", store, "--file", factors),
            ("predictions", store, "--file", said[0], "--model", "vit"),
            ("predictions", store, "--file", said[1], "--model", "resnet50"),
        ):
            command = [*EMBEDSTORE, *map(str, words), "--dataset", "imagenet"]
            subprocess.run(command, check=True, capture_output=True)

    benchmark.pedantic(four_commands, rounds=3, warmup_rounds=1)
    began = time.perf_counter()
    frames = [pl.read_ndjson(factors), *map(pl.read_csv, (labels, *said))]
    assert [frame.height for frame in frames] == [48_868, 50_000, 50_000, 50_000]
    benchmark.extra_info["seconds_of_polars"] = time.perf_counter() - began
    benchmark.extra_info["seconds_of_10"] = benchmark.stats.stats.median
