"""A user's own model: a function in a module, returning a :class:`Model` or a wrapped torch module.

Dimensions: B pictures, H, W pixels, D embedding, C classes.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from embedstore.errors import EmbedStoreError, ModelError
from embedstore.heads import Head
from embedstore.models.base import Model
from embedstore.models.hub import brief
from embedstore.models.patches import hooked_tower
from embedstore.models.specs import ModelSpec, checked_options, unknown
from embedstore.models.torch_model import TorchModel, probe_pixels
from embedstore.transform import Transform


class ModuleModel(TorchModel):
    """Any ``torch.nn.Module`` that maps pictures to embeddings.

    Parameters
    ----------
    module
        (B, 3, H, W) -> (B, D), or -> ((B, D), (B, C)) where logits are no linear layer over
        embeddings; the head is then native.
    transform
        What pictures undergo first.
    head
        The classifier over embeddings: a :class:`Head`, or an ``nn.Linear`` (D -> C).
    class_ids
        (C,) WordNet ids or names, with an ``nn.Linear`` or logits; their numbers if left out.
    layers
        Parts of `module` whose outputs, (B, d, h, w), are its patch features, the first first.

    Raises
    ------
    ModelError
        If outputs are not of these shapes, or `head` and `class_ids` do not fit them.
    """

    def __init__(
        self,
        module: nn.Module,
        transform: Transform,
        head: Head | nn.Linear | None = None,
        class_ids: Sequence[str] | None = None,
        layers: Sequence[nn.Module] = (),
    ) -> None:
        names = [(name, type(part).__name__) for name, part in module.named_modules()]
        super().__init__(module, transform, names)
        self._given: tuple[Head | nn.Linear | None, Sequence[str] | None] = head, class_ids
        if layers:
            self._tower = hooked_tower(self.module, layers)
        self._settle()

    @property
    def head_beside(self) -> Head | None:
        """The classifier that was given beside the module."""
        return self.own_head if self._given[0] is not None else None

    def reload(self, state: Mapping[str, Tensor], head: Head | None = None) -> None:
        """Take other weights of the same names and shapes, and a classifier beside them."""
        if head is not None:
            self._given = head, head.class_ids
        super().reload(state)

    def _derive(self) -> None:
        head, class_ids = self._given
        embeddings, logits = self.embed_images(probe_pixels(self.transform))
        if embeddings.ndim != 2 or (logits is not None and logits.ndim != 2):
            raise ModelError(
                f"the module returns shape {tuple(embeddings.shape)}; return (B, D) embeddings, "
                "or these and (B, C) logits"
            )
        self.embedding_dim = embeddings.shape[1]
        if logits is not None:
            self.own_head = Head(_class_ids(class_ids, logits.shape[1]), None)
        elif head is not None:
            self.own_head = _as_head(head, class_ids, self.embedding_dim)

    def _forward_images(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._finish_images(pixels, self.module(pixels))

    def _finish_images(self, pixels: Tensor, output: Any) -> tuple[Tensor, Tensor | None]:  # noqa: ARG002
        if isinstance(output, tuple):
            embeddings, logits = output
            return embeddings, logits
        return output, None


def _as_head(head: Head | nn.Linear, class_ids: Sequence[str] | None, dim: int) -> Head:
    if isinstance(head, nn.Linear):
        weights = head.weight.detach().float().cpu().numpy().copy()
        bias = None if head.bias is None else head.bias.detach().float().cpu().numpy().copy()
        head = Head(_class_ids(class_ids, len(weights)), weights, bias)
    if head.weights is not None and head.weights.shape != (len(head.class_ids), dim):
        raise ModelError(
            f"the head is {head.weights.shape} where classes and embedding want "
            f"{(len(head.class_ids), dim)}; give the layer that follows the embedding"
        )
    return head


def _class_ids(class_ids: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    ids = tuple(str(i) for i in range(n_classes)) if class_ids is None else tuple(class_ids)
    if len(ids) != n_classes:
        raise ModelError(
            f"{len(ids)} class ids for {n_classes} classes; give one a class, in order"
        )
    return ids


def load_python(spec: ModelSpec) -> Model:
    """Call the function that ``python:module:function`` names, and return its model.

    The folder that the program was started in is searched for the module too.

    Raises
    ------
    ModelError
        If the module cannot be imported, or the function fails or returns something else.
    UnknownNameError
        If the module has no such function.
    """
    checked_options(spec, ())
    function = _function(spec)
    try:
        model = function()
    except EmbedStoreError:
        raise
    except Exception as error:
        raise ModelError(
            f"{spec.text} failed with {type(error).__name__}: {brief(error)}; mend the function"
        ) from error
    if not isinstance(model, Model):
        raise ModelError(
            f"{spec.text} returned {type(model).__name__}; return an embedstore Model, or wrap a "
            "torch module: embedstore.models.python_adapter.ModuleModel(module, transform)"
        )
    return model


def _function(spec: ModelSpec) -> Callable[[], object]:
    module_name, colon, name = spec.rest.partition(":")
    if not (module_name and colon and name):
        raise ModelError(
            f"model SPEC {spec.text!r} names no function; write python:module:function"
        )
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ModelError(
            f"module {module_name!r} of {spec.text} cannot be imported ({brief(error)}); mend it, "
            "or set PYTHONPATH to its folder"
        ) from error
    finally:
        sys.path.remove(here)
    function = getattr(module, name, None)
    if not callable(function):
        functions = inspect.getmembers(module, inspect.isfunction)
        choices = [n for n, f in functions if f.__module__ == module.__name__ and n[0] != "_"]
        raise unknown(f"function of {module_name}", name, choices)
    result: Callable[[], object] = function
    return result
