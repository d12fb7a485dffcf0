"""Where the cells of a layer lie on a model's input, read off the steps of one pass.

It knows convolutions and poolings that are modules. What narrows a map in another way, as Swin's
merging of patches does, is taken to join whole blocks of cells. Of parallel branches the one counts
that goes through convolutions of the size before; a shortcut may lie half a cell beside it.

Dimensions: h, w rows and columns; pairs are down and to the right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from embedstore.transform import Cells

Size = tuple[int, int]
_NARROWING = nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d


@dataclass(frozen=True, slots=True)
class Step:
    """A convolution or pooling that was carried out."""

    before: Size  # h, w of what it took
    after: Size  # and of what it gave
    stride: Size
    first: tuple[float, float]  # where its kernel's centre began, in cells of what it took


@contextmanager
def watched(module: nn.Module) -> Iterator[list[Step]]:
    """Yield a list that the module's convolutions and poolings fill, in their order."""
    steps: list[Step] = []

    def hook(part: nn.Module, given: tuple[Any, ...], output: object) -> None:
        if given and isinstance(output, Tensor) and output.ndim == 4:
            before, after = given[0].shape, output.shape
            steps.append(_step(part, (before[2], before[3]), (after[2], after[3])))

    parts = [part for part in module.modules() if isinstance(part, _NARROWING)]
    hooks = [part.register_forward_hook(hook) for part in parts]
    try:
        yield steps
    finally:
        for handle in hooks:
            handle.remove()


def layer_cells(size: Size, maps: Sequence[Size], steps: Sequence[Step]) -> tuple[Cells, ...]:
    """Return where the cells of each layer lie.

    Parameters
    ----------
    size
        Height and width of the input, in pixels.
    maps
        h and w of each layer.
    steps
        Of a pass from the input to the layers.
    """
    chain = _chain(size, maps, steps)
    return tuple(chain[m] if m in chain else _joined(chain, size, m) for m in maps)


def _step(part: Any, before: Size, after: Size) -> Step:
    kernel, stride = _pair(part.kernel_size), _pair(part.stride)
    dilation = _pair(getattr(part, "dilation", 1))
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if isinstance(part.padding, str):
        padding = [span // 2 if part.padding == "same" else 0 for span in spans]
    elif any(_pair(part.padding)) or getattr(part, "ceil_mode", False):
        padding = list(_pair(part.padding))
    else:  # what TensorFlow calls "same" is padded on the way: outputs say by how much
        lacking = [
            (m - 1) * s + span + 1 - n
            for n, m, s, span in zip(before, after, stride, spans, strict=True)
        ]
        padding = [max(n, 0) // 2 for n in lacking]
    down, right = (span / 2 - p for span, p in zip(spans, padding, strict=True))
    return Step(before, after, stride, (down, right))


def _pair(value: int | tuple[int, ...]) -> Size:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _chain(size: Size, maps: Sequence[Size], steps: Sequence[Step]) -> dict[Size, Cells]:
    """Follow steps from the input to the smallest layer: where cells lie at each size between."""
    chain = {size: Cells((1, 1), (0.0, 0.0))}
    while (step := _leaving(size, maps, steps)) is not None:
        chain[step.after] = _narrowed(chain[size], step.stride, step.first)
        size = step.after
    return chain


def _leaving(size: Size, maps: Sequence[Size], steps: Sequence[Step]) -> Step | None:
    """Return the step that leaves a size for good, on the way to the next smaller layer.

    Not one that a later step comes back from, as where attention pools its keys.
    """
    ahead = max((m for m in maps if _narrower(m, size)), default=None)
    if ahead is None:
        return None
    last = max((i for i, step in enumerate(steps) if step.after == size), default=-1)
    leaving = {
        i: step
        for i, step in enumerate(steps)
        if step.before == size
        and _narrower(step.after, size)
        and (step.after == ahead or _narrower(ahead, step.after))
    }
    for_good = [step for i, step in leaving.items() if i > last]
    return next(iter(for_good or leaving.values()), None)


def _narrower(a: Size, b: Size) -> bool:
    return a != b and a[0] <= b[0] and a[1] <= b[1]


def _joined(chain: Mapping[Size, Cells], size: Size, wanted: Size) -> Cells:
    """Return cells that are whole blocks of the next larger ones; of a finer map, parts of them."""
    larger = min((n for n in chain if _narrower(wanted, n)), default=size)
    sides = list(zip(larger, wanted, strict=True))
    down, right = (round(n / m) if n >= m else n / m for n, m in sides)
    return _narrowed(chain[larger], (down, right), ((down - 1) / 2, (right - 1) / 2))


def _narrowed(cells: Cells, stride: tuple[float, float], first: tuple[float, float]) -> Cells:
    """Return every so manieth of these cells, from a place between them on."""
    (down, right), (y, x) = cells.stride, cells.first
    return Cells((down * stride[0], right * stride[1]), (y + first[0] * down, x + first[1] * right))


__all__ = ["Step", "layer_cells", "watched"]
