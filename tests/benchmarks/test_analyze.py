"""A result that was kept, from the command line, beside `import polars` and computing it anew.

Whole processes in turns. Their bytecode is at hand, as it is once a package is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import pytest

from embedstore.testing.simulate import simulate_store

ROOT = Path(__file__).parents[2]
OURS = "import sys; from cli import main; main(sys.argv[1:])"
REFERENCES = {
    "click": "import click\n@click.command()\ndef main(): pass\nmain(['--help'])",
    "polars": "import polars",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    variables = dict(os.environ, PYTHONPYCACHEPREFIX=str(tmp_path_factory.mktemp("bytecode")))
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("analyze") / "s"
    simulate_store(path, n_models=20, n_samples=10_000, n_factors=16)
    return str(path)


def seconds(environment: dict[str, str], code: str, *words: str) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-c", code, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


@pytest.mark.parametrize("name", ["factors", "calibration"])
def test_a_kept_result_beside_importing_polars(benchmark, environment, store, name):
    words = ("analyze", name, store)
    take = partial(seconds, environment)
    taken: dict[str, list[float]] = {kind: [] for kind in (*REFERENCES, "refresh")}

    def take_references() -> None:
        for kind, code in REFERENCES.items():
            taken[kind].append(take(code))
        if len(taken["refresh"]) < 3:
            taken["refresh"].append(take(OURS, *words, "--refresh"))

    take_references()  # bytecode is written
    for values in taken.values():
        values.clear()
    benchmark.pedantic(take, args=(OURS, *words), setup=take_references, rounds=15, warmup_rounds=1)
    ours = benchmark.stats.stats.median
    benchmark.extra_info["ratio_polars"] = ours / median(taken["polars"])
    benchmark.extra_info["ratio_refresh"] = ours / median(taken["refresh"])
    for kind, values in taken.items():
        benchmark.extra_info[f"{kind}_seconds"] = median(values)
    benchmark.extra_info["least_seconds"] = benchmark.stats.stats.min
