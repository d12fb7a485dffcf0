"""Commands in this process and in others, and a store to ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from embedstore import Store
from embedstore.testing.stores import random_store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(tmp_path, monkeypatch) -> Callable[..., Result]:
    """Run `embedstore ARGUMENTS` in this process; what is not a stated error is raised."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **options) -> Result:
        words = [str(a) for a in arguments]
        return CliRunner().invoke(main, words, catch_exceptions=False, **options)

    return run


@pytest.fixture
def store(tmp_path) -> Store:
    """Two models on two data sets of 40 samples, of which two failed."""
    return random_store(tmp_path / "s", models=("a", "b"), datasets=("d", "e"), failed=(3, 20))


def python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def fresh() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a fresh process."""
    return python
