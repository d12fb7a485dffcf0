"""LLaVA 1.5, 1.6/NeXT and OneVision through transformers: their answers, their towers' patches.

Dimensions: B pictures, T tiles of all of them, O options of a question, H, W pixels, D embedding of
the language model; h, w, d rows, columns and features of a layer's patches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch import Tensor

from embedstore.errors import ModelError, PictureError
from embedstore.models.answering import Answered, AnsweringModel, Likelihoods, Question
from embedstore.models.digests import json_digest, transform_digest, weights_digest
from embedstore.models.llava_pictures import base_view, image_processor, processing
from embedstore.models.llava_prompts import Prompter, Tokens, find_prompter
from embedstore.models.llava_scoring import Reader, common_start, tree_of
from embedstore.models.llava_sources import LlavaSource, find_llava, reading
from embedstore.models.specs import ModelSpec, checked_options
from embedstore.transform import Cells

#: `model_type` -> class of transformers.
CLASSES = {
    "llava": "LlavaForConditionalGeneration",
    "llava_next": "LlavaNextForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
}

#: Language models of these families. Each places tokens by the positions it is given and attends
#: to what the mask shows, which sharing a prefix needs; the tests compare each with plain passes.
LANGUAGE_MODELS = ("llama", "mistral", "qwen2")

#: Keys of a configuration that say who wrote it, not what it computes.
NOT_ARCHITECTURE = ("transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache")

#: Ratio of sides from which on a picture is refused; its processor resizes before it crops.
THINNEST = 200


@dataclass(frozen=True, slots=True)
class Tiles:
    """A picture as the image tower wants it."""

    pixels: npt.NDArray[np.float32]  # (T, 3, H, W) normalised, the base view first
    size: tuple[int, int]  # height and width of the picture itself


class LlavaModel(AnsweringModel):
    """A vision tower, a projector and a language model."""

    def __init__(
        self, module: Any, source: LlavaSource, processor: Any, prompter: Prompter
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self.family, self.prompt = source.family, prompter.prompt
        self.transform = base_view(source, processor)
        self._processor, self._prompter = processor, prompter
        self._reader = Reader(module.model.language_model, module.lm_head)
        self._ends = _ends(module, prompter.tokenizer)
        vision = module.config.vision_config
        patch, n_blocks = int(vision.patch_size), int(vision.num_hidden_layers)
        side, width = int(vision.image_size) // patch, int(vision.hidden_size)
        self._shapes = ((side, side, width),) * n_blocks
        # from the upper left on; no patch sees what is left of 384 pixels beyond 27 of 14
        self._cells = (Cells((patch, patch), ((patch - 1) / 2, (patch - 1) / 2)),) * n_blocks
        self._most = _most_tokens(module.config.text_config)
        self._identity = {
            "weights": weights_digest(module.state_dict()),
            "architecture": json_digest(_plain(source.config)),
            "tokenizer": prompter.digest(),
            "transform": transform_digest(self.transform),
            "processor": json_digest(processing(processor)),
            "template": json_digest(prompter.prompt),
        }

    @property
    def identity(self) -> dict[str, str]:
        """Digests of weights, architecture, tokenizer, transform, processor and template."""
        return dict(self._identity)

    @property
    def patch_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(h, w, d) of each of the image tower's blocks."""
        return self._shapes

    @property
    def patch_cells(self) -> tuple[Cells, ...]:
        """Where the patches of each of these blocks lie on the tower's input."""
        return self._cells

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to `device` in pure `dtype`, but for what no checkpoint holds.

        Frequencies of positions stay in float32, as transformers loads them: rounded to bfloat16,
        the angle of the 600th token would be off by up to a radian.
        """
        computed = [
            (part, name, buffer)
            for part in self.module.modules()
            for name, buffer in part.named_buffers(recurse=False)
            if name in part._non_persistent_buffers_set  # torch tells in no other way
        ]
        self.module.to(device=device, dtype=dtype)
        for part, name, buffer in computed:
            setattr(part, name, buffer.to(device))

    def prepare(self, picture: npt.NDArray[np.uint8]) -> Tiles:
        """(H, W, 3) RGB -> tiles, the base view bit for bit what `transform` makes of it.

        Raises
        ------
        PictureError
            If the picture is so thin that resizing it whole would take gigabytes.
        """
        size = (picture.shape[0], picture.shape[1])
        if max(size) > THINNEST * min(size):
            raise PictureError("transform", f"too thin: {size[1]} x {size[0]} pixels")
        given = self._processor(picture, input_data_format="channels_last", return_tensors="np")
        pixels = np.asarray(given["pixel_values"][0], np.float32)
        return Tiles(pixels if pixels.ndim == 4 else pixels[None], size)

    def answer(
        self,
        pictures: Sequence[Tiles],
        questions: Sequence[Sequence[Question]],
        *,
        layers: Sequence[int] = (),
        max_tokens: int = 0,
    ) -> Answered:
        """Answer questions about B pictures; the tower looks at each tile once."""
        with torch.inference_mode():
            features, patches = self._look(pictures, layers)
            if not any(questions):
                nothing: list[list[Any]] = [[] for _ in pictures]
                return Answered(nothing, nothing, patches)
            asked = [[self._prompter.tokens(q) for q in about] for about in questions]
            return Answered(*self._said(features, asked, max_tokens), patches)

    def _said(
        self, features: Sequence[Tensor], asked: Sequence[Sequence[Tokens]], max_tokens: int
    ) -> tuple[list[list[Likelihoods]], list[list[str]]]:
        """Score options and write answers after the pictures' features, (D,) a token."""
        starts = [common_start([tokens.after for tokens in about]) for about in asked]
        begun = [
            torch.cat([self._embedded(about[0].before), seen, self._embedded(about[0].after[:n])])
            for seen, about, n in zip(features, asked, starts, strict=True)
        ]
        trees = [tree_of(about, n) for about, n in zip(asked, starts, strict=True)]
        longest = max(len(b) + max(t.depths) + 1 for b, t in zip(begun, trees, strict=True))
        self._check_length(longest + max_tokens)
        prefix = self._reader.read(begun)
        texts: list[list[str]] = [[] for _ in asked]
        for i in range(len(asked[0]) if max_tokens else 0):
            rest = [about[i].after[n:] for about, n in zip(asked, starts, strict=True)]
            written = self._reader.write(prefix, rest, max_tokens, self._ends)
            for said, ids in zip(texts, written, strict=True):
                said.append(self._prompter.tokenizer.decode(ids, skip_special_tokens=True).strip())
        sums = self._reader.score(prefix, trees)
        return [_likelihoods(row, about) for row, about in zip(sums, asked, strict=True)], texts

    def _embedded(self, ids: Sequence[int]) -> Tensor:
        embed = self._reader.embed
        found: Tensor = embed(torch.tensor(ids, dtype=torch.long, device=embed.weight.device))
        return found

    def _look(
        self, pictures: Sequence[Tiles], layers: Sequence[int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run the tower once over all tiles: -> features (tokens, D) of each picture, patches."""
        parameter = next(self.module.parameters())
        pixels = torch.from_numpy(np.concatenate([p.pixels for p in pictures]))
        sizes = {} if self.family == "llava" else {"image_sizes": [p.size for p in pictures]}
        seen = self.module.model.get_image_features(
            pixels.to(parameter.device, parameter.dtype),
            **sizes,
            **({"output_hidden_states": True} if layers else {}),
            return_dict=True,
        )
        counts = [len(p.pixels) for p in pictures]
        base = np.cumsum([0, *counts[:-1]])
        patches = [
            self._grid(seen.hidden_states[layer + 1][torch.from_numpy(base)], layer)
            for layer in layers
        ]
        return list(seen.pooler_output), patches

    def _grid(self, states: Tensor, layer: int) -> Tensor:
        """(B, tokens, d) of a block -> (B, h, w, d), a class token dropped."""
        height, width, _ = self._shapes[layer]
        patches = states[:, states.shape[1] - height * width :]
        return patches.reshape(len(states), height, width, -1)

    def _check_length(self, n_tokens: int) -> None:
        if self._most is not None and n_tokens > self._most:
            raise ModelError(
                f"a picture and its questions take {n_tokens} tokens, of which this language model "
                f"sees {self._most} at most; choose a protocol with fewer options"
            )


def load_llava(spec: ModelSpec) -> LlavaModel:
    """Find and fill the model that a SPEC names, in the precision of its weights.

    Raises
    ------
    ModelError
        If it is of another architecture, or a part of it is missing or does not fit.
    """
    checked_options(spec, ())
    source = find_llava(spec.rest)
    processor = image_processor(source)
    with quiet_transformers(), reading(source.name, source.directory, "the weights"):
        module = _filled(source)
    prompter, notes = find_prompter(source, int(module.config.image_token_id))
    model = LlavaModel(module, source, processor, prompter)
    model.notes = notes
    return model


def _filled(source: LlavaSource) -> Any:
    """Build the module and load its weights: all of them, and no others."""
    kind = getattr(transformers, CLASSES[source.family])
    config = kind.config_class.from_pretrained(source.name)
    language = config.text_config.model_type
    if language not in LANGUAGE_MODELS:
        raise ModelError(
            f"LLaVA model {source.name!r} speaks through a {language!r}, which is not known to "
            f"share a prefix exactly; choose one built on {', '.join(LANGUAGE_MODELS)}"
        )
    module, found = kind.from_pretrained(
        source.name,
        config=config,
        dtype="auto",
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    wrong = sorted({*found["missing_keys"], *found["unexpected_keys"]})
    if wrong:
        raise ModelError(
            f"the weights in {source.name!r} do not fit its architecture ({wrong[0]!r} is "
            f"{'missing' if wrong[0] in found['missing_keys'] else 'none of its own'}); copy the "
            "directory again from where the model is from"
        )
    return module


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from reporting and counting on standard error what it loads."""
    logger = transformers.utils.logging
    level, bars = logger.get_verbosity(), logger.is_progress_bar_enabled()
    logger.set_verbosity(logging.CRITICAL)
    logger.disable_progress_bar()
    try:
        yield
    finally:
        logger.set_verbosity(level)
        if bars:
            logger.enable_progress_bar()


def _likelihoods(sums: npt.NDArray[np.float32], asked: Sequence[Tokens]) -> list[Likelihoods]:
    """Divide a picture's (R,) log-likelihoods by question."""
    counts = [np.array([len(o) for o in tokens.options], np.int64) for tokens in asked]
    ends = np.cumsum([len(c) for c in counts])[:-1]
    return [Likelihoods(s, c) for s, c in zip(np.split(sums, ends), counts, strict=True)]


def _ends(module: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end an answer."""
    stated = getattr(module.generation_config, "eos_token_id", None)
    found = stated if isinstance(stated, list) else [stated]
    return sorted({t for t in (*found, tokenizer.eos_token_id) if t is not None})


def _most_tokens(config: Any) -> int | None:
    """Return how many tokens the language model has positions for and sees back; None: any."""
    layers = getattr(config, "layer_types", None)
    slides = layers is None or "sliding_attention" in layers
    limits = ("max_position_embeddings", *(["sliding_window"] if slides else []))
    return min((n for name in limits if (n := getattr(config, name, None))), default=None)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without what says who wrote it, at all depths."""
    return {
        key: _plain(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in NOT_ARCHITECTURE
    }
