"""Pictures with depth maps beside them, listed in a manifest."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from PIL import Image

#: Pixels of every picture: its shorter side is enlarged to 256, as ImageNet-C would.
HEIGHT, WIDTH = 120, 150


@pytest.fixture
def manifest(tmp_path):
    """Three noisy pictures, each with a ramp of depth from 1 m below to 4 m above; its path."""
    random = np.random.default_rng(0)
    ramp = np.repeat(np.linspace(4, 1, HEIGHT)[:, None], WIDTH, axis=1)
    (tmp_path / "depth").mkdir()
    for name in "abc":
        pixels = random.integers(0, 255, (HEIGHT // 10, WIDTH // 10, 3), np.uint8)
        large = Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
        large.save(tmp_path / f"{name}.png")
        millimetres = (ramp * 1000).astype(np.uint16)
        Image.fromarray(millimetres).save(tmp_path / "depth" / f"{name}.png")
    names = pl.Series(list("abc"))
    columns = {
        "path": names + ".png",
        "depth": "depth/" + names + ".png",
        "label": ["x", "y", "x"],
        "caption": ["one", "two", "three"],
    }
    pl.DataFrame(columns).write_csv(tmp_path / "list.csv")
    return tmp_path / "list.csv"
