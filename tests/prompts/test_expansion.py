from __future__ import annotations

import subprocess
import sys

import numpy as np

from embedstore.prompts import ClassList, PromptSet, expand, imagenet, prompt_set


def test_classes_come_one_after_another_with_all_their_templates() -> None:
    prompts = PromptSet("two", ("a {}.", "{0} and {}"))
    texts = expand(prompts, ClassList("pets", ("p1", "p2"), ("cat", "{odd}")))
    assert texts.name == "two--pets"
    assert texts.texts == ["a cat.", "{0} and cat", "a {odd}.", "{0} and {odd}"]
    np.testing.assert_array_equal(texts.class_index, np.array([0, 0, 1, 1], np.int32))
    np.testing.assert_array_equal(texts.template_index, np.array([0, 1, 0, 1], np.int32))
    assert texts.class_index.dtype == texts.template_index.dtype == np.int32


def test_indices_say_what_every_text_was_made_of() -> None:
    prompts, classes = prompt_set("openai-80"), imagenet()
    texts = expand(prompts, classes)
    assert texts.name == "openai-80--imagenet"
    assert len(texts.texts) == 80_000
    rebuilt = [
        prompts.templates[t].format(classes.names[c])
        for c, t in zip(texts.class_index, texts.template_index, strict=True)
    ]
    assert texts.texts == rebuilt


def test_prompts_start_without_model_libraries() -> None:
    heavy = "{'torch', 'open_clip', 'timm', 'transformers', 'zarr', 'numba'}"
    code = f"import embedstore.prompts, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
