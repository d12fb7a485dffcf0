"""timm's models: any name, weights from a hub or a local checkpoint, the transform adjustable.

Dimensions: B pictures, H, W pixels, D pooled features before the classifier, C classes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import timm
import torch
from timm.data import (
    ImageNetInfo,
    infer_imagenet_subset,
    resolve_data_config,
    resolve_model_data_config,
)
from torch import Tensor, nn

from embedstore.errors import ModelError, UnknownNameError
from embedstore.heads import Head
from embedstore.models.checkpoints import load_fitting, read_state_dict
from embedstore.models.hub import brief, cache_if_unreachable, unreachable
from embedstore.models.patches import timm_tower
from embedstore.models.specs import TRANSFORM, ModelSpec, checked_options, expanded, unknown
from embedstore.models.torch_model import TorchModel, probe_pixels
from embedstore.models.transforms import borrowed
from embedstore.transform import Transform

OPTIONS = (
    "checkpoint",
    "num_classes",
    "input_size",
    "crop_pct",
    "crop_mode",
    "interpolation",
    "mean",
    "std",
    TRANSFORM,
)
#: Options that change a part of the transform.
PARTS = ("crop_pct", "crop_mode", "interpolation", "mean", "std")

#: Largest difference, as a share of the largest logit, between head and model that counts as equal.
TOLERANCE = 1e-4

RESIZE = {"center": "shortest", "squash": "squash", "border": "longest"}
INTERPOLATIONS = ("bicubic", "bilinear", "nearest")


class TimmModel(TorchModel):
    """A classifier whose embedding is what its last layer sees."""

    def __init__(self, module: nn.Module, transform: Transform, architecture: object) -> None:
        super().__init__(module, transform, architecture)
        self._tower = timm_tower(self.module)
        self._settle()

    def _derive(self) -> None:
        self._live_logits = False
        self._whole = False  # whether logits need a second pass of the whole model
        pixels = probe_pixels(self.transform)
        with torch.inference_mode():
            logits = self.module(pixels)
            features = self.module.forward_features(pixels)
            embeddings = self._pooled(features)
        self.embedding_dim = embeddings.shape[1]
        if getattr(self.module, "num_classes", 0):
            self.own_head = self._head(embeddings, features, logits)

    def _pooled(self, features: Any) -> Tensor:
        pooled: Tensor = self.module.forward_head(features, pre_logits=True)
        return pooled.flatten(1)

    def _head(self, embeddings: Tensor, features: Any, logits: Tensor) -> Head:
        """Return the classifier if it reproduces the model's logits, else a native head."""
        class_ids = imagenet_ids(logits.shape[1])
        classifier = self.module.get_classifier()
        if isinstance(classifier, nn.Linear) and classifier.in_features == self.embedding_dim:
            bias = None if classifier.bias is None else classifier.bias.detach().numpy().copy()
            head = Head(class_ids, classifier.weight.detach().numpy().copy(), bias)
            if _equal(head.logits(embeddings.numpy()), logits.numpy()):
                return head
        self._live_logits = True
        with torch.inference_mode():
            self._whole = not _equal(self.module.forward_head(features).numpy(), logits.numpy())
        return Head(class_ids, None)

    def _forward_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._finish_images(pixels, self.module.forward_features(pixels))

    def _finish_images(self, pixels: Tensor, output: Any) -> tuple[Tensor, Tensor | None]:
        embeddings = self._pooled(output)
        if not self._live_logits:
            return embeddings, None
        return embeddings, self.module(pixels) if self._whole else self.module.forward_head(output)


