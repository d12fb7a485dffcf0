"""A sweep of templates on real input reaches the published figures without an image pass."""

from __future__ import annotations

import pytest

from embedstore import Store, analysis
from embedstore.encode.prompts import encode_prompts
from embedstore.heads.applying import apply_head
from embedstore.prompts import imagenet, prompt_set

#: Top-1 accuracy of the image-text model on the 1,000 photographs.
FIGURES = {
    "a photo of a {}.": 0.606,
    "a bad photo of a {}.": 0.555,
    "a sculpture of a {}.": 0.573,
}
NAME = 0.453


def encode(store: Store, *prompts: str) -> None:
    encode_prompts(store, ["image-text"], [(prompt_set(name), imagenet()) for name in prompts])


def alone(store: Store, texts: str) -> dict[str, float]:
    asked = {"datasets": "sample", "texts": texts, "parts": "templates"}
    found = analysis.run("prompt-sweep", store, **asked)
    assert set(found["n_samples"]) == {1000}
    return dict(zip(found["template"], found["top1_accuracy"], strict=True))


def test_four_templates(real_copy, tmp_path):
    path = tmp_path / "three.txt"
    path.write_text("\n".join(FIGURES), "utf-8")
    encode(real_copy, str(path), "name")
    assert alone(real_copy, "three") == pytest.approx(FIGURES, abs=0.005)
    assert alone(real_copy, "name") == pytest.approx({"{}": NAME}, abs=0.005)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 80,000 texts
def test_80_templates_and_80_prefixes(real_copy):
    encode(real_copy, "openai-80")
    parts = {"texts": "openai-80", "parts": "templates,prefixes,sets", "datasets": "sample"}
    table = analysis.run("prompt-sweep", real_copy, **parts)
    assert table.height == 161
    found = alone(real_copy, "openai-80")
    assert {t: found[t] for t in FIGURES} == pytest.approx(FIGURES, abs=0.005)
    (whole,) = table.filter(part="set").to_dicts()
    last = table.filter(part="prefix").row(-1, named=True)
    first = table.filter(part="prefix").row(0, named=True)
    assert last["n_templates"] == 80
    for name in ("top1_accuracy", "nll", "ece"):
        assert last[name] == pytest.approx(whole[name], abs=1e-5)
        one = table.filter(part="template").row(0, named=True)
        assert first[name] == pytest.approx(one[name], abs=1e-5)
    apply_head(real_copy, "image-text", "sample", "openai-80--imagenet")
    accuracy = analysis.run("accuracy", real_copy, heads="openai-80--imagenet")
    assert whole["top1_accuracy"] == pytest.approx(accuracy["top1_accuracy"].item(), abs=0.001)
