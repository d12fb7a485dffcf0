"""Stores that the encoder made: another precision, other templates under one name."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from PIL import Image

from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.differences.comparing import diff
from embedstore.prompts import prompt_set
from embedstore.testing.models import save_random_open_clip, tiny_config

for package in ("torch", "open_clip"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """24 pictures of three classes."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i in range(24):
        target = folder / ("cat", "dog", "fox")[i % 3] / f"{i:02d}.png"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(target)
    return folder


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, pictures):
    """Encode the pictures: where to, under which templates, in which precision."""
    from embedstore.encode.encoder import encode
    from embedstore.encode.request import Options, Request

    model = save_random_open_clip(tmp_path_factory.mktemp("tiny"), tiny_config("clip"))

    def make(templates: str = "a photo of a {}.\n", precision: str = "float32") -> Store:
        root = tmp_path_factory.mktemp("store")
        (root / "mine.txt").write_text(templates)
        request = Request(
            [("vit", f"open_clip:{model}")],
            [("pets", open_source(f"folder:{pictures}"))],
            [prompt_set(str(root / "mine.txt"))],
            options=Options(batch_size=8, workers=1, precision=precision, device="cpu"),
        )
        encode(root / "store", request)
        return Store.open(root / "store")

    return make


@pytest.fixture(scope="module")
def plain(encoded) -> Store:
    return encoded()


def reasons(found: pl.DataFrame) -> set[str]:
    return set(found.filter(pl.col("kind") == "number")["because"])


def test_the_same_encoded_twice_does_not_differ(plain, encoded):
    assert diff(plain, encoded(), arrays=True).is_empty()


def test_another_precision(plain, encoded):
    found = diff(plain, encoded(precision="bfloat16"), arrays=True)
    assert reasons(found) == {"precision float32 against bfloat16"}
    assert {row[0] for row in found.rows()} == {"number", "identity", "head"}
    gap = found.row(
        by_predicate=pl.col("what") == "embeddings (largest cosine distance)", named=True
    )
    assert 0 < gap["difference"] < 0.01


def test_other_templates_under_the_same_name(plain, encoded):
    found = diff(plain, encoded("a {}.\nmy {}.\n"), arrays=True)
    assert reasons(found) == {"templates differ: 1 against 2"}
    assert not [what for what in found["what"] if what.startswith("embeddings")]
