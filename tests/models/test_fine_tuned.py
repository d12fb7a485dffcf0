"""Weights that training code has saved, loaded into an architecture that open_clip lists."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedstore.errors import ModelError, UnknownNameError
from embedstore.models import load
from embedstore.testing.models import save_random_open_clip, tiny_config


@pytest.fixture(autouse=True)
def registered(tmp_path, monkeypatch):
    """Two small architectures that open_clip lists, with GELU and with QuickGELU."""
    folder = tmp_path / "architectures"
    folder.mkdir()
    for name, extra in (("Tiny-8", {}), ("Tiny-8-quickgelu", {"quick_gelu": True})):
        (folder / f"{name}.json").write_text(json.dumps(tiny_config("clip") | extra))
    monkeypatch.setattr(
        open_clip.factory, "_MODEL_CONFIG_PATHS", [*open_clip.factory._MODEL_CONFIG_PATHS, folder]
    )
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    open_clip.factory._rescan_model_configs()


@pytest.fixture
def directory(tmp_path):
    return save_random_open_clip(tmp_path / "clip", tiny_config("clip"))


@pytest.fixture
def state(directory):
    return load_file(directory / "open_clip_model.safetensors")


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "_orig_mod."])
def test_what_training_code_saves_is_the_model_itself(directory, state, tmp_path, prefix):
    path = tmp_path / "epoch 10.pt"
    saved = {"epoch": 10, "state_dict": {prefix + name: t for name, t in state.items()}}
    torch.save(saved | {"optimizer": {"state": {0: {"step": torch.zeros(())}}, "lr": 1e-5}}, path)
    tuned, same = load(f"open_clip:Tiny-8?checkpoint={path}"), load(f"open_clip:{directory}")
    for field in ("weights", "tokenizer", "transform"):
        assert tuned.identity[field] == same.identity[field]
    assert tuned.has_text
    assert tuned.own_head is None  # zero-shot heads come from its own text tower
    tokens = tuned.tokenize(["a photo of a dog."])
    assert torch.equal(tuned.embed_texts(tokens), same.embed_texts(tokens))


def test_both_activations_load_and_are_told_apart(state, tmp_path):
    save_file(state, tmp_path / "tuned.safetensors")
    plain, quick = (
        load(f"open_clip:{name}?checkpoint={tmp_path / 'tuned.safetensors'}")
        for name in ("Tiny-8", "Tiny-8-quickgelu")
    )
    assert (
        "Tiny-8's, GELU; if it was tuned from weights with the other, use Tiny-8-quickgelu"
        in (plain.notes[0])
    )
    assert "QuickGELU; if it was" in quick.notes[0]
    assert plain.identity["architecture"] != quick.identity["architecture"]
    assert plain.identity["weights"] == quick.identity["weights"]


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_tensors_that_do_not_fit_are_named(state, tmp_path, change):
    if change == "missing":
        del state["visual.proj"]
    elif change == "unexpected":
        state["classification_head.weight"] = torch.zeros(10, 32)
    else:
        state["visual.positional_embedding"] = torch.zeros(26, 64)
    torch.save(state, tmp_path / "tuned.pt")
    with pytest.raises(ModelError, match=r"do not match the architecture: '[\w.]+' (is|are) "):
        load(f"open_clip:Tiny-8?checkpoint={tmp_path / 'tuned.pt'}")


def test_a_whole_model_is_refused_with_what_to_save_instead(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(ModelError, match=r"whole pickled model.*save model.state_dict\(\)"):
        load(f"open_clip:Tiny-8?checkpoint={tmp_path / 'whole.pt'}")


def test_a_tag_says_how_pictures_are_prepared(monkeypatch, state, tmp_path):
    save_file(state, tmp_path / "tuned.safetensors")
    tag = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "interpolation": "bilinear"}
    tag |= {"resize_mode": "squash", "quick_gelu": False}
    registry = {"tiny-8": {"web": tag}}
    for module in (open_clip.pretrained,):
        monkeypatch.setattr(module, "_PRETRAINED", {**module._PRETRAINED, **_as_keys(registry)})
    option = f"?checkpoint={tmp_path / 'tuned.safetensors'}"
    for spec in (f"open_clip:Tiny-8/web{option}", f"open_clip:Tiny-8{option}"):
        transform = load(spec).transform
        assert (transform.mean, transform.resize) == ((0.5,) * 3, "squash")
    with pytest.raises(ModelError, match=r"GELU.*use open_clip:Tiny-8/web"):
        load(f"open_clip:Tiny-8-quickgelu/web{option}")


def _as_keys(registry):
    return {name.replace("tiny", "Tiny"): tags for name, tags in registry.items()}


def test_a_checkpoint_needs_an_architecture_that_is_listed(directory, tmp_path):
    with pytest.raises(UnknownNameError, match="unknown open_clip architecture 'ViT-B-8'"):
        load(f"open_clip:ViT-B-8?checkpoint={tmp_path / 'x.pt'}")
    with pytest.raises(ModelError, match="over a directory or hub; write open_clip:ARCHITECTURE"):
        load(f"open_clip:{directory}?checkpoint={tmp_path / 'x.pt'}")
    with pytest.raises(ModelError, match="there is no weights file"):
        load(f"open_clip:Tiny-8?checkpoint={tmp_path / 'x.pt'}")


def test_siglips_own_normalisation_is_known_and_clips_is_assumed_with_a_note():
    from embedstore.models.open_clip_sources import find_source
    from embedstore.models.specs import parse

    siglip = find_source(parse("open_clip:ViT-B-16-SigLIP?checkpoint=x.pt"))
    assert siglip.preprocess["mean"] == (0.5, 0.5, 0.5)
    clip = find_source(parse("open_clip:ViT-L-14?checkpoint=x.pt"))
    assert clip.preprocess == {}
    assert "differ in mean and std" in clip.notes[0]
