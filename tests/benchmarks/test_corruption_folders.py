"""Sixty folders of 1,000 pictures beside the same 60,000 in one folder, in turns, one model."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.models import load

HERE = Path(__file__).parent
N_FOLDERS, ROUNDS = 60, 2
SIDE = 72  # pixels of a picture's longer side


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, imagenet_sample) -> Path:
    """`all`, and `00` to `59`: links to 1,000 small JPEGs, a folder a class."""
    root = tmp_path_factory.mktemp("folders")
    files = sorted(imagenet_sample.glob("*/*"))
    for path in files:
        small = root / "00" / path.parent.name / path.name
        small.parent.mkdir(parents=True)
        with Image.open(path) as picture:
            picture = picture.convert("RGB")
            picture.thumbnail((SIDE, SIDE))
            picture.save(small, "JPEG")
    for folder in range(N_FOLDERS):
        for small in sorted((root / "00").glob("*/*")):
            inside = small.relative_to(root / "00")
            links = [root / "all" / inside.parent / f"{folder:02d}-{inside.name}"]
            links += [root / f"{folder:02d}" / inside] if folder else []
            for link in links:
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(small, link)
    return root


def test_sixty_folders_beside_one(benchmark, monkeypatch, tmp_path, pictures):
    monkeypatch.syspath_prepend(str(HERE))
    spec = "python:light_model:light"
    loads: list[str] = []
    monkeypatch.setattr("embedstore.models.load", lambda spec: loads.append(spec) or load(spec))
    alone: list[float] = []

    def run(*folders: str) -> None:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        data = [(name, open_source(f"folder:{pictures / name}")) for name in folders]
        options = Options(keep=("embeddings", "outcomes"))
        request = Request([("light", spec)], data, [], options=options)
        report = encode(Store.open(tmp_path / "store", create=True), request)
        assert report.n_images == N_FOLDERS * 1000

    def one() -> None:
        began = time.perf_counter()
        run("all")
        alone.append(time.perf_counter() - began)

    def sixty() -> None:
        run(*(f"{folder:02d}" for folder in range(N_FOLDERS)))

    benchmark.pedantic(sixty, setup=one, rounds=ROUNDS)
    one()
    assert len(loads) == 2 * ROUNDS + 1  # one load a run
    stats = benchmark.stats.stats
    benchmark.extra_info |= {
        "ratio": sum(alone) / len(alone) / stats.mean,
        "least_ratio": min(alone) / stats.min,
        "images_per_second": N_FOLDERS * 1000 / stats.mean,
        "one_folder_images_per_second": N_FOLDERS * 1000 * len(alone) / sum(alone),
    }
