"""`embedstore --help`, beside a bare click program; whole processes in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

BARE = "import click\n@click.command()\ndef main(): pass\nmain(['--help'])"
OURS = "from cli import main; main(['--help'])"


def seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def test_help_beside_a_bare_click_program(benchmark):
    bare: list[float] = []
    benchmark.pedantic(
        seconds, args=(OURS,), setup=lambda: bare.append(seconds(BARE)), rounds=15, warmup_rounds=1
    )
    benchmark.extra_info["ratio"] = benchmark.stats.stats.median / statistics.median(bare)
    benchmark.extra_info["bare_seconds"] = statistics.median(bare)
