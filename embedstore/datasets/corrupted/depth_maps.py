"""Depth maps beside pictures: 16-bit PNG in millimetres, or NumPy's files of floats in metres.

Dimensions: H, W the picture's pixels, h, w those of the window that is kept of it.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from embedstore.errors import PictureError
from embedstore.transform import Transform, resized, window

F64 = NDArray[np.float64]
PNG = b"\x89PNG"


def depth_map(data: bytes, size: tuple[int, int]) -> F64:
    """Read a depth map: -> (H, W) of `size`, metres, NaN where a pixel has no depth.

    No depth is 0, as in PNG files, or less, NaN, or infinity.

    Raises
    ------
    PictureError
        Stage `transform`: for bytes that are no such map, one of another size than its picture, or
        one without any depth.
    """
    try:
        values = _png(data, size) if data.startswith(PNG) else _array(data)
    except PictureError:
        raise
    except Exception as error:  # hostile bytes raise nearly anything
        raise _refused(f"cannot be read: {str(error)[:80] or type(error).__name__}") from error
    if values.ndim != 2 or values.dtype.kind not in "fui":
        raise _refused(f"is {values.dtype} of {values.ndim} dimensions, not (H, W) numbers")
    _check_size(values.shape, size)
    metres = values.astype(np.float64)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.nan)


def fitted(depth: F64, transform: Transform) -> F64:
    """Resize and crop as its picture was: (H, W) -> (h, w), without NaN.

    Each pixel takes the depth of the nearest: a mean of near and far would be where nothing is.
    Pixels without depth take that of the nearest one in the window that has it.

    Raises
    ------
    PictureError
        Stage `transform`: if no pixel of the window has a depth.
    """
    height, width = depth.shape
    size = resized(height, width, transform)
    rows, columns = (
        _sources(n, full, wanted, transform)
        for n, full, wanted in zip(depth.shape, size, transform.size, strict=True)
    )
    kept = depth[np.ix_(rows, columns)]
    missing = np.isnan(kept)
    if missing.all():
        raise _refused("has no pixel with a depth above 0 in the part of the picture that is kept")
    if missing.any():
        from scipy.ndimage import distance_transform_edt

        nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
        kept = kept[tuple(nearest)]
    return kept


def _sources(n: int, full: int, wanted: int, transform: Transform) -> NDArray[np.int64]:
    """Return which of n pixels each of the window's takes, the side resized to `full`."""
    start, kept, _ = window(full, wanted, transform.crop)
    return ((np.arange(start, start + kept) + 0.5) * n / full).astype(np.int64)


def _png(data: bytes, size: tuple[int, int]) -> NDArray[np.generic]:
    """Return the millimetres of a 16-bit grey PNG as metres."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        _check_size((picture.height, picture.width), size)  # before it is decoded
        if not picture.mode.startswith("I"):
            raise _refused(f"is a PNG of mode {picture.mode}, where 16-bit grey is depth")
        return np.asarray(picture) / 1000


def _array(data: bytes) -> NDArray[np.generic]:
    """Return the array of an .npy file, or the only one, or `depth`, of an .npz file."""
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        names = loaded.files
        if len(names) != 1 and "depth" not in names:
            raise _refused(f"holds {len(names)} arrays, none of them named 'depth'")
        found: NDArray[np.generic] = loaded["depth" if "depth" in names else names[0]]
        return found


def _check_size(there: tuple[int, ...], wanted: tuple[int, int]) -> None:
    if there != wanted:
        raise _refused(f"is {there[1]} x {there[0]} pixels, its picture {wanted[1]} x {wanted[0]}")


def _refused(reason: str) -> PictureError:
    return PictureError("transform", f"the depth map {reason}")
