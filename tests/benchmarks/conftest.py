"""Every benchmark beside its reference; the ratios are what counts."""

from __future__ import annotations


def pytest_collection_modifyitems(items) -> None:
    """Put what encodes last: it tunes the heap of this process, and references must not profit."""
    items.sort(key=lambda item: item.path.name == "test_encode.py")


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
