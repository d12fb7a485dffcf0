"""Where a model runs and in which precision; pixels in, embeddings out.

Dimensions: B pictures, H, W pixels, D embedding, C classes; h, w, d of a layer's patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from embedstore.errors import ModelError, UnknownNameError
from embedstore.models.base import Model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
Precision = Literal["float32", "bfloat16", "float16"]
F32 = npt.NDArray[np.float32]


def resolve_device(name: str) -> torch.device:
    """Return the device of a name such as `auto`, `cpu`, `cuda`, `cuda:1`.

    Raises
    ------
    ModelError
        If the device is not there.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); "
            "choose --device cpu"
        ) from error
    return device


def resolve_precision(name: str, device_type: str) -> Precision:
    """Return the precision that `auto` means: float32 on a CPU, float16 on a GPU.

    Half precision keeps 10 bits of mantissa where bfloat16 keeps 7, and predictions of CLIP's
    towers within 1 in 1,000 of float32, which a test marked `gpu` checks.
    """
    if name not in PRECISIONS:
        raise UnknownNameError("precision", name, PRECISIONS)
    if name == "auto":
        return "float16" if device_type == "cuda" else "float32"
    return name  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Result:
    """A batch on its way back from the device."""

    embeddings: Tensor  # (B, D)
    logits: Tensor | None  # (B, C), of a native head
    arrived: Callable[[], None]  # waits until all are on the host
    patches: tuple[Tensor, ...] = ()  # (B, h, w, d) float16 of each layer
    storable: Tensor | None = None  # (B,) whether all patches of a picture are finite in float16

    def arrays(self) -> tuple[F32, F32 | None]:
        """Wait, and return float32 arrays: (B, D) and, for a native head, (B, C)."""
        self.arrived()
        logits = None if self.logits is None else self.logits.float().numpy()
        return self.embeddings.float().numpy(), logits

    def patch_arrays(self) -> tuple[list[npt.NDArray[np.float16]], npt.NDArray[np.bool_] | None]:
        """Wait, and return each layer's patches, (B, h, w, d), and which pictures' are finite."""
        self.arrived()
        finite = None if self.storable is None else self.storable.numpy()
        return [patches.numpy() for patches in self.patches], finite


class Forward:
    """A model on its device: uint8 pixels are copied, normalised there and embedded.

    On CUDA nothing waits: copies run on a stream of their own, results come back while the next
    batch computes. On a CPU the same steps run in order, without the copies. Patch features of
    `layers` come from the same pass.
    """

    def __init__(
        self,
        model: Model,
        device: torch.device,
        precision: Precision,
        layers: Sequence[int] = (),
    ) -> None:
        import torch

        self.model, self.device, self.precision = model, device, precision
        self.dtype: torch.dtype = getattr(torch, precision)
        self.layers = tuple(layers)
        self._pinned = False
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Lock the pages of shared memory, so that the device copies from it while others work."""
        if self._copies is not None:
            import torch

            # It returns a code; where pages cannot be locked, copies are only slower.
            code = torch.cuda.cudart().cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)
            self._pinned = int(code) == 0

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Release what :meth:`pin` locked."""
        if self._pinned:
            import torch

            self._pinned = False
            torch.cuda.synchronize(self.device)
            torch.cuda.cudart().cudaHostUnregister(memory.ctypes.data)

    def __call__(self, pixels: npt.NDArray[np.uint8] | Tensor) -> Result:
        """(B, H, W, 3), on the host or the device -> a result under way.

        `pixels` must stay as they are until it arrived.
        """
        import torch

        with torch.inference_mode():
            ready = self._normalised(pixels)
            if not self.layers:
                return self._returning(*self.model.embed_images(ready))
            embeddings, logits, maps = self.model.embed_with_patches(ready, self.layers)
            patches = [m.to(torch.float16).contiguous() for m in maps]
            finite = torch.stack([p.isfinite().flatten(1).all(dim=1) for p in patches]).all(dim=0)
            return self._returning(embeddings, logits, patches, finite)

    def _normalised(self, pixels: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W), bit for bit as torchvision's transforms do."""
        import torch

        transform = self.model.transform
        if isinstance(pixels, torch.Tensor):
            return self._ready(pixels)
        if self._copies is None:
            from embedstore.kernels.normalise import normalise

            return torch.from_numpy(normalise(pixels, transform.mean, transform.std)).to(self.dtype)
        with torch.cuda.stream(self._copies):
            on_device = torch.from_numpy(pixels).to(self.device, non_blocking=True)
        torch.cuda.current_stream(self.device).wait_stream(self._copies)
        on_device.record_stream(torch.cuda.current_stream(self.device))
        return self._ready(on_device)

    def _ready(self, pixels: Tensor) -> Tensor:
        """Normalise pixels that are on the device."""
        import torch

        transform = self.model.transform
        ready = normalise_on_device(pixels, transform.mean, transform.std)
        return ready.to(self.dtype, memory_format=torch.channels_last)

    def _returning(
        self,
        embeddings: Tensor,
        logits: Tensor | None,
        patches: Sequence[Tensor] = (),
        finite: Tensor | None = None,
    ) -> Result:
        if self._copies is None:
            return Result(embeddings, logits, lambda: None, tuple(patches), finite)
        import torch

        def host(r: Tensor) -> Tensor:
            return torch.empty(r.shape, dtype=r.dtype, pin_memory=True).copy_(r, non_blocking=True)

        returned = [None if r is None else host(r) for r in (logits, finite)]
        results = host(embeddings), returned[0]
        copied = tuple(host(p) for p in patches)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return Result(*results, event.synchronize, copied, returned[1])


def normalise_on_device(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32: (v / 255 - mean) / std, as torchvision does."""
    import torch

    m = torch.tensor(mean, device=pixels.device).view(1, 3, 1, 1)
    s = torch.tensor(std, device=pixels.device).view(1, 3, 1, 1)
    return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(m).div_(s)


def provenance(device: torch.device, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the versions and the device that a run's numbers depend on in their last digits.

    `notes` are what loading the model had to assume.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    packages = (
        "embedstore", "torch", "open_clip_torch", "timm", "pillow", "simplejpeg",
        "imagecorruptions-imaug",
    )  # fmt: skip
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    if device.type == "cuda":
        import torch

        found["device"] = torch.cuda.get_device_name(device)
    else:
        found["device"] = device.type
    if notes:
        found["notes"] = "; ".join(notes)
    return found
