"""Texts through ViT-B-32's text tower, beside open_clip's own `encode_text` at 77 tokens."""

from __future__ import annotations

import statistics
import time

import open_clip
import pytest
import torch

from embedstore.models import load
from embedstore.models.texts import embed_all_texts
from embedstore.testing.models import save_random_open_clip

#: How many texts the reference encodes: 1/15 s each.
N_REFERENCE = 64


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return save_random_open_clip(tmp_path_factory.mktemp("vit") / "ViT-B-32")


@pytest.fixture(scope="module")
def texts():
    """The 80 templates of two classes: 160 texts, 9 tokens on average."""
    names = open_clip.IMAGENET_CLASSNAMES[::500]
    return [template(name) for name in names for template in open_clip.OPENAI_IMAGENET_TEMPLATES]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_templates(benchmark, directory, texts, dtype):
    model = load(f"open_clip:{directory}")
    model.to(torch.device("cpu"), dtype)
    step = len(texts) // N_REFERENCE
    seconds: list[float] = []
    expected = torch.empty(0)

    def reference():  # before each round of ours, so that both meet the same load
        nonlocal expected
        start = time.perf_counter()
        with torch.inference_mode():
            tokens = model.tokenize(texts[::step])
            expected = model.module.encode_text(tokens, normalize=False)
        seconds.append((time.perf_counter() - start) / N_REFERENCE)
        return (model, texts), {}

    reference()  # warm
    seconds.clear()
    embeddings = benchmark.pedantic(embed_all_texts, setup=reference, rounds=5)
    ours = benchmark.stats["median"] / len(texts)
    start = time.perf_counter()
    model.tokenize(texts)
    tokenising = (time.perf_counter() - start) / len(texts)
    benchmark.extra_info["ratio"] = statistics.median(seconds) / ours
    benchmark.extra_info["texts_per_second"] = 1 / ours
    benchmark.extra_info["tokenising_share"] = tokenising / ours
    cosines = torch.cosine_similarity(torch.from_numpy(embeddings[::step]), expected.float())
    assert float(cosines.min()) >= (0.99999 if dtype is torch.float32 else 0.999)
