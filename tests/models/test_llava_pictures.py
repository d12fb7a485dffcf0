"""What LLaVA's tower sees, from the processor's configuration, against the processors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import transformers
from PIL import Image

from embedstore.datasets.pictures import decode, fit
from embedstore.errors import ModelError
from embedstore.kernels.normalise import normalise
from embedstore.models.llava_pictures import transform_of
from embedstore.testing.llava import save_random_llava
from embedstore.transform import Transform

FAMILIES = ("llava", "llava_next", "llava_onevision")
#: Heights and widths: what is cut off a side is even, odd, and three more than a multiple of four.
SIZES = ((40, 60), (60, 41), (33, 34), (31, 97), (120, 113), (28, 28), (300, 29))


@pytest.fixture(scope="module")
def directories(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("llava")
    return {family: save_random_llava(folder / family, family) for family in FAMILIES}


def levels(family: str, directory: Path, picture: np.ndarray, backend: str) -> np.ndarray:
    """The difference of our base view from the processor's, in levels of 255: (3, H, W)."""
    transform = transform_of(str(directory))
    processor = transformers.AutoImageProcessor.from_pretrained(directory, backend=backend)
    theirs = processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
    theirs = np.asarray(theirs if family == "llava" else theirs[0])
    ours = normalise(fit(picture, transform)[None], transform.mean, transform.std)[0]
    return np.abs(ours - theirs) * np.array(transform.std, np.float32)[:, None, None] * 255


@pytest.mark.parametrize("family", FAMILIES)
def test_the_base_view_is_the_processors_bit_for_bit(directories, family):
    random = np.random.default_rng(0)
    for height, width in SIZES:
        picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        # Pillow's resize, as the models were trained with; noise shows a pixel's shift at once
        assert levels(family, directories[family], picture, "pil").max() == 0, (height, width)


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_other_resize_differs_by_a_level_on_photographs(
    directories, imagenet_sample, family
):
    for path in sorted(imagenet_sample.rglob("*.JPEG"))[:60:12]:
        picture = decode(path.read_bytes())
        apart = levels(family, directories[family], picture, "torchvision")
        assert apart.max() < 1.01
        assert (apart < 0.01).mean() > 0.99


def test_a_crop_that_rounds_down_is_another_transform_and_rounding_is_none():
    rounded = Transform((4, 4), (4, 4))
    floored = Transform((4, 4), (4, 4), crop="floored")
    assert "crop" not in rounded.record()  # identities stay those of models encoded before
    assert floored.record()["crop"] == "floored"
    for transform in (rounded, floored):
        assert Transform.from_record(transform.record()) == transform
    picture = np.arange(4 * 7 * 3, dtype=np.uint8).reshape(4, 7, 3)  # three columns too many
    assert (fit(picture, rounded) == picture[:, 2:6]).all()
    assert (fit(picture, floored) == picture[:, 1:5]).all()


def edited(directory: Path, target: Path, name: str, **changes: object) -> Path:
    """A copy of a model's small files, some values of one of them changed."""
    target.mkdir()
    for file in directory.glob("*.json"):
        (target / file.name).write_bytes(file.read_bytes())
    content = json.loads((target / name).read_text())
    (target / name).write_text(json.dumps({**content, **changes}))
    return target


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("preprocessor_config.json", {"do_pad": True}, "pads pictures to a square in a colour"),
        ("preprocessor_config.json", {"do_center_crop": False}, "does not bring pictures to one"),
        ("preprocessor_config.json", {"resample": 1}, "resizes with Pillow's filter 1"),
        ("preprocessor_config.json", {"size": {"shortest_edge": 9}}, "crops more than it resizes"),
        ("config.json", {"model_type": "blip"}, "LLaVA 1.5, LLaVA 1.6/NeXT, LLaVA OneVision"),
    ],
)
def test_what_cannot_be_said_is_refused(directories, tmp_path, name, changes, message):
    target = edited(directories["llava"], tmp_path / "edited", name, **changes)
    with pytest.raises(ModelError, match=message):
        transform_of(str(target))


def test_a_directory_without_processor_or_configuration_is_one_line(directories, tmp_path):
    target = edited(directories["llava"], tmp_path / "edited", "config.json")
    (target / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"holds no processor; copy processor_config.json or"):
        transform_of(str(target))
    with pytest.raises(ModelError, match=r"holds no config.json; give llava:/path/to"):
        transform_of(str(tmp_path))


def test_a_hub_out_of_reach_is_one_line(monkeypatch):
    monkeypatch.setattr("embedstore.models.hub._hub_answers", lambda: False)
    with pytest.raises(ModelError, match=r"'nobody/no-llava' cannot be fetched .*llava:/path/to"):
        transform_of("nobody/no-llava")
