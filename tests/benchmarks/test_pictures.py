"""Bytes to a model's input on one core: ours beside open_clip's transform on the same pictures."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from embedstore.datasets.pictures import prepare
from embedstore.kernels.normalise import normalise
from embedstore.transform import Transform

N_PICTURES = 300
CLIP = Transform(size=(224, 224), resize_to=(224, 224))


def at_original_size(data):
    """A photograph of about 500 x 375 pixels, as ImageNet's mostly are."""
    with Image.open(io.BytesIO(data)) as picture:
        scale = 375 / min(picture.size)
        size = round(picture.width * scale), round(picture.height * scale)
        larger = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    larger.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="module")
def photographs(imagenet_sample):
    return [path.read_bytes() for path in sorted(imagenet_sample.glob("*/*"))[:N_PICTURES]]


@pytest.fixture(autouse=True)
def one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.parametrize("size", ["sample", "original"])
def test_decode_resize_normalise(benchmark, photographs, size):
    data = photographs if size == "sample" else [at_original_size(one) for one in photographs]
    their_transform = image_transform(224, False)
    pixels = np.empty((len(data), 224, 224, 3), np.uint8)
    batch = np.empty((len(data), 3, 224, 224), np.float32)

    def theirs():
        return [their_transform(Image.open(io.BytesIO(one))) for one in data]

    def ours():
        for row, one in zip(pixels, data, strict=True):
            prepare(one, CLIP, row)
        normalise(pixels, CLIP.mean, CLIP.std, out=batch, single_thread=True)

    ours()  # compiled
    np.testing.assert_array_equal(batch, torch.stack(theirs()).numpy())
    seconds = min(_seconds(theirs) for _ in range(5))
    benchmark.pedantic(ours, rounds=5)
    benchmark.extra_info["ms_per_picture"] = 1000 * benchmark.stats.stats.min / len(data)
    benchmark.extra_info["reference_ms_per_picture"] = 1000 * seconds / len(data)
    benchmark.extra_info["ratio"] = seconds / benchmark.stats.stats.min


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
