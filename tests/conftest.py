"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures and published results, or a skip that says why."""
    folder = Path(os.environ.get("EMBEDSTORE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set EMBEDSTORE_TEST_DATA to the folder")
    return folder


@pytest.fixture(scope="session")
def imagenet_sample(shared_data: Path) -> Path:
    """1,000 ImageNet photographs, a folder a class."""
    return shared_data / "imagenet-sample"
