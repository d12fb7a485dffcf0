"""Models that see pictures as another model does: `?transform=SPEC`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from embedstore import Store
from embedstore.datasets.pictures import prepare
from embedstore.datasets.sources import open_source
from embedstore.encode.encoder import encode
from embedstore.encode.loading import weights_files
from embedstore.encode.request import Options, Request
from embedstore.errors import ModelError, UnknownNameError
from embedstore.kernels.normalise import normalise
from embedstore.models import default_name, load
from embedstore.models.digests import transform_digest
from embedstore.models.timm_adapter import timm_transform
from embedstore.models.transforms import transform_of
from embedstore.store.patches import finished_layers
from embedstore.testing.models import save_random_open_clip, tiny_config
from embedstore.transform import Transform

#: Of no model here: 32 pixels of 36, bilinear, grey mean.
TIMM = "timm:levit_128s.fb_dist_in1k?input_size=32"


@pytest.fixture(scope="module")
def tower(tmp_path_factory) -> Path:
    """A small CLIP that takes pictures of 32 pixels."""
    return save_random_open_clip(tmp_path_factory.mktemp("models") / "tower", tiny_config("clip"))


@pytest.fixture(scope="module")
def llava(tmp_path_factory) -> Path:
    """What of a LLaVA says how it sees pictures: no weights."""
    folder = tmp_path_factory.mktemp("models") / "small-llava"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.5, 0.5, 0.5],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.mark.parametrize("name", ["levit_128s.fb_dist_in1k", "vit_tiny_patch16_224.augreg_in21k"])
def test_timms_transform_is_that_of_the_built_model(name):
    module = timm.create_model(name.partition(".")[0], pretrained_cfg_overlay={}, num_classes=0)
    module.pretrained_cfg = timm.models.get_pretrained_cfg(name).to_dict()
    assert transform_of(f"timm:{name}") == timm_transform(module, {})


def test_pictures_are_prepared_as_for_the_other_model(tower, tmp_path, shared_data):
    spec = f"open_clip:{tower}?transform={TIMM}"
    model, plain = load(spec), load(f"open_clip:{tower}")
    assert model.transform == transform_of(TIMM) != plain.transform
    different = {k for k, v in model.identity.items() if plain.identity[k] != v}
    assert different == {"transform"}
    assert model.identity["transform"] == transform_digest(transform_of(TIMM))
    source = open_source(f"folder:{shared_data}/textile-ood")
    options = Options(limit=3, patches=["last"])
    store = Store.open(tmp_path / "s", create=True)
    encode(store, Request([("m", spec)], [("t", source)], [], options=options))
    (dataset,) = store.datasets
    (patches,) = finished_layers(store.files, "m", dataset).values()
    assert Transform.from_record(patches.facts["transform"]) == model.transform
    paths = store.samples(dataset)["path"]
    files = [(shared_data / "textile-ood" / path).read_bytes() for path in paths]
    pixels = np.stack([prepare(data, model.transform) for data in files])
    ready = normalise(pixels, model.transform.mean, model.transform.std)
    expected = plain.embed_images(torch.from_numpy(ready))[0].numpy()
    np.testing.assert_allclose(np.asarray(store.embeddings("m", dataset)), expected, atol=1e-3)


def test_a_timm_model_takes_another_ones_transform():
    spec = "timm:vit_tiny_patch16_224?checkpoint={}&transform=timm:resnet18.tv_in1k"
    assert default_name(spec.format("/a/b.pt")) == (
        "timm--vit_tiny_patch16_224--checkpoint-b--transform-timm--resnet18.tv_in1k"
    )
    with pytest.raises(ModelError, match="whole of another model's transform; leave out mean"):
        load("timm:resnet18.tv_in1k?mean=0.5&transform=timm:resnet50")


def test_a_llavas_transform_is_read_without_its_weights(tower, llava, monkeypatch):
    pytest.importorskip("transformers")
    model = load(f"open_clip:{tower}?transform=llava:{llava}")
    found = model.transform
    assert (found.size, found.resize_to, found.mean) == ((32, 32), (40, 40), (0.5, 0.5, 0.5))
    assert found == transform_of(f"llava:{llava}")
    name = default_name(f"open_clip:{tower}?transform=llava:{llava}")
    assert name == "open_clip--tower--transform-llava--small-llava"


def test_a_changed_processor_is_not_taken_for_the_same_model(tower, llava, tmp_path):
    spec = f"open_clip:{tower}?transform=llava:{llava}"
    before = weights_files(spec)
    assert before != weights_files(f"open_clip:{tower}")
    (llava / "preprocessor_config.json").touch()
    assert weights_files(spec) != before


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        ("timm:resnet18", ModelError, "looks at pictures of 224 x 224 .* at 32 x 32; choose"),
        ("open_clip:ViT-B-32/openai", UnknownNameError, "'open_clip'; choose one of: llava, timm"),
        ("python:a:b", UnknownNameError, "choose one of: llava, timm"),
        ("timm:resnet18?checkpoint=x", UnknownNameError, "unknown option of timm models"),
        ("timm:resnet", UnknownNameError, "unknown timm model 'resnet'"),
        ("timm:hf-hub:timm/resnet50", ModelError, "timm does not know the transform"),
        ("nothing", ModelError, "is not KIND:NAME"),
    ],
)
def test_what_cannot_be_taken_is_said(tower, other, error, message):
    with pytest.raises(error, match=message):
        load(f"open_clip:{tower}?transform={other}")
