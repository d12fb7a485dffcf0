"""Hostile, broken and oversized pictures: a picture as Pillow's, or a PictureError."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from embedstore.datasets import pictures
from embedstore.datasets.pictures import decode
from embedstore.errors import PictureError


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


def failure(data, **options):
    with pytest.raises(PictureError) as caught:
        decode(data, **options)
    return caught.value


def outcome(data, **options):
    try:
        return decode(data, **options)
    except PictureError as error:
        return error


@pytest.fixture(scope="module")
def photographs(imagenet_sample):
    """Every tenth photograph's bytes: 100 of them."""
    return [path.read_bytes() for path in sorted(imagenet_sample.glob("*/*"))[::10]]


def test_an_empty_file():
    error = failure(b"")
    assert (error.stage, error.reason) == ("read", "empty file")


@pytest.mark.parametrize("text", [b"hello world", b"<html>not found</html>", b"\0" * 500, b"a"])
def test_a_text_named_jpg(text):
    error = failure(text)
    assert error.stage == "decode"
    assert error.reason.startswith("not a picture")


def test_jpegs_truncated_anywhere_are_refused_as_by_pillow(photographs):
    data = photographs[0]
    cuts = {*range(1, 700, 9), *range(700, len(data), 499), *range(len(data) - 40, len(data))}
    for cut in sorted(cuts):
        with pytest.raises((OSError, SyntaxError, ValueError)):
            by_pillow(data[:cut])
        error = failure(data[:cut])
        assert error.stage == "decode"
        assert "\n" not in str(error)
    assert failure(data[: len(data) // 2]).reason == "truncated"


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000"])
def test_other_kinds_truncated_are_refused_or_equal_pillows(kind):
    data = encoded(drawing(), kind)
    for cut in range(1, len(data), 61):
        ours = outcome(data[:cut])
        if isinstance(ours, PictureError):
            assert ours.stage == "decode"
        else:  # what little is missing carried no pixel
            np.testing.assert_array_equal(ours, by_pillow(data[:cut]))
    assert failure(data[: len(data) // 2]).stage == "decode"


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = b"IEND"
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, end)
    )


def jpeg_header(width, height):
    data = bytearray(encoded(drawing(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("header", [png_header, jpeg_header])
def test_picture_bombs_are_refused_by_their_header(header):
    error = failure(header(20_000, 20_000))
    assert error.stage == "decode"
    assert error.reason == "refused: 400,000,000 pixels exceed the limit of 178,956,970"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_the_pixel_limit_can_be_lowered(kind):
    data = encoded(drawing(), kind)
    assert decode(data, pixel_limit=48 * 36).shape == (36, 48, 3)
    reason = failure(data, pixel_limit=48 * 36 - 1).reason
    assert reason == "refused: 1,728 pixels exceed the limit of 1,727"


def test_pictures_that_pillow_would_warn_of_pass_silently():
    header = png_header(10_000, 10_000)  # above Pillow's warning, below its refusal
    assert "refused" not in failure(header).reason


KINDS = ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF"]


def survives(data):
    ours = outcome(data, pixel_limit=1 << 20)
    if isinstance(ours, PictureError):
        assert ours.stage in {"read", "decode"}
        assert 0 < len(ours.reason) < 120
        assert ours.reason.isprintable()
    else:
        assert ours.dtype == np.uint8
        assert ours.ndim == 3
        assert ours.shape[2] == 3


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200), st.sampled_from([b"", *pictures.MAGIC]))
@example(b"WEBPVP8X", b"RIFF\xff\xff\xff\xff")
def test_random_bytes_give_a_picture_or_an_error(data, magic):
    survives(magic + data)


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_give_a_picture_or_an_error(kind):
    data = encoded(drawing(24, 18), kind)
    chance = random.Random(kind)
    for _ in range(300):
        hostile = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            # headers are where parsers trip: half of the flips fall there
            at = chance.randrange(min(len(data), chance.choice([80, len(data)])))
            hostile[at] ^= 1 << chance.randrange(8)
        survives(bytes(hostile))


def test_jpegs_with_flipped_bits_equal_pillows_wherever_it_takes_them(photographs):
    chance = random.Random(1)
    n_equal = 0
    for data in photographs[:60]:
        hostile = bytearray(data)
        hostile[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            theirs = by_pillow(bytes(hostile))
        except (OSError, SyntaxError, ValueError):
            continue
        np.testing.assert_array_equal(decode(bytes(hostile)), theirs)
        n_equal += 1
    assert n_equal > 10


def test_pillows_global_settings_are_left_alone():
    decode(encoded(drawing(), "PNG"))
    assert Image.MAX_IMAGE_PIXELS == 1024**3 // 12
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
