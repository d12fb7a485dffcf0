"""Many texts, sorted by length and cut, against one at a time at full length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedstore.models import load
from embedstore.models.base import Model
from embedstore.models.texts import embed_all_texts
from embedstore.testing.models import save_random_open_clip, tiny_config


class Counting(Model):
    """Embeds a text as its tokens' sum and count; tokens are its characters, padded to 20."""

    has_text = True
    embedding_dim = 2

    def __init__(self, cuts: bool) -> None:
        self.cuts_texts = cuts
        self.shapes: list[tuple[int, ...]] = []

    identity = {}  # noqa: RUF012

    def to(self, device, dtype, *, compile=False): ...  # noqa: A002

    def embed_images(self, pixels):
        raise NotImplementedError

    def tokenize(self, texts):
        rows = [[ord(c) for c in text[:20]] + [0] * (20 - len(text[:20])) for text in texts]
        return torch.tensor(rows)

    def token_lengths(self, tokens):
        return (tokens != 0).sum(dim=1).clamp(min=1)

    def embed_texts(self, tokens):
        self.shapes.append(tuple(tokens.shape))
        return torch.stack([tokens.sum(dim=1), (tokens != 0).sum(dim=1)], dim=1)


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=25)),
    st.integers(1, 9),
    st.booleans(),
)
def test_order_is_that_of_the_texts(texts, batch_size, cuts):
    model = Counting(cuts)
    embeddings = embed_all_texts(model, texts, batch_size)
    expected = [[sum(map(ord, t[:20])), len(t[:20])] for t in texts]
    np.testing.assert_array_equal(embeddings, np.array(expected, np.float32).reshape(-1, 2))
    assert sum(n for n, _ in model.shapes) == len(texts)
    if not cuts:
        assert all(length == 20 for _, length in model.shapes)


def test_batches_are_cut_to_their_longest():
    model = Counting(cuts=True)
    embed_all_texts(model, ["aaaaaaaaa", "a", "aaa", "aa"], 2)
    assert model.shapes == [(2, 2), (2, 9)]


@pytest.mark.parametrize("variant", ["clip", "coca", "siglip"])
def test_cut_texts_are_the_full_ones(tmp_path, variant):
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    model = load(f"open_clip:{save_random_open_clip(tmp_path, tiny_config(variant))}")
    texts = [template("very old tabby cat") for template in OPENAI_IMAGENET_TEMPLATES]
    texts.append("a word " * 200)
    tokens = model.tokenize(texts)
    with torch.inference_mode():
        full = model.module.encode_text(tokens, normalize=False).numpy()
    ours = embed_all_texts(model, texts, 16)
    full /= np.linalg.norm(full, axis=1, keepdims=True)
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    np.testing.assert_allclose(ours, full, atol=1e-5)
