"""ImageNet-C's functions: the library's own pixels, the same in every order, thread and process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from embedstore.datasets.corrupted.corruption import Corruption
from embedstore.datasets.corrupted.imagenet_c import SEEDED, corrupted
from embedstore.datasets.corrupted.kinds import kinds
from embedstore.datasets.corrupted.reader import CorruptReader
from embedstore.datasets.pictures import decode
from embedstore.datasets.readers import FolderReader

library = pytest.importorskip("imagecorruptions")
KINDS = [kind for kind in kinds() if not Corruption(kind, 1).needs_depth]
#: Kinds that draw nothing at random.
FIXED = {
    "defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression",
    "gaussian_blur", "saturate",
}  # fmt: skip


@pytest.fixture(scope="module")
def photograph(imagenet_sample):
    """Path of a real photograph, and its pixels as ImageNet-C's code prepared them, by Pillow."""
    path = sorted(imagenet_sample.glob("*/*"))[281]
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    shorter = min(picture.size)
    size = [int(256 * side / shorter) for side in picture.size]
    resized = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - 224) / 2) for side in resized.size)
    return path, np.asarray(resized.crop((left, top, left + 224, top + 224)))


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_the_librarys_and_the_generator_is_left_alone(photograph, kind, capfd):
    path, clean = photograph
    severity = 5 - KINDS.index(kind) % 5
    corruption = Corruption(kind, severity)
    read = CorruptReader(FolderReader(str(path.parent)), corruption)
    np.random.seed(11)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = decode(read(f"the/id\0\0{path.name}"))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002

    seed = corruption.seed("the/id")
    np.random.seed(seed)  # noqa: NPY002
    seeded = {"seed": seed} if kind in ("impulse_noise", "glass_blur") else {}
    expected = library.corrupt(clean, severity=severity, corruption_name=kind, **seeded)
    np.testing.assert_array_equal(found, expected)
    assert (found != clean).any()
    other = decode(read(f"another/id\0\0{path.name}"))
    assert np.array_equal(found, other) == (kind in FIXED)
    assert capfd.readouterr() == ("", "")  # standard output belongs to the commands


def test_threads_that_draw_at_once_get_their_own_pixels(photograph):
    _, clean = photograph
    for kind in ("gaussian_noise", "frost", *SEEDED):
        corruption = Corruption(kind, 2)
        alone = [corrupted(clean, corruption, seed) for seed in range(6)]
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda s, c=corruption: corrupted(clean, c, s), range(6)))
        np.testing.assert_array_equal(found, alone)


def test_another_process_gives_the_same_pixels(photograph):
    path, _ = photograph
    names = ["impulse_noise", "snow", "elastic_transform"]
    code = f"""
from hashlib import sha256
from embedstore.datasets.corrupted.corruption import Corruption
from embedstore.datasets.corrupted.reader import CorruptReader
from embedstore.datasets.readers import FolderReader
for kind in {names[::-1]}:
    read = CorruptReader(FolderReader({str(path.parent)!r}), Corruption(kind, 4))
    print(sha256(read("an id\\0\\0{path.name}")).hexdigest())
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder = FolderReader(str(path.parent))
    readers = [CorruptReader(folder, Corruption(kind, 4)) for kind in names]
    here = [sha256(read(f"an id\0\0{path.name}")).hexdigest() for read in readers]
    assert said.stdout.split() == here[::-1]
