"""What the installed open_clip and timm offer, with what their configurations surely tell.

Maintenance of the zoo, which no command needs: ``python -m embedstore.models.offered`` adds to the
zoo's data file the names that it lacks, their unknown factors empty, and names those that the
libraries no longer offer. Lines that are there stay as they are, since people wrote them.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import polars as pl

from embedstore import zoo
from embedstore.errors import require
from embedstore.models.specs import default_name
from embedstore.zoo.naming import architecture_of, training_of

Facts = dict[str, Any]


def offered_specs() -> list[str]:
    """Return the SPEC of every pretrained model that open_clip and timm list.

    Raises
    ------
    MissingExtraError
        If one of them is not installed.
    """
    for module in ("open_clip", "timm"):
        require(module, "encode")
    import open_clip
    import timm

    specs = [f"open_clip:{name}/{tag}" for name, tag in open_clip.list_pretrained()]
    return specs + [f"timm:{name}" for name in timm.list_pretrained()]


def facts(spec: str) -> Facts:
    """Return what a model's configuration and name surely tell: sizes, family, training data."""
    kind, _, rest = spec.partition(":")
    known = _open_clip_facts(rest.rpartition("/")[0]) if kind == "open_clip" else _timm_facts(rest)
    return {"name": default_name(spec), "spec": spec, **known}


def _timm_facts(name: str) -> Facts:
    import timm
    import torch

    config = timm.get_pretrained_cfg(name)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that are initialised from values
        model = timm.create_model(name, pretrained=False)
    size = config.input_size
    n_parameters = _n_parameters(model)
    return {
        "architecture": architecture_of(name),
        "n_parameters": n_parameters,
        "n_image_parameters": n_parameters,
        "patch": _patch(model),
        "resolution": size[1] if size[1] == size[2] else None,
        **training_of(name),
    }


def _open_clip_facts(architecture: str) -> Facts:
    import open_clip

    config = open_clip.get_model_config(architecture)
    vision = config["vision_cfg"]
    # Layers by stage are those of a modified ResNet.
    tower = "resnet" if isinstance(vision.get("layers"), list) else "vit"
    size = vision.get("image_size")
    known: Facts = {
        "architecture": architecture_of(vision.get("timm_model_name", tower)),
        "resolution": size if isinstance(size, int) else None,
    }
    if config["text_cfg"].get("hf_model_name"):
        return known  # its text tower's configuration would have to be fetched
    model = _on_meta(config)
    return known | {
        "n_parameters": _n_parameters(model),
        "n_image_parameters": _n_parameters(model.visual),
        "patch": _patch(getattr(model.visual, "trunk", model.visual)),
    }


def _on_meta(config: Facts) -> Any:
    """Build an open_clip model without memory, as its factory would."""
    import torch
    from open_clip import CLIP, CoCa, CustomTextCLIP

    custom = config.pop("custom_text", False)
    kind = CoCa if "multimodal_cfg" in config else CustomTextCLIP if custom else CLIP
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**config)


def _n_parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _patch(model: Any) -> int | None:
    """Side of the patches of a model that embeds any, in pixels."""
    size = getattr(getattr(model, "patch_embed", model), "patch_size", None)
    side = size[0] if isinstance(size, tuple | list) and size[0] == size[-1] else size
    return side if isinstance(side, int) else None


def refresh(path: Path = zoo.DATA) -> list[str]:
    """Add what is offered and missing to the data file; return what is there and not offered."""
    there, specs = zoo.models(), offered_specs()
    known = set(there["spec"])
    new = [facts(spec) for spec in specs if spec not in known]
    frame = pl.concat([there, pl.DataFrame(new, schema=dict(zoo.COLUMNS))])
    path.write_text(zoo.to_csv(frame), encoding="utf-8")
    return sorted(s for s in known - set(specs) if s.startswith(("open_clip:", "timm:")))


if __name__ == "__main__":
    for gone in refresh():
        sys.stdout.write(f"no longer offered: {gone}\n")
