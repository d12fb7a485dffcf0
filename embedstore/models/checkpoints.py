"""Weights from files, and whether they fit a module. Nothing is unpickled but tensors."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from embedstore.errors import ModelError
from embedstore.models.hub import brief

#: Keys under which training programs wrap a state dict.
WRAPPERS = ("state_dict", "model")

#: What wrapping modules (data parallel, torch.compile, a classifier around CLIP) put before names.
PREFIXES = ("module.", "_orig_mod.", "model.")

#: Counters of batch norms: no part of what the model computes.
COUNTER = "num_batches_tracked"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors, or from a file of torch.save with ``weights_only``.

    ``state_dict`` or ``model`` around it, and `PREFIXES` that every name has, are taken off.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise ModelError(f"there is no weights file {str(path)!r}; give the path of a state dict")
    state = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    if not state or not all(isinstance(t, Tensor) for t in state.values()):
        raise ModelError(
            f"weights file {str(path)!r} is no state dict; save model.state_dict() with torch.save "
            "or safetensors"
        )
    return _unwrapped(state)


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take prefixes off that all names share, the outermost first."""
    while True:
        found = (p for p in PREFIXES if all(n.startswith(p) and n != p for n in state))
        prefix = next(found, None)
        if prefix is None:
            return state
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"weights file {str(path)!r} is no safetensors file ({brief(error)}); save it again"
        ) from error
    return state


def _pickled(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ModelError(
            f"weights file {str(path)!r} cannot be read with weights_only=True: it is damaged, or "
            "holds a whole pickled model, whose code would run; save "
            "model.state_dict() with torch.save or safetensors"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return dict(content) if isinstance(content, Mapping) else {}


def mismatch(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """Return the first way in which `state` does not fit `expected` by name, or None."""
    for name, tensor in expected.items():
        if name not in state:
            if not name.endswith(COUNTER):
                return f"{name!r} is missing"
        elif state[name].shape != tensor.shape:
            return (
                f"{name!r} is {tuple(state[name].shape)} where the model has {tuple(tensor.shape)}"
            )
    extra = next(
        (name for name in state if name not in expected and not name.endswith(COUNTER)), None
    )
    return f"{extra!r} is none of the model's" if extra else None


def paired_in_order(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """Return `state` under the names of `expected` if the two pair up one to one in order.

    Shapes must be equal in every pair, counters of batch norms left out, and a name that both have
    must meet itself; otherwise None. The same network written by another library is such a case.
    """
    ours = [name for name in expected if not name.endswith(COUNTER)]
    theirs = [name for name in state if not name.endswith(COUNTER)]
    if len(ours) != len(theirs):
        return None
    for our, their in zip(ours, theirs, strict=True):
        if state[their].shape != expected[our].shape or (their in expected and their != our):
            return None
    return {our: state[their] for our, their in zip(ours, theirs, strict=True)}


def load_fitting(module: torch.nn.Module, state: Mapping[str, Tensor], source: str) -> str | None:
    """Load `state` by name, else in order; return a note if it was in order.

    Raises
    ------
    ModelError
        If it fits neither way; the message names the first mismatch.
    """
    expected = module.state_dict()
    problem = mismatch(state, expected)
    if problem is None:
        module.load_state_dict(dict(state), strict=False)
        return None
    paired = paired_in_order(state, expected)
    if paired is None:
        raise ModelError(
            f"{source} does not fit the model: {problem}; choose the model it was saved from"
        )
    module.load_state_dict(paired, strict=False)
    return f"{source}: names differ from the model's ({problem}); tensors paired in order and shape"
