"""NAVI's pictures, turned as EXIF says: against Pillow's own way."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from embedstore.datasets.pictures import decode
from embedstore.datasets.presets.source import PresetSource
from embedstore.datasets.presets.upright import ORIENTATION, UprightReader
from embedstore.errors import PictureError


@pytest.mark.parametrize("orientation", range(10))  # 0 and 9 mean nothing
def test_pictures_are_turned_as_pillow_turns_them(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[ORIENTATION] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(decode(UprightReader(str(tmp_path))("a.png")), expected)


def test_upright_and_broken_files_are_read_as_they_are(copy, tmp_path):
    copy("a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    read = UprightReader(str(tmp_path))
    for name in ("a.jpg", "b.jpg"):
        assert read(name) == (tmp_path / name).read_bytes()
    with pytest.raises(PictureError):
        read("c.jpg")


def test_navi_is_read_so_and_other_presets_are_not(copy):
    root = copy("lamp/wild_set/images/000.jpg")
    assert isinstance(PresetSource("navi", str(root)).reader(), UprightReader)
    assert not isinstance(PresetSource("scannet-pairs", str(root)).reader(), UprightReader)
