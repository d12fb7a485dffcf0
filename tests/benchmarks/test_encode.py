"""From photographs to a store, beside a bare forward loop over ready tensors, and CLIP_benchmark.

Bare loop, ours and bare loop again run in turn; the ratio is ours over their mean.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.models import load
from embedstore.prompts import prompt_set
from embedstore.testing.models import save_random_open_clip

BATCH = 32


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return save_random_open_clip(tmp_path_factory.mktemp("vit") / "ViT-B-32")


def request_for(directory: Path, pictures: Path, precision: str, limit: int, prompts=()) -> Request:
    return Request(
        models=[("vit-b-32", f"open_clip:{directory}")],
        data=[("sample", open_source(f"folder:{pictures}"))],
        prompts=[prompt_set(name) for name in prompts],
        options=Options(precision=precision, batch_size=BATCH, limit=limit),
    )


BARE = f"""
import sys, time, torch
from embedstore.models import load
model = load(sys.argv[1])
dtype = getattr(torch, sys.argv[2])
model.to(torch.device("cpu"), dtype)
ready = torch.randn({BATCH}, 3, 224, 224).to(dtype)
with torch.inference_mode():
    model.embed_images(ready)
    began = time.perf_counter()
    for _ in range(int(sys.argv[3])):
        model.embed_images(ready)
print({BATCH} * int(sys.argv[3]) / (time.perf_counter() - began))
"""


def bare_images_per_second(directory: Path, precision: str, n_batches: int) -> float:
    """Time the bare loop in a process of its own, whose heap nothing has tuned."""
    command = [sys.executable, "-c", BARE, f"open_clip:{directory}", precision, str(n_batches)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(("precision", "n_images"), [("float32", 480), ("bfloat16", 960)])
def test_photographs_to_store(
    benchmark, monkeypatch, tmp_path, directory, imagenet_sample, precision, n_images
):
    model = load(f"open_clip:{directory}")
    monkeypatch.setattr("embedstore.models.load", lambda _spec: model)
    request = request_for(directory, imagenet_sample, precision, n_images)

    def run() -> None:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        encode(Store.open(tmp_path / "store", create=True), request)

    before = bare_images_per_second(directory, precision, n_images // BATCH // 2)
    benchmark.pedantic(run, rounds=1)
    after = bare_images_per_second(directory, precision, n_images // BATCH // 2)
    ours = n_images / benchmark.stats.stats.median
    benchmark.extra_info |= {
        "ratio": ours / ((before + after) / 2),
        "images_per_second": ours,
        "bare_images_per_second": [before, after],
    }


def test_bfloat16_beside_clip_benchmark_in_float32(
    benchmark, monkeypatch, tmp_path, directory, imagenet_sample
):
    n_images = 480
    theirs = clip_benchmark_seconds(directory, imagenet_sample, n_images)
    model = load(f"open_clip:{directory}")
    monkeypatch.setattr("embedstore.models.load", lambda _spec: model)
    store = Store.open(tmp_path / "store", create=True)
    # The classifier is not in their time, so it is made before ours too.
    encode(store, request_for(directory, imagenet_sample, "bfloat16", BATCH, ["name"]))
    request = request_for(directory, imagenet_sample, "bfloat16", n_images, ["name"])
    benchmark.pedantic(encode, args=(store, request), rounds=1)
    benchmark.extra_info |= {
        "ratio": theirs / benchmark.stats.stats.median,
        "images_per_second": n_images / benchmark.stats.stats.median,
        "clip_benchmark_images_per_second": n_images / theirs,
    }


CLIP_BENCHMARK = """
import sys, time, open_clip, torch
from clip_benchmark.metrics.zeroshot_classification import run_classification
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
directory, pictures, n_images = sys.argv[1], sys.argv[2], int(sys.argv[3])
module, _, transform = open_clip.create_model_and_transforms(f"local-dir:{directory}")
module.eval()
data = ImageFolder(pictures, transform=transform)
rows = [i * len(data) // n_images for i in range(n_images)]
loader = DataLoader(Subset(data, rows), batch_size=64, num_workers=2)
classifier = torch.nn.functional.normalize(torch.randn(512, 1000), dim=0)
began = time.perf_counter()
run_classification(module, classifier, loader, "cpu", amp=False)
print(time.perf_counter() - began)
"""


def clip_benchmark_seconds(directory: Path, pictures: Path, n_images: int) -> float:
    """Time CLIP_benchmark's own zero-shot loop in float32 over the same pictures."""
    pytest.importorskip("clip_benchmark")
    command = [sys.executable, "-c", CLIP_BENCHMARK, str(directory), str(pictures), str(n_images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
