"""Stored embeddings are those that open_clip gives with its own preprocessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from embedstore import Store
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.heads.head import unit
from embedstore.heads.stored import load_head
from embedstore.kernels.outcomes import outcomes
from embedstore.prompts import prompt_set
from embedstore.testing.models import save_random_open_clip

N_IMAGES = 96


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return save_random_open_clip(tmp_path_factory.mktemp("vit") / "ViT-B-32")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, imagenet_sample) -> Path:
    """Some pictures of `imagenet-sample`, a folder a class."""
    folder = tmp_path_factory.mktemp("some")
    for picture in sorted(imagenet_sample.glob("*/*"))[:: 1000 // N_IMAGES][:N_IMAGES]:
        (folder / picture.parent.name).mkdir()
        (folder / picture.parent.name / picture.name).symlink_to(picture)
    return folder


@pytest.fixture(scope="module")
def live(directory, pictures) -> np.ndarray:
    """open_clip's own embeddings, float32: (N, D)."""
    module, _, transform = open_clip.create_model_and_transforms(f"local-dir:{directory}")
    module.eval()
    files = sorted(pictures.glob("*/*"))
    with torch.inference_mode():
        batches = [
            module.encode_image(torch.stack([transform(Image.open(f)) for f in files[i : i + 16]]))
            for i in range(0, len(files), 16)
        ]
    return torch.cat(batches).numpy()


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.9999), ("bfloat16", 0.999)])
def test_vit_b_32_with_random_weights(directory, pictures, live, tmp_path, precision, least):
    request = Request(
        models=[("vit", f"open_clip:{directory}")],
        data=[("some", open_source(f"folder:{pictures}"))],
        prompts=[prompt_set("name")],
        options=Options(precision=precision, batch_size=16),
    )
    store = Store.open(tmp_path / "store", create=True)
    encode(store, request)
    stored = np.asarray(store.embeddings("vit", "some"))
    assert (unit(stored.astype(np.float32)) * unit(live)).sum(1).min() >= least

    head = load_head(store, "vit", "name--imagenet")
    kept = store.outcomes("vit").collect()
    labels = store.samples("some")["label"].to_numpy()
    class_ids = store.dataset("some").class_ids
    columns = [head.class_ids.index(i) for i in class_ids]
    again = outcomes(np.ascontiguousarray(head.logits(stored)[:, columns]), labels)
    np.testing.assert_array_equal(kept["prediction"], again.prediction)
    np.testing.assert_allclose(kept["nll"], again.nll, atol=1e-5)
    if precision == "float32":
        changed = (head.logits(live)[:, columns].argmax(1) != kept["prediction"].to_numpy()).sum()
        assert changed <= max(1, len(live) // 1000)
