"""Small tables, a data set to join them to, and real ones where they are at hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from embedstore import Store
from embedstore.importers.samples import import_samples
from embedstore.importers.tables import read_table


@pytest.fixture
def write(tmp_path) -> Callable[[str, str | bytes], Path]:
    """Write a file and return its path."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.fixture
def store(tmp_path, write) -> Store:
    """A data set `pets` of four pictures in folders, of the classes cat, dog and red_fox."""
    store = Store.open(tmp_path / "store", create=True)
    rows = "file_name,label\ncat/1.jpg,cat\ncat/2.JPEG,cat\ndog/3.png,dog\nred_fox/4.jpg,red_fox\n"
    import_samples(store, read_table(write("pets.csv", rows)), "pets")
    return store


@pytest.fixture(scope="session")
def imagenet_x() -> Path:
    """The annotation files of the package imagenet-x, which need not be imported for that."""
    found = importlib.util.find_spec("imagenet_x")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no imagenet-x; install it with: pip install --no-deps imagenet-x")
    return Path(found.submodule_search_locations[0]) / "annotations"
