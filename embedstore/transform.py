"""What a model wants done to a picture before it looks: a description, not the doing.

Dimensions: H, W pixels of the model's input.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

ResizeMode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear", "nearest"]


@dataclass(frozen=True, slots=True)
class Transform:
    """Resize, crop or pad, divide by 255, normalise: the evaluation transform of CLIP and timm.

    `resize` says how a picture meets `resize_to` before the (H, W) window is taken from its centre:
    `shortest`, its shorter side becomes resize_to[0] (aspect kept, longer side truncated as in
    torchvision); `longest`, its longer side does, and the rest is filled with `fill`; `squash`,
    both sides become `resize_to`.
    """

    size: tuple[int, int]  # (H, W) of the model's input, pixels
    resize_to: tuple[int, int]  # height and width aimed at before the crop, pixels
    resize: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # of [0, 1] RGB
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)  # of [0, 1] RGB
    fill: int = 0  # grey level of padding, 0 to 255

    def record(self) -> dict[str, object]:
        """Return the transform as JSON values; part of a model's identity."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
