"""Pictures' bytes to pixels, against Pillow's and the models' own transforms."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import image_transform
from PIL import Image
from timm.data import create_transform

from embedstore.datasets import pictures
from embedstore.datasets.pictures import decode, fit, prepare
from embedstore.errors import PictureError
from embedstore.kernels.normalise import normalise
from embedstore.transform import Transform

CLIP = Transform(size=(224, 224), resize_to=(224, 224))


def drawing(width=48, height=36, mode="RGB"):
    """A smooth picture with an edge and some noise: compresses, and shows a wrong transform."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 20, (height, width, 3))
    levels = np.stack([x * 4, y * 5, (x > y) * 180], axis=2) + noise
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture(scope="module")
def photographs(imagenet_sample):
    """Every tenth photograph's bytes: 100 of them."""
    return [path.read_bytes() for path in sorted(imagenet_sample.glob("*/*"))[::10]]


@pytest.mark.parametrize("quality", [30, 90])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(48, 36), (33, 17), (1, 1)])
def test_jpegs_equal_pillows(quality, subsampling, progressive, size):
    options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
    data = encoded(drawing(*size), "JPEG", **options)
    np.testing.assert_array_equal(decode(data), by_pillow(data))


def test_photographs_equal_pillows(photographs):
    for data in photographs:
        np.testing.assert_array_equal(decode(data), by_pillow(data))


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"keep_rgb": True}),
        ("PNG", "RGB", {}),
        ("PNG", "L", {}),
        ("PNG", "LA", {}),
        ("PNG", "1", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": bytes(range(200))}),  # Pillow warns of it
        ("PNG", "RGBA", {}),
        ("GIF", "P", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "CMYK", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("BMP", "RGB", {}),
        ("PPM", "RGB", {}),
        ("JPEG2000", "RGB", {}),
    ],
)
@pytest.mark.filterwarnings("ignore:Palette images:UserWarning")
def test_every_kind_and_mode_equals_pillows_rgb(kind, mode, options):
    data = encoded(drawing(mode=mode), kind, **options)
    ours = decode(data)
    assert ours.dtype == np.uint8
    assert ours.shape == (36, 48, 3)
    np.testing.assert_array_equal(ours, by_pillow(data))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animations_give_their_first_frame(kind):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "green")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(decode(data), np.asarray(frames[0]))