def _equal(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> bool:
    """Whether two sets of logits agree to `TOLERANCE`: (B, C), (B, C) -> bool."""
    if ours.shape != theirs.shape:
        return False
    return bool(np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max())


def imagenet_ids(n_classes: int) -> tuple[str, ...]:
    """Return the WordNet ids of an ImageNet classifier's C classes, else their numbers."""
    subset = infer_imagenet_subset({"num_classes": n_classes})
    if subset is None:
        return tuple(str(i) for i in range(n_classes))
    return tuple(ImageNetInfo(subset).label_names())


def load_timm(spec: ModelSpec) -> TimmModel:
    """Build and fill the model that a SPEC names.

    Raises
    ------
    ModelError
        If weights do not fit or cannot be fetched, or an option has no exact meaning.
    UnknownNameError
        If the name, its tag or an option is unknown.
    """
    options = checked_options(spec, OPTIONS)
    changed = [name for name in PARTS if name in options]
    if TRANSFORM in options and changed:
        raise ModelError(
            f"{TRANSFORM}= takes the whole of another model's transform; leave out "
            f"{', '.join(changed)}"
        )
    _check_name(spec.rest)
    module = _created(spec.rest, options)
    note = None
    if "checkpoint" in options:
        path = expanded(options["checkpoint"])
        note = load_fitting(module, read_state_dict(path), f"checkpoint {path.name!r}")
    transform = borrowed(spec, timm_transform(module, options))
    architecture = {
        "timm": getattr(module, "pretrained_cfg", {}).get("architecture", spec.rest),
        "num_classes": getattr(module, "num_classes", 0),
        "input_size": list(transform.size),
    }
    model = TimmModel(module, transform, architecture)
    model.notes = (note,) if note else ()
    return model


def _check_name(name: str) -> None:
    if name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        return
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown("timm model", name, timm.list_models())
    tagged = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tagged:
        raise unknown(
            f"weights of timm's {architecture}", tag, [n.partition(".")[2] for n in tagged]
        )


def _created(name: str, options: Mapping[str, str]) -> nn.Module:
    """Build the module, filled from the hub unless a checkpoint is given."""
    local = "checkpoint" in options
    arguments: dict[str, Any] = {}
    if "num_classes" in options:
        arguments["num_classes"] = int(_number(options, "num_classes"))
    if not local and not timm.models.is_model_pretrained(name) and ":" not in name:
        raise ModelError(
            f"timm has no weights for {name!r}; give them: timm:{name}?checkpoint=FILE"
        )
    if "input_size" in options and _fixed_size(name):
        arguments["img_size"] = int(_number(options, "input_size"))
    try:
        with cache_if_unreachable(needed=not local or ":" in name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations between the libraries, not the user's
            module: nn.Module = timm.create_model(name, pretrained=not local, **arguments)
            return module
    except Exception as error:  # whatever timm or a hub's client raise
        if local:
            raise ModelError(
                f"timm cannot build {name!r} ({brief(error)}); mend its options"
            ) from error
        forms = f"timm:{name}?checkpoint=FILE, a state dict or safetensors"
        raise unreachable(f"timm weights {name!r}", error, forms) from error


def _fixed_size(name: str) -> bool:
    """Whether the network is built for one picture size and must be told of another."""
    config = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(config and config.fixed_input_size)


def timm_transform(module: nn.Module, options: Mapping[str, str]) -> Transform:
    """Return timm's evaluation transform for `module`, the SPEC's options taking precedence.

    Raises
    ------
    ModelError
        If an option is no number where one belongs, or the mode has no exact counterpart.
    """
    return _as_transform({**resolve_model_data_config(module), **_transform_options(options)})


def published_transform(spec: ModelSpec) -> Transform:
    """Return the same of a SPEC, from what timm itself knows of the name: nothing is built.

    Raises
    ------
    ModelError
        As :func:`timm_transform`, or if timm would have to ask a hub.
    UnknownNameError
        If the name or an option is unknown.
    """
    options = checked_options(spec, ("input_size", *PARTS))
    _check_name(spec.rest)
    known = timm.models.get_pretrained_cfg(spec.rest, allow_unregistered=True)
    if known is None:
        raise ModelError(f"timm does not know the transform of {spec.rest!r}; name one it lists")
    config = resolve_data_config(pretrained_cfg=known.to_dict())
    return _as_transform({**config, **_transform_options(options)})


def _as_transform(config: Mapping[str, Any]) -> Transform:
    height, width = config["input_size"][-2:]
    crop, mean = config["crop_pct"], config["mean"]
    fills = {round(255 * value) for value in mean}
    if config["crop_mode"] == "border" and len(fills) > 1:
        raise ModelError(
            "crop_mode=border fills with a mean colour that is no grey; add crop_mode=center, "
            "or mean=0.5 if the model was trained so"
        )
    for key, choices in (("crop_mode", RESIZE), ("interpolation", INTERPOLATIONS)):
        if config[key] not in choices:
            raise UnknownNameError(key, str(config[key]), choices)
    return Transform(
        size=(height, width),
        resize_to=(math.floor(height / crop), math.floor(width / crop)),
        resize=RESIZE[config["crop_mode"]],  # type: ignore[arg-type]
        interpolation=config["interpolation"],
        mean=tuple(mean),
        std=tuple(config["std"]),
        fill=fills.pop() if config["crop_mode"] == "border" else 0,
    )


def _transform_options(options: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {k: options[k] for k in ("interpolation", "crop_mode") if k in options}
    for key in ("mean", "std"):
        if key in options:
            given[key] = _three(options, key)
    if "crop_pct" in options:
        given["crop_pct"] = _number(options, "crop_pct")
    if "input_size" in options:
        size = int(_number(options, "input_size"))
        given["input_size"] = (3, size, size)
    return given


def _number(options: Mapping[str, str], key: str, text: str | None = None) -> float:
    text = options[key] if text is None else text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    lowest = 0.0 if key in {"mean", "num_classes"} else 1e-6
    if not lowest <= value < math.inf or (
        key in {"num_classes", "input_size"} and value != int(value)
    ):
        raise ModelError(f"option {key}={options[key]} is not a number that it can be; mend it")
    return value


def _three(options: Mapping[str, str], key: str) -> tuple[float, ...]:
    values = [_number(options, key, text) for text in options[key].split(",")]
    if len(values) not in {1, 3}:
        raise ModelError(f"option {key}={options[key]} is neither one number nor three; mend it")
    return tuple(values * 3 if len(values) == 1 else values)
