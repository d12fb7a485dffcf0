"""Reading NAVI's pictures upright, as its depth and cameras are; light enough for every process."""

from __future__ import annotations

import io
from dataclasses import dataclass

from embedstore.datasets.pictures import decode, ppm
from embedstore.datasets.readers import FolderReader

#: Number of EXIF's field that says how a picture is turned; 1 is upright.
ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class UprightReader:
    """Reads files as they are, but turned pictures as upright PPM.

    NAVI's depth and cameras describe what EXIF's orientation shows, which decoders pass over.
    """

    root: str

    def __call__(self, locator: str) -> bytes:
        """Return the picture's bytes."""
        data = FolderReader(self.root)(locator)
        orientation = _orientation(data)
        if orientation not in range(2, 9):
            return data
        pixels = decode(data)
        if orientation in (5, 6, 7, 8):
            pixels = pixels.swapaxes(0, 1)
        if orientation in (3, 4, 7, 8):
            pixels = pixels[::-1]
        if orientation in (2, 3, 6, 7):
            pixels = pixels[:, ::-1]
        return ppm(pixels)


def _orientation(data: bytes) -> int:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return int(picture.getexif().get(ORIENTATION, 1))
    except (OSError, ValueError, SyntaxError, TypeError):  # decoding says what is wrong
        return 1
