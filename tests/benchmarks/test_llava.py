"""Scoring two options in both orders, beside one forward pass over a picture and a question.

The model is random and small, but of LLaVA 1.5's proportions: 576 patches, a language model of
many times the tower's parameters, questions of some 45 tokens, options of two and three.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from embedstore.encode.answers.questions import Asker, find_protocol
from embedstore.models import load_answering
from embedstore.testing.llava import save_random_llava

TOWER = {
    "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 6, "image_size": 336,
    "patch_size": 14,
}  # fmt: skip
LANGUAGE = {
    "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6,
    "num_key_value_heads": 4, "vocab_size": 1024,
}  # fmt: skip


def test_two_options_in_both_orders_beside_one_forward_pass(beside, tmp_path: Path) -> None:
    directory = save_random_llava(tmp_path / "model", vision=TOWER, language=LANGUAGE)
    model = load_answering(f"llava:{directory}")
    model.to(torch.device("cpu"), torch.float32)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (300, 400, 3), dtype=np.uint8) for _ in range(4)]
    prepared = [model.prepare(picture) for picture in pictures]
    asker = Asker(find_protocol("two-options"), ["word dog", "a single cat"], "data")
    questions = [[asked.question for asked in asker.ask("", 0, 1)] for _ in pictures]
    tokens = model._prompter.tokens(questions[0][0])
    image = [model.module.config.image_token_id] * 576
    ids = torch.tensor([[*tokens.before, *image, *tokens.after]] * len(pictures))
    pixels = torch.from_numpy(np.concatenate([p.pixels for p in prepared]))

    def one_pass() -> None:
        with torch.inference_mode():
            model.module(input_ids=ids, pixel_values=pixels, logits_to_keep=1)

    beside(lambda: model.answer(prepared, questions), rounds=9, one_forward_pass=one_pass)
