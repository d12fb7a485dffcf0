"""The project's one numba decorator, and threads over the rows of an array.

Kernels release the GIL and run on plain threads, so they need none of numba's threading layers,
of which some may not be entered from two threads at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

#: Sums may be reordered and fused so that they vectorise. NaN and infinity keep their meaning:
#: `nnan` and `ninf` are left out, since kernels must see and refuse them.
FAST_MATH = frozenset({"reassoc", "nsz", "contract", "arcp"})


def njit(function: F) -> F:
    """Compile `function` without Python objects, cached on disk, GIL released."""
    compiled = numba.njit(cache=True, nogil=True, fastmath=set(FAST_MATH))  # noqa: TID251
    return cast("F", compiled(function))


def n_threads() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_rows(kernel: Callable[[int, int], Any], n_rows: int, *, grain: int = 1024) -> list[Any]:
    """Call ``kernel(start, stop)`` for consecutive ranges of rows, a thread each; results in order.

    Ranges depend on `n_rows` and the core count alone, and kernels write rows of their own, so the
    result is the same on any thread count.
    """
    n_ranges = max(1, min(n_threads(), n_rows // grain))
    edges = [n_rows * i // n_ranges for i in range(n_ranges + 1)]
    if n_ranges == 1:
        return [kernel(0, n_rows)]
    with ThreadPoolExecutor(n_ranges) as pool:
        return list(pool.map(kernel, edges[:-1], edges[1:]))


__all__ = ["FAST_MATH", "n_threads", "njit", "over_rows"]
