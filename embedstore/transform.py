"""What a model wants done to a picture before it looks, and where each point of it then lies.

A description and its geometry, not the doing: it knows sizes, and neither pixels nor files.

Dimensions: H, W pixels of the model's input, or of a whole picture where a function says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

ResizeMode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear", "nearest"]
CropStart = Literal["rounded", "floored"]


@dataclass(frozen=True, slots=True)
class Transform:
    """Resize, crop or pad, divide by 255, normalise: the evaluation transform of CLIP and timm.

    `resize` says how a picture meets `resize_to` before the (H, W) window is taken from its centre:
    `shortest`, its shorter side becomes resize_to[0] (aspect kept, longer side truncated as in
    torchvision); `longest`, its longer side does, and the rest is filled with `fill`; `squash`,
    both sides become `resize_to`. Where an odd count of pixels is cut off a side, `crop` says
    whether the half is rounded to even, as by torchvision, or down, as by transformers.
    """

    size: tuple[int, int]  # (H, W) of the model's input, pixels
    resize_to: tuple[int, int]  # height and width aimed at before the crop, pixels
    resize: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # of [0, 1] RGB
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)  # of [0, 1] RGB
    fill: int = 0  # grey level of padding, 0 to 255
    crop: CropStart = "rounded"  # where a window begins that is half a pixel off the centre

    def record(self) -> dict[str, object]:
        """Return the transform as JSON values; part of a model's identity."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if self.crop == "rounded":  # the identities of models encoded before there was a choice
            del values["crop"]
        return values

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read back what :meth:`record` wrote, as the manifest of patch features holds it."""
        values: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the cells of a layer's patch map lie on the model's input.

    In pixels, down and to the right, (0, 0) the centre of the upper left pixel. Padding moves
    cells, and patches may leave out a rest of the input: they are seldom equal parts of it.
    """

    stride: tuple[float, float]  # from one cell's centre to the next
    first: tuple[float, float]  # y, x of the upper left cell's centre

    def record(self) -> dict[str, list[float]]:
        """Return them as JSON values; beside `transform` in the manifest of patch features."""
        return {"stride": list(self.stride), "first": list(self.first)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read back what :meth:`record` wrote."""
        (down, right), (y, x) = record["stride"], record["first"]
        return cls((down, right), (y, x))


def resized(height: int, width: int, transform: Transform) -> tuple[int, int]:
    """Return the height and width to which a picture is resized before the crop.

    `shortest` to a square truncates as torchvision's ``Resize``; `longest`, and `shortest` to an
    oblong, round as ``ResizeKeepRatio`` of open_clip and timm.
    """
    aim_height, aim_width = transform.resize_to
    if transform.resize == "squash":
        return aim_height, aim_width
    if transform.resize == "shortest" and aim_height == aim_width:
        longer = int(aim_height * max(height, width) / min(height, width))
        return (longer, aim_height) if width <= height else (aim_height, longer)
    ratios = height / aim_height, width / aim_width
    ratio = max(ratios) if transform.resize == "longest" else min(ratios)
    return round(height / ratio), round(width / ratio)


def window(n: int, wanted: int, crop: CropStart = "rounded") -> tuple[int, int, int]:
    """Return, for one side, where the kept part starts, its length, and where it lands."""
    if wanted > n:
        return 0, n, (wanted - n) // 2
    start = (n - wanted) // 2 if crop == "floored" else round((n - wanted) / 2.0)
    return start, wanted, 0


def to_input(transform: Transform, width: int, height: int) -> tuple[float, float, float, float]:
    """Return the affine map from pixels of a whole picture to pixels of the model's input.

    In both, the centre of the upper left pixel is (0, 0), and

        ``x_in = (x + 0.5) * scale_x - 0.5 + offset_x``,

    y likewise: to the subpixel what the resize does, since its sizes are rounded first. A point
    that the crop cuts off lands outside of [-0.5, W - 0.5).

    Parameters
    ----------
    transform
        Of the model; of stored patches: ``Transform.from_record(manifest.facts["transform"])``.
    width, height
        Of the whole picture, in pixels.

    Returns
    -------
    tuple of float
        scale_x, offset_x, scale_y, offset_y: input pixels a pixel, and input pixels.
    """
    to_height, to_width = resized(height, width, transform)
    top, _, first_row = window(to_height, transform.size[0], transform.crop)
    left, _, first_column = window(to_width, transform.size[1], transform.crop)
    return (
        to_width / width,
        float(first_column - left),
        to_height / height,
        float(first_row - top),
    )


__all__ = ["Cells", "Transform", "resized", "to_input", "window"]