def test_exif_orientation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright
    data = encoded(drawing(), "JPEG", exif=exif)
    assert decode(data).shape == (36, 48, 3)
    np.testing.assert_array_equal(decode(data), by_pillow(data))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_keeps_its_upper_byte(kind):
    levels = np.linspace(0, 65535, 48 * 36).astype(np.uint16).reshape(36, 48)
    picture = Image.fromarray(levels)
    expected = np.repeat((levels >> 8).astype(np.uint8)[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode(encoded(picture, kind)), expected)


def test_big_endian_sixteen_bit_grey():
    levels = np.arange(0, 65536, 37, dtype=np.uint16)[: 36 * 48].reshape(36, 48)
    big = Image.frombytes("I;16B", (48, 36), levels.astype(">u2").tobytes())
    np.testing.assert_array_equal(decode(encoded(big, "TIFF"))[..., 0], levels >> 8)


def pixels_of(transform, data):
    return normalise(prepare(data, transform)[None], transform.mean, transform.std)[0]


def theirs_of(their_transform, data):
    with Image.open(io.BytesIO(data)) as picture:
        return their_transform(picture.convert("RGB")).numpy()


@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("side", [224, 336])
def test_photographs_equal_open_clips_transform_bit_for_bit(
    photographs, resize, interpolation, side
):
    ours = Transform((side, side), (side, side), resize, interpolation, fill=17)
    theirs = image_transform(
        side, False, resize_mode=resize, interpolation=interpolation, fill_color=17
    )
    for data in photographs[::2]:
        np.testing.assert_array_equal(pixels_of(ours, data), theirs_of(theirs, data))


@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
def test_oblong_inputs_equal_open_clips(photographs, resize):
    ours = Transform((160, 224), (160, 224), resize)
    theirs = image_transform((160, 224), False, resize_mode=resize)
    for data in photographs[::10]:
        np.testing.assert_array_equal(pixels_of(ours, data), theirs_of(theirs, data))


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize(("crop_pct", "resize_to"), [(0.875, 256), (1.0, 224), (0.95, 235)])
def test_photographs_equal_timms_transform_bit_for_bit(
    photographs, crop_mode, interpolation, crop_pct, resize_to
):
    mode = {"center": "shortest", "squash": "squash", "border": "longest"}[crop_mode]
    half = (0.5, 0.5, 0.5)
    fill = round(255 * 0.5)  # timm fills with the mean
    ours = Transform((224, 224), (resize_to, resize_to), mode, interpolation, half, half, fill)
    theirs = create_transform(
        (3, 224, 224),
        interpolation=interpolation,
        crop_pct=crop_pct,
        crop_mode=crop_mode,
        mean=half,
        std=half,
    )
    for data in photographs[::5]:
        np.testing.assert_array_equal(pixels_of(ours, data), theirs_of(theirs, data))


SHAPES = [(1, 1), (2, 1), (1, 40), (300, 1), (224, 224), (225, 224), (640, 97), (97, 640), (5, 7)]


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
def test_odd_shapes_equal_open_clips(width, height, resize):
    data = encoded(drawing(width, height), "PNG")
    ours = Transform((64, 64), (64, 64), resize, fill=200)
    theirs = image_transform(64, False, resize_mode=resize, fill_color=200)
    try:
        expected = theirs_of(theirs, data)
    except ValueError:
        with pytest.raises(PictureError, match="transform: too thin"):
            prepare(data, ours)
    else:
        np.testing.assert_array_equal(pixels_of(ours, data), expected)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    resize=st.sampled_from(["shortest", "longest", "squash"]),
)
def test_any_shape_equals_open_clips(shape, size, resize):
    picture = drawing(*shape)
    theirs = image_transform(size, False, resize_mode=resize, mean=(0, 0, 0), std=(1, 1, 1))
    try:
        expected = theirs(picture).mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    except ValueError:
        with pytest.raises(PictureError, match="too thin"):
            fit(np.array(picture), Transform(size, size, resize))
    else:
        ours = fit(np.array(picture), Transform(size, size, resize))
        np.testing.assert_array_equal(ours, expected)


def test_a_crop_larger_than_the_resized_picture_is_padded_black():
    ours = fit(np.full((10, 20, 3), 255, np.uint8), Transform((30, 30), (20, 20), fill=99))
    assert (ours[5:25] == 255).all()
    assert not ours[:5].any()
    assert not ours[25:].any()


def test_a_thread_of_pixels_is_stretched_without_the_memory_of_the_whole():
    strip = np.random.default_rng(0).integers(0, 256, (3000, 1, 3), dtype=np.uint8)
    ours = fit(strip, CLIP)
    # 224 of 672,000 rows, around the middle: one source row and half of its neighbours
    assert ours.shape == (224, 224, 3)
    assert (ours == ours[:, :1]).all()


def test_a_thread_that_shrinks_to_nothing_is_refused():
    strip = np.zeros((3000, 1, 3), np.uint8)
    with pytest.raises(PictureError, match="transform: too thin: 1 x 3000 pixels become 0 x 224"):
        fit(strip, Transform((224, 224), (224, 224), "longest"))


def test_a_side_beyond_the_limit_is_refused():
    strip = np.zeros((1, pictures.SIDE_LIMIT + 1, 3), np.uint8)
    with pytest.raises(PictureError, match="transform: too thin"):
        fit(strip, Transform((224, 224), (224, 224), "squash"))


@pytest.mark.parametrize("resize", ["shortest", "longest"])
def test_writes_into_a_row_of_a_batch(resize):
    batch = np.full((3, 224, 224, 3), 7, np.uint8)
    data = encoded(drawing(), "JPEG")
    transform = Transform((224, 224), (224, 224), resize)
    ours = prepare(data, transform, batch[1])
    assert np.shares_memory(ours, batch)
    np.testing.assert_array_equal(batch[1], prepare(data, transform))
    assert (batch[[0, 2]] == 7).all()


def test_writes_into_an_out_that_is_not_contiguous():
    canvas = np.zeros((224, 448, 3), np.uint8)
    data = encoded(drawing(), "JPEG")
    prepare(data, CLIP, canvas[:, 224:])
    np.testing.assert_array_equal(canvas[:, 224:], prepare(data, CLIP))
    assert not canvas[:, :224].any()
