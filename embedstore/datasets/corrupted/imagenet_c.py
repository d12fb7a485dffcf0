"""ImageNet-C's corruptions through the package `imagecorruptions-imaug`, reproducibly.

The package's functions are those of Hendrycks & Dietterich (ICLR 2019) but for these, so that
figures are near those on the published archive, and not the same:

- `motion_blur` and `snow` move pixels by a kernel of its own, not ImageMagick's
- `elastic_transform` has another strength at every severity, and no affine part
- `frost` draws from 6 pictures enlarged 1.1 times, not from 5 at their own size
- `zoom_blur` and `snow` cut the enlarged layer at the upper left, not in the middle
- `pixelate` enlarges by the nearest pixel

They draw from NumPy's global generator.

Dimensions: H, W pixels.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from embedstore.datasets.corrupted.corruption import Corruption
from embedstore.errors import require

U8 = NDArray[np.uint8]

#: Kinds whose generators are not NumPy's global one: they take a seed.
SEEDED = ("impulse_noise", "glass_blur")
_lock = threading.Lock()


def require_library() -> None:
    """Raise the error that names the install line where the package is missing."""
    require("imagecorruptions", "corrupt")


def corrupted(picture: U8, corruption: Corruption, seed: int) -> U8:
    """Corrupt a picture: (H, W, 3) -> (H, W, 3), H and W at least 32.

    The same seed gives the same pixels in any thread, process and order; another version of the
    package, or of what it builds on, may give others.
    """
    from imagecorruptions import corrupt

    keywords = {"seed": seed} if corruption.kind in SEEDED else {}
    with _numpy_seeded(seed):
        pixels: U8 = corrupt(picture, corruption.severity, corruption.kind, **keywords)
    return pixels


def warm_up(corruption: Corruption) -> None:
    """Import and compile what a corruption needs, so that forked processes have it."""
    corrupted(np.zeros((32, 32, 3), np.uint8), corruption, seed=0)


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator for one caller at a time, and leave it as it was."""
    with _lock:
        state = np.random.get_state()  # noqa: NPY002  the package draws from no other
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _unlocked() -> None:
    """Give a forked process a lock of its own: a thread that it lacks may hold the old one."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlocked)
