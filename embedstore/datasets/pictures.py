"""A picture's bytes to the pixels that a model's own transform would give it, on the CPU, no torch.

Pixels are those of the field's usual pipeline, byte for byte: torchvision's ImageFolder, which
decodes with Pillow and converts to RGB (first frame of an animation; palettes resolved; alpha
dropped; EXIF orientation *not* applied), then open_clip's or timm's resize and crop. One departure:
16-bit grey is scaled to 8 bits by its upper byte, as Pillow does for 16-bit colour, where
``convert("RGB")`` would clip nearly all of it to white.

It knows bytes and arrays, not files, data sets or tensors.

Dimensions: H, W the picture's pixels, h, w the model's input.
"""

from __future__ import annotations

import io
import re
import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedstore.errors import PictureError, require
from embedstore.kernels.resize import resize
from embedstore.transform import Transform, resized, window

if TYPE_CHECKING:
    from PIL import Image

U8 = NDArray[np.uint8]

#: Pictures of more pixels are refused, by their header, before any is decoded: half a gigabyte of
#: RGB, and the most that Pillow itself opens (twice its ``MAX_IMAGE_PIXELS``).
PIXEL_LIMIT = 178_956_970
#: Longer sides are refused by `fit`, whose filter weights grow with the side: 4 taps a pixel.
SIDE_LIMIT = 1 << 20
#: Formats tried. Others of Pillow's are no photographs, and EPS would start an interpreter.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")
#: Beginnings of files that are pictures even if nothing else of them can be read.
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")


def decode(data: bytes, *, pixel_limit: int = PIXEL_LIMIT) -> U8:
    """Decode a picture's bytes: -> (H, W, 3) uint8 RGB.

    Parameters
    ----------
    data
        A whole file: JPEG, PNG, GIF, WebP, TIFF, BMP, PPM, JPEG 2000 or AVIF.
    pixel_limit
        Most pixels to accept, read from the header; at most `PIXEL_LIMIT` is of use.

    Raises
    ------
    PictureError
        Stage `read` for an empty file, `decode` for one that is no picture, truncated, damaged or
        too large. Nothing else is raised, and no warning, whatever the bytes.
    """
    _require_decoders()
    if not data:
        raise PictureError("read", "empty file")
    picture = _decoded_jpeg(data, pixel_limit) if data[:3] == MAGIC[0] else None
    return _decoded_by_pillow(data, pixel_limit) if picture is None else picture


def prepare(
    data: bytes, transform: Transform, out: U8 | None = None, *, pixel_limit: int = PIXEL_LIMIT
) -> U8:
    """Decode, resize and crop or pad: bytes -> (h, w, 3) uint8 of `transform.size`.

    Parameters
    ----------
    data
        A whole picture file.
    transform
        What the model wants; the result is what is normalised next.
    out
        (h, w, 3) uint8: where to write, such as a row of a batch in shared memory.
    pixel_limit
        As in :func:`decode`.

    Raises
    ------
    PictureError
        As in :func:`decode`; stage `transform` where nothing would be left of the picture.
    """
    return fit(decode(data, pixel_limit=pixel_limit), transform, out)


def fit(picture: U8, transform: Transform, out: U8 | None = None) -> U8:
    """Resize and crop or pad a decoded picture: (H, W, 3) -> (h, w, 3)."""
    height, width = picture.shape[:2]
    size = resized(height, width, transform)
    if min(size) < 1 or max(height, width) > SIDE_LIMIT:
        raise PictureError(
            "transform", f"too thin: {width} x {height} pixels become {size[1]} x {size[0]}"
        )
    top, kept_height, first_row = window(size[0], transform.size[0], transform.crop)
    left, kept_width, first_column = window(size[1], transform.size[1], transform.crop)
    if out is None:
        out = np.empty((*transform.size, 3), np.uint8)
    whole = (kept_height, kept_width) == transform.size and out.flags.c_contiguous
    kept = resize(
        picture,
        size,
        window=(top, left, kept_height, kept_width),
        interpolation=transform.interpolation,
        tall_first=_tall_first(),
        out=out if whole else None,
    )
    if not whole:
        out[:] = transform.fill if transform.resize == "longest" else 0  # torchvision's crop: black
        out[first_row:, first_column:][:kept_height, :kept_width] = kept
    return out


def ppm(picture: U8) -> bytes:
    """Return a picture as PPM, bytes that no compressor's version changes: (H, W, 3) ->."""
    return b"P6 %d %d 255\n" % (picture.shape[1], picture.shape[0]) + picture.tobytes()


def _decoded_jpeg(data: bytes, pixel_limit: int) -> U8 | None:
    """Decode through libjpeg-turbo directly; None where Pillow must do it, or say what is wrong.

    Up to 2.2 times Pillow's speed, the same pixels: both take the slow DCT and smooth upsampling.
    Any warning of the decoder counts as failure here, so nothing truncated passes.
    """
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _refuse_bomb(height * width, pixel_limit)
        if colours in {"CMYK", "YCCK"}:
            return None
        picture: U8 = simplejpeg.decode_jpeg(data)
    except (ValueError, RuntimeError, MemoryError):
        return None
    return picture


def _decoded_by_pillow(data: bytes, pixel_limit: int) -> U8:
    """Decode through Pillow, its warnings silenced and its many exceptions made one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                _refuse_bomb(picture.height * picture.width, pixel_limit)
                return _rgb(picture)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        damaged = data.startswith(MAGIC)
        reason = "damaged or truncated header" if damaged else f"not a picture: starts {data[:8]!r}"
        raise PictureError("decode", reason) from error
    except Image.DecompressionBombError as error:
        counted = re.search(r"\d+", str(error))
        n_pixels = int(counted[0]) if counted else PIXEL_LIMIT + 1
        _refuse_bomb(n_pixels, min(pixel_limit, PIXEL_LIMIT))
        raise PictureError("decode", "refused: too many pixels") from error
    except Exception as error:  # hostile bytes raise nearly anything: struct.error, KeyError, ...
        raise PictureError("decode", _reason(error)) from error


def _rgb(picture: Image.Image) -> U8:
    """Return the first frame as (H, W, 3) uint8, 16-bit grey by its upper byte."""
    sixteen_bit = picture.mode.startswith("I;16") or (picture.mode, picture.format) == ("I", "PPM")
    if not sixteen_bit:
        return np.array(picture.convert("RGB"))
    grey = (np.asarray(picture) >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _refuse_bomb(n_pixels: int, pixel_limit: int) -> None:
    if n_pixels > pixel_limit:
        reason = f"refused: {n_pixels:,} pixels exceed the limit of {pixel_limit:,}"
        raise PictureError("decode", reason)


def _reason(error: Exception) -> str:
    """Return in a few printable words, on one line, what Pillow had to say."""
    said = "".join(c if c.isprintable() else " " for c in str(error)).strip()
    if "truncated" in said.lower() or isinstance(error, EOFError):
        return "truncated"
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"damaged: {said[:80] or type(error).__name__}"


@cache
def _require_decoders() -> None:
    require("PIL", "encode")
    require("simplejpeg", "encode")


@cache
def _tall_first() -> bool:
    """Whether this Pillow resizes pictures that lose much height columns first: from 13 on."""
    import PIL

    return int(PIL.__version__.split(".")[0]) >= 13


__all__ = ["PIXEL_LIMIT", "decode", "fit", "ppm", "prepare"]
