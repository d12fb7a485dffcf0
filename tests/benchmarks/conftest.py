"""Every benchmark beside its reference; the ratios are what counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

Beside = Callable[..., None]


def pytest_collection_modifyitems(items) -> None:
    """Put what encodes last: it tunes the heap of this process, and references must not profit."""
    items.sort(key=lambda item: item.path.name == "test_encode.py")


@pytest.fixture
def beside(benchmark: BenchmarkFixture) -> Beside:
    """Time a call and its references in turns; record the ratios: of medians, and of the least."""

    def compare(
        ours: Callable[[], object], *, rounds: int, **references: Callable[[], object]
    ) -> None:
        taken: dict[str, list[float]] = {name: [] for name in references}

        def take_references() -> None:
            for name, call in references.items():
                start = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - start)

        ours()
        benchmark.pedantic(ours, setup=take_references, rounds=rounds)
        for name, values in taken.items():
            stats = benchmark.stats.stats
            benchmark.extra_info[f"ratio_{name}"] = stats.median / median(values)
            benchmark.extra_info[f"least_{name}"] = stats.min / min(values)

    return compare


def pytest_terminal_summary(terminalreporter) -> None:
    """Print what each benchmark noted of itself: ratios, rates, bytes."""
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    noted = [b for b in getattr(session, "benchmarks", []) if b.extra_info]
    if noted:
        terminalreporter.section("beside the reference")
    for bench in noted:
        facts = ", ".join(f"{k} {_short(v)}" for k, v in bench.extra_info.items())
        terminalreporter.write_line(f"{bench.name}: {facts}")


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return "/".join(map(_short, value))
    return str(value)
