"""The main job on real input: two real models over 1,000 photographs, to the published figures."""

from __future__ import annotations

import pytest

from embedstore import analysis
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.request import Request
from embedstore.prompts import prompt_set


def test_real_models_reach_their_figures_and_a_second_prompt_costs_no_image_pass(
    real_copy, imagenet_sample
):
    models = [(name, real_copy.model(name).spec) for name in ("lite0", "image-text")]
    data = [("sample", open_source(f"folder:{imagenet_sample}"))]
    again = encode(real_copy, Request(models, data, [prompt_set("photo"), prompt_set("name")]))
    assert again.n_images == 0
    assert again.already == [("lite0", "sample")]

    table = analysis.run("accuracy", real_copy, datasets="sample")
    accuracy = dict(
        zip(table["head"], table.select("top1_accuracy", "top5_accuracy").rows(), strict=True)
    )
    assert accuracy["own"] == (pytest.approx(0.797, abs=0.003), pytest.approx(0.953, abs=0.003))
    assert accuracy["photo--imagenet"][0] == pytest.approx(0.606, abs=0.005)
    assert accuracy["name--imagenet"][0] == pytest.approx(0.453, abs=0.005)
    assert table["n_samples"].to_list() == [1000] * 3
