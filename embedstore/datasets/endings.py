"""Endings by which a file is taken for a picture; what is inside decides whether it is one."""

from __future__ import annotations

ENDINGS = frozenset(
    ".avif .bmp .gif .jp2 .jpeg .jpg .pbm .pgm .png .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
