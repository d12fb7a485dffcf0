"""Reading a picture corrupted; light enough for every decoding process.

A locator is the sample's id, its depth map and its picture, between NULs: the id seeds what is
drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from embedstore.datasets.corrupted.corruption import Corruption
from embedstore.datasets.corrupted.depth_maps import depth_map, fitted
from embedstore.datasets.corrupted.from_depth import rendered
from embedstore.datasets.corrupted.imagenet_c import corrupted
from embedstore.datasets.pictures import decode, fit, ppm
from embedstore.datasets.readers import Reader
from embedstore.errors import PictureError
from embedstore.transform import Transform

#: What becomes of a clean picture first: ImageNet-C's.
CLEAN = Transform(size=(224, 224), resize_to=(256, 256), interpolation="bilinear")
#: Counts up whenever other pixels come of the same files.
VERSION = 1
SEPARATOR = "\0"


@dataclass(frozen=True, slots=True)
class CorruptReader:
    """Reads a clean picture and its depth map; gives the corrupted one.

    As ImageNet-C was made: the shorter side is resized to 256 pixels, bilinear, the middle 224 x
    224 are kept, then they are corrupted. Departure: its archive went through JPEG at quality 85;
    this is PPM, which loses nothing.
    """

    inner: Reader
    corruption: Corruption

    def __call__(self, locator: str) -> bytes:
        """Return the corrupted picture's bytes."""
        sample_id, depth, path = locator.rsplit(SEPARATOR, 2)
        whole = decode(self.inner(path))
        picture = fit(whole, CLEAN)
        corruption = self.corruption
        if not corruption.needs_depth:
            return ppm(corrupted(picture, corruption, corruption.seed(sample_id)))
        data = read_depth(self.inner, depth)
        distances = fitted(depth_map(data, whole.shape[:2]), CLEAN)
        return ppm(rendered(picture, distances, corruption.kind, corruption.severity))


@dataclass(frozen=True, slots=True)
class ContentReader:
    """Reads what a corrupted picture is made of: its digest needs no rendering."""

    inner: Reader
    corruption: Corruption

    def __call__(self, locator: str) -> bytes:
        """Return the digests of the clean picture and its depth map, and the rendering."""
        _, depth, path = locator.rsplit(SEPARATOR, 2)
        files = [self.inner(path)]
        if self.corruption.needs_depth:
            files.append(read_depth(self.inner, depth))
        return b"".join(sha256(f).digest() for f in files) + rendering(self.corruption).encode()


def rendering(corruption: Corruption) -> str:
    """Return what tells corrupted pictures from others of the same files."""
    return f"{corruption.kind}:{corruption.severity}:version-{VERSION}"


def read_depth(read: Reader, path: str) -> bytes:
    """Return a depth map's bytes.

    Raises
    ------
    PictureError
        Stage `transform`: if none is named, or it cannot be read.
    """
    if not path:
        raise PictureError("transform", "no depth map is named for this picture")
    try:
        return read(path)
    except PictureError as error:
        reason = f"the depth map {path} cannot be read: {error.reason}"
        raise PictureError("transform", reason) from error
