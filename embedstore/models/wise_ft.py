"""WiSE-FT: the weights of two models of one architecture, interpolated.

Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022: theta = (1 - alpha) * theta_A +
alpha * theta_B over every tensor, A the zero-shot model and B the fine-tuned one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from embedstore.errors import ModelError
from embedstore.heads import Head
from embedstore.models.base import Model
from embedstore.models.checkpoints import COUNTER, mismatch
from embedstore.models.specs import Interpolation
from embedstore.models.torch_model import TorchModel

#: Fields of the identity in which both models must agree; their weights are what differs.
ALIKE = ("architecture", "tokenizer", "transform")


def interpolated(first: Model, second: Model, parts: Interpolation) -> Model:
    """Return `first` with the weights (1 - alpha) * first + alpha * second, in float32.

    A classifier is interpolated with the rest, also one that lies beside the module. Integer
    buffers must be equal; counters of batch norms are the first model's, unless alpha is 1.

    Raises
    ------
    ModelError
        If the two are not of one architecture: the first tensor that differs is named.
    """
    for part, model in ((parts.first, first), (parts.second, second)):
        if not isinstance(model, TorchModel):
            raise ModelError(
                f"{part} is a model of its own kind, whose weights cannot be interpolated; "
                "return a ModuleModel from its function"
            )
    a, b = cast("TorchModel", first), cast("TorchModel", second)
    state, other = a.module.state_dict(), b.module.state_dict()
    _check_alike(a, b, mismatch(other, state), parts)
    a.reload(_mixed(state, other, parts), head=_mixed_head(a, b, parts))
    a.notes = tuple(dict.fromkeys((*a.notes, *b.notes)))
    return a


def _check_alike(a: TorchModel, b: TorchModel, problem: str | None, parts: Interpolation) -> None:
    if problem is None:
        found, theirs = a.identity, b.identity
        differs = next((field for field in ALIKE if found[field] != theirs[field]), None)
        if differs is None:
            return
        problem = f"the {differs} is another (activation, picture size or its like)"
    raise ModelError(
        f"{parts.second} cannot be interpolated with {parts.first}: {problem}; name two models of "
        "one architecture, such as a model and what was fine-tuned from it"
    )


def _mixed(
    state: Mapping[str, Tensor], other: Mapping[str, Tensor], parts: Interpolation
) -> dict[str, Tensor]:
    mixed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        counterpart = other.get(name, tensor)
        if tensor.is_floating_point():
            mixed[name] = _between(tensor, counterpart, parts.alpha)
        elif name.endswith(COUNTER):
            mixed[name] = counterpart if parts.alpha == 1 else tensor
        elif torch.equal(tensor, counterpart):
            mixed[name] = tensor
        else:
            raise ModelError(
                f"{parts.second} cannot be interpolated with {parts.first}: {name!r} holds other "
                "whole numbers; name two models of one architecture"
            )
    return mixed


def _between(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Both ends are exact: 0 * infinity and the sign of zero are not left to arithmetic."""
    if alpha in (0, 1):
        return b if alpha else a
    return (1 - alpha) * a.float() + alpha * b.float()


def _mixed_head(a: TorchModel, b: TorchModel, parts: Interpolation) -> Head | None:
    """Return the classifier between two that lie beside their modules; None without any."""
    ours, theirs = a.head_beside, b.head_beside
    if ours is None and theirs is None:
        return None
    if ours is None or theirs is None or ours.class_ids != theirs.class_ids:
        raise ModelError(
            f"{parts.second} has other classes than {parts.first}; give both the same class_ids"
        )
    if (ours.normalize, ours.bias is None) != (theirs.normalize, theirs.bias is None):
        raise ModelError(
            f"the heads of {parts.first} and {parts.second} differ in bias or normalize; make both "
            "alike"
        )

    def between(x: object, y: object) -> Tensor:
        return _between(torch.as_tensor(x), torch.as_tensor(y), parts.alpha)

    return Head(
        ours.class_ids,
        None if ours.weights is None else between(ours.weights, theirs.weights).numpy(),
        None if ours.bias is None else between(ours.bias, theirs.bias).numpy(),
        (1 - parts.alpha) * ours.scale + parts.alpha * theirs.scale,
        ours.normalize,
    )
