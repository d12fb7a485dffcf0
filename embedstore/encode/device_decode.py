"""JPEGs decoded where the model runs, through torchvision: for GPUs that outrun the CPU's cores.

Pixels differ from the CPU's by a level here and there (another inverse transform, resizing in
float), so the decoder is part of what a model's transform says of itself. What is no JPEG, or one
that torchvision refuses, is prepared on the CPU.

Dimensions: S slots, B pictures of a batch, H, W pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import numpy as np

from embedstore.datasets.pictures import PIXEL_LIMIT, prepare
from embedstore.datasets.readers import Reader
from embedstore.encode.worker import SlotFailure
from embedstore.errors import PictureError, require
from embedstore.transform import Transform, resized, window

if TYPE_CHECKING:
    import torch
    from torch import Tensor

JPEG = b"\xff\xd8\xff"


class DeviceDecoder:
    """Threads read, one call decodes a batch on the device; slots hold its pixels there.

    What is submitted is read by `reader`, which may be another one for the next batch.
    """

    def __init__(
        self,
        reader: Reader,
        transform: Transform,
        device: torch.device,
        *,
        n_workers: int,
        n_slots: int,
        batch_rows: int,
    ) -> None:
        import torch

        require("torchvision", "encode")
        self.reader, self._transform, self._device = reader, transform, device
        shape = (n_slots, batch_rows, *transform.size, 3)
        self._slots = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._readers = ThreadPoolExecutor(n_workers)
        self._decoder = ThreadPoolExecutor(1)

    def submit(self, slot: int, locators: Sequence[str]) -> Future[list[SlotFailure]]:
        """Prepare pictures into the first rows of a slot; the future gives those that failed."""
        reading = [self._readers.submit(self.reader, locator) for locator in locators]
        return self._decoder.submit(self._decode, slot, reading)

    def pixels(self, slot: int, n: int) -> Tensor:
        """Return the slot's first n pictures on the device: (n, H, W, 3) uint8."""
        return self._slots[slot, :n]

    def close(self) -> None:
        """Give up what is under way."""
        self._readers.shutdown(cancel_futures=True)
        self._decoder.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _decode(self, slot: int, reading: Sequence[Future[bytes]]) -> list[SlotFailure]:
        failures: list[SlotFailure] = []
        rows: dict[int, bytes] = {}
        self._slots[slot] = 0
        for i, future in enumerate(reading):
            try:
                rows[i] = future.result()
            except PictureError as error:
                failures.append((i, error.stage, error.reason))
        jpegs = {i: data for i, data in rows.items() if data.startswith(JPEG)}
        for i, picture in self._decoded(jpegs).items():
            with suppress(RuntimeError):  # out of memory on a thin picture: the CPU fits a window
                self._slots[slot, i] = _fitted(picture, self._transform)
                del rows[i]
        for i, data in rows.items():
            try:
                self._slots[slot, i] = self._on_cpu(data)
            except PictureError as error:
                failures.append((i, error.stage, error.reason))
        return sorted(failures)

    def _decoded(self, jpegs: dict[int, bytes]) -> dict[int, Tensor]:
        """Decode all at once; if one is refused, none is, and the CPU finds out which."""
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        small = {i: data for i, data in jpegs.items() if _n_pixels(data) <= PIXEL_LIMIT}
        encoded = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in small.values()]
        if not encoded:
            return {}
        with warnings.catch_warnings():
            # torchvision 0.29 announces that its decoders will move to torchcodec; they serve still
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                pictures = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=self._device)
            except RuntimeError:
                return {}
        return dict(zip(small, pictures, strict=True))

    def _on_cpu(self, data: bytes) -> Tensor:
        import torch

        return torch.from_numpy(prepare(data, self._transform)).to(self._device)


def _n_pixels(data: bytes) -> int:
    """Return the pixels that a JPEG's header promises; 0 where it cannot be read."""
    import simplejpeg

    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return 0
    return int(height) * int(width)


def _fitted(picture: Tensor, transform: Transform) -> Tensor:
    """Resize and crop or pad on the device: (3, h, w) uint8 -> (H, W, 3) uint8."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import center_crop, crop, resize

    if transform.resize == "longest":  # padding in the middle: the CPU's code knows how
        import torch

        from embedstore.datasets.pictures import fit

        whole = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())
        return torch.from_numpy(fit(whole, transform)).to(picture.device)
    height, width = resized(picture.shape[1], picture.shape[2], transform)
    interpolation = InterpolationMode(transform.interpolation)
    scaled = resize(picture, [height, width], interpolation=interpolation, antialias=True)
    if transform.crop == "floored":
        top, left = (
            window(n, wanted, transform.crop)[0]
            for n, wanted in zip((height, width), transform.size, strict=True)
        )
        cropped: Tensor = crop(scaled, top, left, *transform.size)
    else:
        cropped = center_crop(scaled, list(transform.size))
    return cropped.permute(1, 2, 0)
