"""What every model must do: subclass :class:`ModelContract` beside an adapter's tests.

A subclass gives the fixtures `spec` and `other_spec`, and what its library computes itself.
Dimensions: B pictures or texts, D embedding, C classes, L tokens; h, w, d of a layer's patches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from embedstore.errors import ModelError
from embedstore.models import Model, load
from embedstore.models.texts import embed_all_texts
from embedstore.models.torch_model import probe_pixels

F32 = npt.NDArray[np.float32]

TEXTS = [
    "a photo of a dog.",
    "cat",
    "a bad photo of the big cat in a garden of a dog",
    "the big dog.",
]

IDENTITY = {"weights", "architecture", "tokenizer", "transform"}


class ModelContract:
    """Tests of one model; `reference` and what follows it say what is right."""

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls) -> str:
        """Return the SPEC under test."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def other_spec(cls) -> str:
        """Return a SPEC of the same architecture with other weights."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, spec: str) -> Model:
        """Return the model, loaded."""
        return load(spec)

    @pytest.fixture(scope="class")
    @classmethod
    def reference(cls, spec: str) -> Any:
        """Return the same model as its own library loads it."""
        raise NotImplementedError

    def own_images(self, reference: Any, pixels: Tensor) -> Tensor:
        """Return the library's embeddings: (B, 3, H, W) -> (B, D)."""
        raise NotImplementedError

    def own_logits(self, reference: Any, pixels: Tensor) -> Tensor | None:
        """Return the library's logits, if the model is a classifier: -> (B, C)."""
        raise NotImplementedError

    def own_texts(self, reference: Any, tokens: Tensor) -> Tensor:
        """Return the library's text embeddings: (B, L) -> (B, D)."""
        raise NotImplementedError

    def patch_modules(self, model: Any) -> list[nn.Module]:  # noqa: ARG002
        """Return the tower's own modules whose outputs are its layers; none without patches."""
        return []

    def test_patches_are_what_the_towers_modules_put_out(self, model: Model) -> None:
        """Every layer, one at a time and together, equals what a hook on its module sees."""
        modules, pixels = self.patch_modules(model), probe_pixels(model.transform, 3)
        assert len(model.patch_shapes) == len(model.patch_cells) == len(modules)
        if not modules:
            with pytest.raises(ModelError, match="no patch features"):
                model.embed_with_patches(pixels, [0])
            return
        seen: dict[int, Tensor] = {}
        hooks = [
            module.register_forward_hook(
                lambda _module, _given, output, layer=layer: seen.update({layer: output.clone()})
            )
            for layer, module in enumerate(modules)
        ]
        embeddings, logits = model.embed_images(pixels)
        for hook in hooks:
            hook.remove()
        for layers in ([0], [len(modules) - 1], list(range(len(modules)))):
            ours, live, patches = model.embed_with_patches(pixels, layers)
            assert torch.equal(ours, embeddings)
            assert (live is None) == (logits is None)
            if live is not None and logits is not None:
                assert torch.equal(live, logits)
            for layer, values in zip(layers, patches, strict=True):
                shape = model.patch_shapes[layer]
                assert (*values.shape,) == (3, *shape)
                torch.testing.assert_close(values, _as_map(seen[layer], shape), rtol=0, atol=0)

    def test_a_layer_that_is_not_there_is_named_with_how_many_there_are(self, model: Model) -> None:
        """One beyond the last is refused."""
        n_layers = len(model.patch_shapes)
        if n_layers:
            with pytest.raises(ModelError, match=f"layer {n_layers} is not .* has {n_layers}, 0"):
                model.embed_with_patches(probe_pixels(model.transform), [n_layers])

    def test_patches_lie_where_the_picture_changed(self, model: Model) -> None:
        """Another picture in one quadrant moves the patches of that quadrant most."""
        both = probe_pixels(model.transform, 2)
        pixels, other = both[:1], both[1:]
        for layer in {0, len(model.patch_shapes) - 1} if model.patch_shapes else set():
            before = model.embed_with_patches(pixels, [layer])[2][0]
            for quadrant in range(4):
                changed = pixels.clone()
                _quadrant(changed, quadrant, (2, 3)).copy_(_quadrant(other, quadrant, (2, 3)))
                moved = (model.embed_with_patches(changed, [layer])[2][0] - before).norm(dim=-1)
                share = [float(_quadrant(moved, q, (1, 2)).mean()) for q in range(4)]
                assert int(np.argmax(share)) == quadrant

    def test_embeddings_are_the_librarys(self, model: Model, reference: Any) -> None:
        """Embeddings have their shape, are finite, and equal the library's."""
        pixels = probe_pixels(model.transform, 3)
        embeddings, _ = model.embed_images(pixels)
        with torch.inference_mode():
            expected = self.own_images(reference, pixels)
        assert embeddings.shape == (3, model.embedding_dim)
        assert torch.isfinite(embeddings).all()
        torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-5)

    def test_pictures_do_not_depend_on_their_batch(self, model: Model) -> None:
        """The same batch gives the same bits, another batch the same values."""
        pixels = probe_pixels(model.transform, 3)
        together, _ = model.embed_images(pixels)
        again, _ = model.embed_images(pixels)
        alone, _ = model.embed_images(pixels[1:2])
        assert torch.equal(together, again)
        torch.testing.assert_close(together[1:2], alone, rtol=1e-3, atol=1e-5)

    def test_head_gives_the_models_logits(self, model: Model, reference: Any) -> None:
        """Head times embedding, or the live logits, are the model's own."""
        pixels = probe_pixels(model.transform, 3)
        with torch.inference_mode():
            expected = self.own_logits(reference, pixels)
        head = model.own_head
        if expected is None or head is None:
            assert expected is None
            assert head is None
            return
        embeddings, live = model.embed_images(pixels)
        assert head.native == (live is not None)
        logits = head.logits(embeddings.numpy()) if live is None else live.numpy()
        assert len(head.class_ids) == logits.shape[1]
        np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=1e-5)

    def test_identity_is_that_of_the_weights(
        self, model: Model, spec: str, other_spec: str
    ) -> None:
        """Two loads agree; other weights change that field alone."""
        identity, other = model.identity, load(other_spec).identity
        assert set(identity) == IDENTITY
        assert load(spec).identity == identity
        assert [field for field in IDENTITY if identity[field] != other[field]] == ["weights"]

    def test_texts_are_the_librarys(self, model: Model, reference: Any) -> None:
        """Texts at full length, cut, and in batches equal the library's."""
        if not model.has_text:
            assert model.identity["tokenizer"] == ""
            return
        tokens = model.tokenize(TEXTS)
        with torch.inference_mode():
            expected = self.own_texts(reference, tokens)
        torch.testing.assert_close(model.embed_texts(tokens), expected, rtol=1e-4, atol=1e-5)
        for batch_size in (1, 3):
            ours = embed_all_texts(model, TEXTS, batch_size)
            assert ours.dtype == np.float32
            np.testing.assert_allclose(_unit(ours), _unit(expected.numpy()), atol=1e-5)

    def test_bfloat16_points_the_same_way(self, spec: str, model: Model) -> None:
        """Pure bfloat16 keeps directions, and identity stays."""
        low = load(spec)
        low.to(torch.device("cpu"), torch.bfloat16)
        pixels = probe_pixels(model.transform, 3)
        exact, _ = model.embed_images(pixels)
        rough, _ = low.embed_images(pixels.bfloat16())
        assert rough.dtype == torch.bfloat16
        assert _cosines(exact.numpy(), rough.float().numpy()).min() >= 0.999
        if model.has_text:
            texts = embed_all_texts(model, TEXTS), embed_all_texts(low, TEXTS)
            assert _cosines(*texts).min() >= 0.999
        assert low.identity == model.identity


def _as_map(output: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Bring (B, d, h, w), (B, h, w, d), or tokens of which the last are the picture's, into order.

    -> (B, h, w, d)
    """
    if output.ndim == 3:
        return output[:, -shape[0] * shape[1] :].reshape(len(output), *shape)
    channels_first = output.shape[1:] == (shape[2], *shape[:2])
    return output.permute(0, 2, 3, 1) if channels_first else output


def _quadrant(x: Tensor, quadrant: int, dims: tuple[int, int]) -> Tensor:
    """Return a view of the upper left, upper right, lower left or lower right quarter."""
    for dim, second in zip(dims, divmod(quadrant, 2), strict=True):
        half = x.shape[dim] // 2
        x = x.narrow(dim, x.shape[dim] - half if second else 0, half)
    return x


def _unit(x: F32) -> F32:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def _cosines(a: F32, b: F32) -> F32:
    """(B, D), (B, D) -> (B,)."""
    return np.asarray((_unit(a) * _unit(b)).sum(axis=1), np.float32)
