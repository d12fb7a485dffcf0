"""What a LLaVA model's vision tower sees of a picture, from its processor's configuration alone.

LLaVA 1.5 resizes and crops as CLIP does. LLaVA 1.6 and OneVision show their tower the whole picture
squeezed into a square, the base view, and tiles of a larger one; here the base view counts, of
which there is one a picture.
"""

from __future__ import annotations

from typing import Any

from embedstore.errors import ModelError
from embedstore.models.llava_sources import PROCESSORS, LlavaSource, find_llava, reading
from embedstore.transform import Interpolation, Transform

#: Pillow's numbers of filters.
FILTERS: dict[int, Interpolation] = {0: "nearest", 2: "bilinear", 3: "bicubic"}

#: What a processor's configuration says of pixels.
PROCESSING = (
    "size", "crop_size", "resample", "image_mean", "image_std", "image_grid_pinpoints", "do_resize",
    "do_center_crop", "do_rescale", "rescale_factor", "do_normalize",
)  # fmt: skip


def transform_of(directory_or_id: str) -> Transform:
    """Return what the vision tower of a LLaVA model sees of a picture; no weights are read.

    Parameters
    ----------
    directory_or_id
        Of a model of the LLaVA 1.5, 1.6/NeXT or OneVision family: a local directory or a hub id.

    Raises
    ------
    ModelError
        If it has no processor, is of another architecture, or prepares pictures in a way that a
        :class:`Transform` cannot say.
    """
    source = find_llava(directory_or_id)
    return base_view(source, image_processor(source))


def image_processor(source: LlavaSource) -> Any:
    """Return the processor of pictures, through Pillow as the models were trained.

    Raises
    ------
    ModelError
        If the model has none.
    """
    from transformers import AutoImageProcessor

    directory = source.directory
    if directory is not None and not any((directory / name).is_file() for name in PROCESSORS):
        raise ModelError(
            f"LLaVA directory {source.name!r} holds no processor; copy {' or '.join(PROCESSORS)} "
            "from where the model is from"
        )
    with reading(source.name, directory, "the processor"):
        return AutoImageProcessor.from_pretrained(
            source.name, backend="pil", trust_remote_code=False
        )


def base_view(source: LlavaSource, processor: Any) -> Transform:
    """Return the transform of the view of which each picture has one: all of LLaVA 1.5's."""
    size, crop = _sides(processor.size), _sides(getattr(processor, "crop_size", None))
    if not getattr(processor, "do_center_crop", False):
        crop = {}
    if source.family == "llava":
        _refuse_odd(source, processor, size, crop)
    to_square = source.family != "llava" or "height" in size
    height, width = (size.get(side, size.get("shortest_edge", 0)) for side in ("height", "width"))
    normalised = bool(processor.do_normalize)
    return Transform(
        size=(crop["height"], crop["width"]) if crop else (height, width),
        resize_to=(height, width),
        resize="squash" if to_square else "shortest",
        interpolation=_interpolation(source, processor),
        mean=_three(processor.image_mean) if normalised else (0.0, 0.0, 0.0),
        std=_three(processor.image_std) if normalised else (1.0, 1.0, 1.0),
        crop="floored" if crop else "rounded",
    )


def processing(processor: Any) -> dict[str, Any]:
    """Return what a processor does to pictures, as JSON values."""
    found = {name: getattr(processor, name, None) for name in PROCESSING}
    sides = ("size", "crop_size")
    given = {n: {k: v for k, v in dict(found[n] or {}).items() if v is not None} for n in sides}
    return found | given | {"resample": int(processor.resample)}


def _refuse_odd(
    source: LlavaSource, processor: Any, size: dict[str, int], crop: dict[str, int]
) -> None:
    """Refuse what leaves pictures of different sizes, and padding in a colour."""
    fixed = "height" in size or (crop and "shortest_edge" in size)
    if not (fixed and processor.do_resize and processor.do_rescale):
        raise _unsaid(source, "does not bring pictures to one size")
    if crop and max(crop.values()) > min(size.values()):
        raise _unsaid(source, "crops more than it resizes to")
    if getattr(processor, "do_pad", False):
        raise _unsaid(source, "pads pictures to a square in a colour (do_pad)")


def _interpolation(source: LlavaSource, processor: Any) -> Interpolation:
    number = int(processor.resample)
    if number not in FILTERS:
        raise _unsaid(source, f"resizes with Pillow's filter {number}")
    return FILTERS[number]


def _unsaid(source: LlavaSource, what: str) -> ModelError:
    return ModelError(
        f"the processor of {source.name!r} {what}, which no transform of embedstore does; use "
        "the processor that llava-hf publishes with the model"
    )


def _sides(size: Any) -> dict[str, int]:
    """Return what is given of height, width and shortest_edge."""
    found = dict(size or {})
    return {k: int(v) for k, v in found.items() if v is not None}


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(v) for v in values)
    return first, second, third
