"""Pixels to embeddings on a device, and decoding there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedstore.datasets.pictures import prepare
from embedstore.datasets.readers import FolderReader
from embedstore.encode.device import Forward, normalise_on_device, resolve_precision
from embedstore.encode.device_decode import DeviceDecoder
from embedstore.errors import UnknownNameError
from embedstore.kernels.normalise import normalise
from embedstore.transform import Transform

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_normalises_bit_for_bit_as_the_kernel(device):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 17, 19, 3), dtype=np.uint8)
    there = normalise_on_device(torch.from_numpy(pixels).to(device), MEAN, STD).cpu().numpy()
    np.testing.assert_array_equal(there, normalise(pixels, MEAN, STD))


def test_precisions():
    assert resolve_precision("auto", "cpu") == "float32"
    assert resolve_precision("auto", "cuda") == "float16"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    with pytest.raises(UnknownNameError, match="unknown precision 'half'"):
        resolve_precision("half", "cpu")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("resize", ["shortest", "squash", "longest"])
def test_decoding_on_the_device_is_a_level_away_from_the_cpus(
    imagenet_sample, tmp_path, device, resize
):
    transform = Transform(size=(64, 64), resize_to=(72, 72), resize=resize)
    paths = [str(p.relative_to(imagenet_sample)) for p in sorted(imagenet_sample.glob("*/*"))[:6]]
    with DeviceDecoder(
        FolderReader(str(imagenet_sample)),
        transform,
        torch.device(device),
        n_workers=2,
        n_slots=1,
        batch_rows=8,
    ) as decoder:
        assert decoder.submit(0, paths).result() == []
        there = decoder.pixels(0, 6).cpu().numpy().astype(int)
    for got, path in zip(there, paths, strict=True):
        expected = prepare((imagenet_sample / path).read_bytes(), transform).astype(int)
        assert np.abs(got - expected).mean() < 1.0
        assert np.abs(got - expected).max() <= 24


def test_what_the_device_cannot_decode_goes_through_the_cpu(tmp_path, imagenet_sample):
    from PIL import Image

    Image.new("RGB", (30, 30), (9, 8, 7)).save(tmp_path / "a.png")
    whole = next(imagenet_sample.glob("*/*")).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:900])
    (tmp_path / "whole.jpg").write_bytes(whole)
    transform = Transform(size=(16, 16), resize_to=(16, 16))
    settings = {"n_workers": 1, "n_slots": 1, "batch_rows": 4}
    with DeviceDecoder(
        FolderReader(str(tmp_path)), transform, torch.device("cpu"), **settings
    ) as decoder:
        paths = ["a.png", "cut.jpg", "whole.jpg", "gone.jpg"]
        failures = decoder.submit(0, paths).result()
        assert [(i, stage) for i, stage, _ in failures] == [(1, "decode"), (3, "read")]
        pixels = decoder.pixels(0, 4).numpy()
        assert (pixels[0] == (9, 8, 7)).all()
        np.testing.assert_array_equal(pixels[2], prepare(whole, transform))
        assert not pixels[1].any()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_cuda_agrees_with_the_cpu(environment, precision):
    import toy_models

    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    on_cpu, on_gpu = toy_models.linear(), toy_models.linear()
    device = torch.device("cuda")
    on_gpu.to(device, getattr(torch, precision))
    expected, _ = Forward(on_cpu, torch.device("cpu"), "float32")(pixels).arrays()
    forward = Forward(on_gpu, device, precision)
    forward.pin(pixels)
    found, _ = forward(pixels).arrays()
    forward.unpin(pixels)
    cosine = (
        (expected * found).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    )
    assert cosine.min() >= 0.999
