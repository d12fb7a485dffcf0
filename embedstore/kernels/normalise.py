"""Bytes to the numbers a model sees: torchvision's ToTensor and Normalize, bit for bit.

A byte has 256 values, so each channel's result is looked up. B pictures of H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embedstore.accelerate import njit, over_rows

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


@njit
def look_up(pixels: U8, table: F32, out: F32) -> None:
    """Look up each channel's bytes and part the channels: (B, P, 3), (3, 256) -> (B, 3, P)."""
    for b in range(pixels.shape[0]):
        for p in range(pixels.shape[1]):
            for c in range(3):
                out[b, c, p] = table[c, pixels[b, p, c]]


def normalised_bytes(mean: Sequence[float], std: Sequence[float]) -> F32:
    """Return what each byte becomes, ``(byte / 255 - mean) / std`` in float32: (3, 256)."""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    means, stds = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    return (levels - means[:, None]) / stds[:, None]


def normalise(
    pixels: U8,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    out: F32 | None = None,
    single_thread: bool = False,
) -> F32:
    """Normalise a batch as torchvision does: (B, H, W, 3) -> (B, 3, H, W).

    Parameters
    ----------
    pixels
        (B, H, W, 3) uint8, RGB.
    mean, std
        Of each channel, for values in [0, 1].
    out
        (B, 3, H, W) float32, C-contiguous: where to write.
    single_thread
        Whether to leave the other cores to whoever uses them.
    """
    pixels = np.require(pixels, np.uint8, ["C", "W"])  # one compiled signature
    n_pictures, height, width, _ = pixels.shape
    out = np.empty((n_pictures, 3, height, width), np.float32) if out is None else out
    if not out.flags.c_contiguous:
        raise ValueError("out must be C-contiguous")
    table = normalised_bytes(mean, std)
    read = pixels.reshape(n_pictures, height * width, 3)
    write = out.reshape(n_pictures, 3, height * width)
    over_rows(
        lambda start, stop: look_up(read[start:stop], table, write[start:stop]),
        n_pictures,
        grain=n_pictures + 1 if single_thread else 16,  # 16 pictures outlast a thread's start
    )
    return out


__all__ = ["normalise"]
